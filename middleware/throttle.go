package middleware

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"syscall"
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
// out, and writes begun, when the rate has made room for all of their bytes.
// Deadlines end the waiting, and so does the end of the connection, with
// net.ErrClosed. Bytes that a Read had no time to wait for keep their turn and
// come with the next one; if that is later, they count as let through when
// their turn was.
//
// Where the kernel moves them (io.Copy between sockets and files), a piece goes
// when there is room for half of what may pass at once, and is counted when it
// has gone: then each connection may be a piece ahead of a total that others
// use too.
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
// wait for room and pay afterwards.
type throttled struct {
	netx.Meter
	t       *Throttler
	in, out lane
	copying atomic.Int32 // calls of ReadFrom that the kernel may do
}

func (c *throttled) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.Conn.Read(p)
	}
	if k := c.in.unkeep(); k != nil {
		return c.giveOut(k, p)
	}
	n, err := c.Conn.Read(p[:c.mostIn(len(p))])
	if n > 0 {
		if late := c.came(p[:n]); late != nil {
			return 0, late
		}
	}
	return n, err
}

// mostIn and came are not inlined, for the stacks of idle connections.
//
//go:noinline
func (c *throttled) mostIn(most int) int {
	o := c.t.Options()
	return max(c.in.sync(most, o.Read, o.Burst), 1)
}

// came waits for b's turn, and keeps it if that is not to come in time.
//
//go:noinline
func (c *throttled) came(b []byte) error {
	var t laneTurns
	err := c.in.pass(len(b), &t, true)
	if err != nil {
		c.in.keep(&keptRead{append([]byte(nil), b...), t})
	}
	return err
}

func (c *throttled) giveOut(k *keptRead, p []byte) (n int, err error) {
	if err = c.in.pass(len(k.b), &k.turns, true); err == nil {
		n = copy(p, k.b)
		k.b = k.b[n:]
	}
	if len(k.b) > 0 {
		c.in.keep(k)
	}
	return n, err
}

func (c *throttled) WriteTo(w io.Writer) (total int64, err error) {
	for {
		k := c.in.unkeep()
		if k == nil {
			break
		}
		b := make([]byte, len(k.b))
		n, err := c.giveOut(k, b)
		if err != nil {
			return total, err
		}
		n, err = w.Write(b[:n])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	n, err := c.Meter.WriteTo(w)
	return total + n, err
}

// BeforeRead and AfterRead are for WriteTo.
func (c *throttled) BeforeRead(most int) (int, error) { return c.in.ahead(c.mostIn(most)) }
func (c *throttled) AfterRead(n int)                  { c.in.copied(n) }

func (c *throttled) BeforeWrite(most int) (int, error) {
	o := c.t.Options()
	n := c.out.sync(most, o.Write, o.Burst)
	if c.copying.Load() > 0 {
		return c.out.ahead(n)
	}
	return n, c.out.pass(n, new(laneTurns), false)
}

func (c *throttled) AfterWrite(n int) {
	if c.copying.Load() > 0 {
		c.out.copied(n)
	}
}

func (c *throttled) ReadFrom(r io.Reader) (int64, error) {
	src := r
	if part, ok := r.(*io.LimitedReader); ok {
		src = part.R
	}
	if _, ok := src.(syscall.Conn); ok {
		c.copying.Add(1)
		defer c.copying.Add(-1)
	}
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
