package middleware

import (
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// KernelTraffic shows what the kernel says of nc. ok is false where it cannot
// be asked.
func KernelTraffic(nc net.Conn) (read, written uint64, unread, ok bool) {
	k, ok := watchKernel(nc)
	if !ok {
		return 0, 0, false, false
	}
	t, ok := k.now()
	return t.read, t.written, t.unread, ok
}

// IdleFor says whether an IdleTimer that has watched nc for an hour, in which
// meanwhile happened, would find it idle for d now.
func IdleFor(nc net.Conn, d time.Duration, meanwhile func()) bool {
	return IdleForMetered(nc, d, func(net.Conn) { meanwhile() })
}

// IdleForMetered is IdleFor where something happens on what was passed on.
func IdleForMetered(nc net.Conn, d time.Duration, meanwhile func(net.Conn)) bool {
	w := &idleConn{t: NewIdleTimer(d), c: new(lgrp.AnyConn), begun: time.Now().Add(-time.Hour)}
	nc = w.watch(nc)
	w.start(time.Hour)
	defer w.stop()
	meanwhile(nc)
	return w.idleFor(d)
}

// TooSlow says whether a RateFloor of n bytes a second, whose window is over,
// would find the peer of nc, from which somebody has been reading and by whom
// meanwhile happened, too slow.
func TooSlow(nc net.Conn, n int64, meanwhile func()) bool {
	r := &rateConn{f: NewRateFloor(n, &MinRateOptions{Window: time.Second}), c: new(lgrp.AnyConn), begun: time.Now().Add(-time.Second)}
	r.watch(nc)
	r.waiting = true
	r.start()
	defer r.stop()
	meanwhile()
	return r.tooSlow(n)
}

// Ticking says whether the timer of the MinRate that nc is of is running, and
// lets it run.
func Ticking(nc net.Conn) bool {
	r, ok := netx.Underlying[*rateConn](nc)
	if !ok {
		panic("there is no MinRate")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.timer.Stop() {
		return false
	}
	r.timer.Reset(r.left(time.Since(r.begun)))
	return true
}
