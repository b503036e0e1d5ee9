package middleware

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// IdleTimeout ends connections, with [lgrp.ReasonTimeout], over which no byte
// has passed in either direction for d; 0 or less means never. To change d
// later, use an [IdleTimer].
//
// It sets no deadline and costs TCP connections on Linux nothing while they are
// used: when the time may be up, it asks the kernel (TCP_INFO) when bytes last
// came in or were acknowledged, to a tick of its clock, at most 10 ms. That
// covers splice, and leaves nc as it is. Elsewhere, and where the kernel does not
// count (gVisor), each Read and Write costs one reading of the clock, and what nc can do is kept as [netx.Meter] keeps it.
//
// It stands anywhere in a chain; over TCP it watches the wire also behind TLS.
func IdleTimeout(d time.Duration) lgrp.Middleware { return NewIdleTimer(d).Middleware() }

// An IdleTimer is an [IdleTimeout] that can be changed while it runs. The zero
// value never ends a connection. All methods may be called by many goroutines.
type IdleTimer struct {
	timeout atomic.Int64
	ended   atomic.Uint64
}

// NewIdleTimer returns an IdleTimer with the timeout d.
func NewIdleTimer(d time.Duration) *IdleTimer {
	t := new(IdleTimer)
	t.SetTimeout(d)
	return t
}

// SetTimeout changes the timeout. An open connection learns of it when the time
// that it had would have been up; one that came while there was no timeout has
// none.
func (t *IdleTimer) SetTimeout(d time.Duration) { t.timeout.Store(int64(d)) }

// Timeout returns the timeout.
func (t *IdleTimer) Timeout() time.Duration { return time.Duration(t.timeout.Load()) }

// Ended returns how many connections have been ended for being idle.
func (t *IdleTimer) Ended() uint64 { return t.ended.Load() }

// Middleware returns the middleware.
func (t *IdleTimer) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			nc, w := t.begin(nc, c)
			defer w.stop()
			return next(ctx, nc, c)
		}
	}
}

// begin returns nc and nil while there is no timeout. Inlined, it would lie on
// the stack of every idle connection.
//
//go:noinline
func (t *IdleTimer) begin(nc net.Conn, c *lgrp.AnyConn) (net.Conn, *idleConn) {
	d := t.Timeout()
	if d <= 0 {
		return nc, nil
	}
	w := &idleConn{t: t, c: c, begun: time.Now()}
	nc = w.watch(nc)
	w.start(d)
	return nc, w
}

// idleConn watches one connection. It is a layer over it only where the kernel
// cannot be asked.
type idleConn struct {
	netx.Meter
	t      *IdleTimer
	c      *lgrp.AnyConn
	begun  time.Time
	moved  atomic.Int64 // when bytes last did, since begun
	kernel kernelTraffic

	mu    sync.Mutex
	timer *time.Timer // nil once it is over
	asks  bool        // the kernel
	seen  traffic
}

func (w *idleConn) watch(nc net.Conn) net.Conn {
	if w.kernel, w.asks = watchKernel(nc); w.asks {
		return nc
	}
	return netx.Metered(nc, w)
}

func (w *idleConn) AfterRead(int)  { w.moved.Store(int64(time.Since(w.begun))) }
func (w *idleConn) AfterWrite(int) { w.moved.Store(int64(time.Since(w.begun))) }

func (w *idleConn) start(d time.Duration) {
	w.mu.Lock()
	w.timer = time.AfterFunc(d, w.check)
	w.mu.Unlock()
}

func (w *idleConn) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.timer.Stop()
	w.timer = nil
	w.mu.Unlock()
}

// check runs when the time may be up.
func (w *idleConn) check() {
	if d := w.t.Timeout(); w.idleFor(d) {
		w.t.ended.Add(1)
		w.c.Close(&lgrp.CloseError{Reason: lgrp.ReasonTimeout, Err: fmt.Errorf("middleware: IdleTimeout: no byte for %v", d)})
	}
}

// idleFor reports whether no byte has moved for d; if one has, it comes back
// when the time may be up again.
func (w *idleConn) idleFor(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil || d <= 0 {
		return false
	}
	now := time.Since(w.begun)
	if !w.asks { // peeked bytes may have been in the way
		w.kernel, w.asks = watchKernel(w.Conn)
	}
	if w.asks && !w.askKernel(now) {
		return false
	}
	left := time.Duration(w.moved.Load()) + d - now
	if left > 0 {
		w.timer.Reset(left)
	}
	return left <= 0
}

// askKernel is called with mu held. Retransmissions, and answers to keepalive
// probes, are not bytes that move: only where the figures have changed is the
// time looked at.
func (w *idleConn) askKernel(now time.Duration) bool {
	t, ok := w.kernel.now()
	if !ok {
		return false
	}
	moved := time.Duration(w.moved.Load())
	if t.read != w.seen.read {
		moved = max(moved, now-t.sinceRead)
	}
	if t.written != w.seen.written {
		moved = max(moved, now-t.sinceWrite)
	}
	w.moved.Store(int64(moved))
	w.seen = t
	return true
}
