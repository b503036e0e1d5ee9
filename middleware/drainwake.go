package middleware

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// A drainWake is a deadline of a connection on which somebody waits whom a
// drain is to wake. The drain's is the last: until does not come after it, nor
// does it come after done.
type drainWake struct {
	set  func(time.Time) error // the connection's
	stop func() bool
	turn chan struct{} // who has put something in sets the deadline
	over bool          // guarded by turn
}

// wakeOnDrain has set called when the connection should finish, with a deadline
// that is over, but not before the time given.
func wakeOnDrain(c *lgrp.AnyConn, set func(time.Time) error, notBefore time.Time) *drainWake {
	w := &drainWake{set: set, turn: make(chan struct{}, 1)}
	w.stop = c.OnDrain(func() {
		t := time.Now()
		if t.Before(notBefore) {
			t = notBefore
		}
		w.put(t, true)
	})
	return w
}

// until sets the deadline. It reports false if the drain has set its own.
func (w *drainWake) until(t time.Time) bool { return w.put(t, false) }

func (w *drainWake) put(t time.Time, last bool) bool {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if w.over {
		return false
	}
	w.over = last
	_ = w.set(t)
	return true
}

// done is called once, by who has waited, and leaves t as the deadline.
func (w *drainWake) done(t time.Time) {
	w.stop()
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	w.over = true
	_ = w.set(t)
}

// lastCall is how long a client has for its first byte, from when it is waited
// for, though a drain has begun: one that has just come may have sent it, above
// all one that was in the kernel's queue.
const lastCall = time.Second

// peekFirst is [netx.PeekAtLeast] for the first bytes of a connection. limit is
// the read deadline, which stays; zero means none. In a drain it times out
// early for a client that has sent nothing, see letGo.
//
// Most clients do not wait to be asked. So it arranges for the drain only when
// the last call has gone by, which a timeout tells.
func peekFirst(nc net.Conn, c *lgrp.AnyConn, limit time.Time, atLeast, most int) ([]byte, net.Conn, error) {
	call := time.Now().Add(lastCall)
	switch {
	case !limit.IsZero() && limit.Before(call):
		_ = nc.SetReadDeadline(limit)
		return netx.PeekAtLeast(nc, atLeast, most)
	case !handshakes(nc):
		_ = nc.SetReadDeadline(call)
		head, peeked, err := netx.PeekAtLeast(nc, atLeast, most)
		if len(head) > 0 || err == nil || !netx.IsTimeout(err) || c.IsDraining() {
			_ = nc.SetReadDeadline(limit)
			return head, peeked, err
		}
		nc = peeked
	}
	w := wakeOnDrain(c, nc.SetReadDeadline, call)
	defer w.done(limit)
	w.until(limit)
	return netx.PeekAtLeast(nc, atLeast, most)
}

// letGo reports whether err of peekFirst, without a byte, is the drain's.
func letGo(c *lgrp.AnyConn, err error) bool { return c.IsDraining() && netx.IsTimeout(err) }

// handshakes reports whether reading from nc begins with a handshake, which no
// timeout may interrupt: it could not go on.
func handshakes(nc net.Conn) bool {
	tc, ok := netx.Underlying[*tls.Conn](nc)
	return ok && !tc.ConnectionState().HandshakeComplete
}
