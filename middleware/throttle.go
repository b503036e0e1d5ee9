package middleware

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// ThrottleOptions are the rates of [Throttle] in bytes per second; 0 or less
// means no limit. The zero value, and nil, limit nothing.
type ThrottleOptions struct {
	// Read and Write are the rates of each connection.
	Read, Write int64

	// TotalRead and TotalWrite are the rates of all connections together. They
	// get their turns in the order in which they ask.
	TotalRead, TotalWrite int64

	// Burst says how much may pass at once after a rest: what passes in that
	// time, at least a byte. Defaults to 100 ms.
	Burst time.Duration
}

// Throttle slows connections down: in any time t it lets at most rate·(t+Burst)
// bytes through, to the byte, in pieces of at most rate·Burst. Reads are given
// out, and writes begun, when the rate has made room for all of their bytes;
// where the kernel moves them (io.Copy between sockets), which goes on, when it
// has made room for the piece before. Deadlines end the waiting, and so does the
// end of the connection, with net.ErrClosed.
//
// It stands where the bytes are that it is to count: in a Transport before TLS
// those on the wire. Behind TLS it hides the *tls.Conn from handlers that assert
// one, such as HTTP/2. To change the rates later, use a [Throttler].
func Throttle(opts *ThrottleOptions) lgrp.Middleware { return NewThrottler(opts).Middleware() }

// A Throttler is a [Throttle] that can be changed while it runs. The zero value
// limits nothing. All methods may be called by many goroutines.
type Throttler struct {
	opts              atomic.Pointer[ThrottleOptions] // nil: the zero value; never changed
	totalIn, totalOut byteBucket
}

// NewThrottler returns a Throttler with the rates of opts.
func NewThrottler(opts *ThrottleOptions) *Throttler {
	t := new(Throttler)
	t.Set(opts)
	return t
}

// Set changes the rates, also those of open connections, from their next step
// on.
func (t *Throttler) Set(opts *ThrottleOptions) {
	o := new(ThrottleOptions)
	if opts != nil {
		*o = *opts
	}
	if o.Burst <= 0 {
		o.Burst = 100 * time.Millisecond
	}
	t.opts.Store(o)
	now := time.Now()
	t.totalIn.set(now, o.TotalRead, o.Burst)
	t.totalOut.set(now, o.TotalWrite, o.Burst)
}

// Options returns the rates.
func (t *Throttler) Options() ThrottleOptions {
	if o := t.opts.Load(); o != nil {
		return *o
	}
	return ThrottleOptions{}
}

// Middleware returns the middleware. All that it returns share the totals.
func (t *Throttler) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			tc := &throttled{t: t}
			tc.in = lane{ctx: ctx, total: &t.totalIn}
			tc.out = lane{ctx: ctx, total: &t.totalOut}
			return next(ctx, netx.Metered(nc, tc), c)
		}
	}
}

// throttled pays for reads when it knows how many bytes they brought, and for
// writes beforehand; but what a copy will bring nobody knows before, so copies
// pay afterwards too.
type throttled struct {
	netx.Meter
	t       *Throttler
	in, out lane
	copying atomic.Int32 // calls of ReadFrom
}

func (c *throttled) BeforeRead(most int) (int, error) {
	o := c.t.Options()
	return c.in.sync(most, o.Read, o.Burst), c.in.await()
}

func (c *throttled) AfterRead(n int) {
	c.in.take(n)
	_ = c.in.await() // the bytes are here, whatever the deadline; it ends the next Read
}

func (c *throttled) BeforeWrite(most int) (int, error) {
	o := c.t.Options()
	n := c.out.sync(most, o.Write, o.Burst)
	if c.copying.Load() > 0 {
		return n, c.out.await()
	}
	c.out.take(n)
	err := c.out.await()
	if err != nil {
		c.out.giveBack(n)
	}
	return n, err
}

func (c *throttled) AfterWrite(n int) {
	if c.copying.Load() > 0 {
		c.out.take(n)
		_ = c.out.await()
	}
}

func (c *throttled) ReadFrom(r io.Reader) (int64, error) {
	c.copying.Add(1)
	defer c.copying.Add(-1)
	return c.Meter.ReadFrom(r)
}

func (c *throttled) Close() error {
	c.in.close()
	c.out.close()
	return c.Meter.Close()
}

func (c *throttled) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	c.out.setDeadline(t)
	return c.Meter.SetDeadline(t)
}

func (c *throttled) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return c.Meter.SetReadDeadline(t)
}

func (c *throttled) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(t)
	return c.Meter.SetWriteDeadline(t)
}
