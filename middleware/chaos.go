package middleware

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// ChaosOptions are the settings of [Chaos]. A chance is from 0, never, to 1,
// always, of each read and write. The zero value, and nil, do no harm.
type ChaosOptions struct {
	// DelayChance is that of a step's being delayed, by up to Delay.
	DelayChance float64
	Delay       time.Duration

	// StallChance is that of a direction's standing still from this step on,
	// until a deadline or the connection's end.
	StallChance float64

	// ResetChance is that of the connection's being reset.
	ResetChance float64

	// Seed makes other faults happen. With the same seed, the same
	// connection, by its ID, has the same faults at the same steps.
	Seed uint64

	// Enabled is asked once for each connection, on its goroutine. Defaults to
	// nil: all of them are subject to faults.
	Enabled func() bool
}

// Chaos makes connections fail, for staging systems and for seeing what clients
// and handlers do about it: it delays, stalls and resets. Every wait ends at
// deadlines, when the connection is closed and when it is killed, as those of a
// socket would.
//
// It belongs where the faults are to happen: in front of TLS for those of a
// network, where handshakes suffer too, behind it for those of a peer, but for
// HTTP/2, which needs TLS to be last. Splice is kept; a step is then up to 256
// KiB. opts may be nil. It panics if a chance is not between 0 and 1.
func Chaos(opts *ChaosOptions) lgrp.Middleware {
	var o ChaosOptions
	if opts != nil {
		o = *opts
	}
	for _, p := range []float64{o.DelayChance, o.StallChance, o.ResetChance} {
		if !(p >= 0 && p <= 1) {
			panic(fmt.Sprintf("middleware: Chaos with a chance of %v", p))
		}
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if o.Enabled != nil && !o.Enabled() {
				return next(ctx, nc, c)
			}
			cc := &chaosConn{o: &o}
			for i, d := range []*chaosDirection{&cc.in, &cc.out} {
				d.rand = *rand.NewPCG(o.Seed, c.ID()<<1|uint64(i))
				d.ctx = ctx
			}
			return next(ctx, netx.Metered(nc, cc), c)
		}
	}
}

// chaosConn is a connection with faults.
type chaosConn struct {
	netx.Meter
	o       *ChaosOptions
	in, out chaosDirection
}

type chaosDirection struct {
	lane
	rand rand.PCG // guarded by lane.mu
}

func (c *chaosConn) BeforeRead(most int) (int, error)  { return most, c.step(&c.in) }
func (c *chaosConn) BeforeWrite(most int) (int, error) { return most, c.step(&c.out) }

// step is what happens before bytes are moved.
func (c *chaosConn) step(d *chaosDirection) error {
	d.mu.Lock()
	r := rand.New(&d.rand)
	// Always as many draws, so that a chance that is changed does not shift
	// the faults of the others.
	delay, fraction, stall, reset := r.Float64(), r.Float64(), r.Float64(), r.Float64()
	if delay < c.o.DelayChance {
		d.paid = later(d.paid, time.Now().Add(time.Duration(fraction*float64(c.o.Delay))))
	}
	if stall < c.o.StallChance {
		d.paid = time.Now().Add(math.MaxInt64)
	}
	d.mu.Unlock()
	if reset < c.o.ResetChance {
		_ = netx.Abort(c.Conn)
		return fmt.Errorf("middleware: Chaos: %w", syscall.ECONNRESET)
	}
	return d.await(time.Time{})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *chaosConn) Close() error {
	c.in.close()
	c.out.close()
	return c.Meter.Close()
}

func (c *chaosConn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	c.out.setDeadline(t)
	return c.Meter.SetDeadline(t)
}

func (c *chaosConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return c.Meter.SetReadDeadline(t)
}

func (c *chaosConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(t)
	return c.Meter.SetWriteDeadline(t)
}
