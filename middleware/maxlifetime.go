package middleware

import (
	"context"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// MaxLifetimeOptions are the settings of [MaxLifetime]. The zero value, and nil,
// are the defaults.
type MaxLifetimeOptions struct {
	// Jitter is the part of the lifetime, from 0 to 1, that is left to chance,
	// so that connections which came together do not come back together: each
	// gets between 1-Jitter times the lifetime and all of it. Negative means
	// none. Defaults to 0.1.
	Jitter float64

	// Grace is how long a connection has to finish once it has been asked to.
	// Negative means that it is forced at once. Defaults to 30 seconds.
	Grace time.Duration
}

// MaxLifetime asks connections to finish ([lgrp.AnyConn.Drain]) when they are
// about d old, and forces those that have not after a grace, with
// [lgrp.ReasonForced]. Clients that connect again are spread anew over the
// servers behind a load balancer, and meet certificates and rules that have
// changed. 0 or less means no end. To change d later, use a [LifetimeTimer].
//
// The time counts from when the connection comes to it, so it stands outermost,
// or inside what waits (Tarpit, TLS) to leave that out. It leaves nc as it is.
func MaxLifetime(d time.Duration, opts *MaxLifetimeOptions) lgrp.Middleware {
	return NewLifetimeTimer(d, opts).Middleware()
}

// A LifetimeTimer is a [MaxLifetime] that can be changed while it runs. All
// methods may be called by many goroutines. Use NewLifetimeTimer.
type LifetimeTimer struct {
	lifetime atomic.Int64
	opts     MaxLifetimeOptions
	asked    atomic.Uint64
}

// NewLifetimeTimer returns a LifetimeTimer with the lifetime d.
func NewLifetimeTimer(d time.Duration, opts *MaxLifetimeOptions) *LifetimeTimer {
	t := new(LifetimeTimer)
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Jitter == 0 {
		t.opts.Jitter = 0.1
	}
	t.opts.Jitter = min(max(t.opts.Jitter, 0), 1)
	if t.opts.Grace == 0 {
		t.opts.Grace = 30 * time.Second
	}
	t.opts.Grace = max(t.opts.Grace, 0)
	t.SetLifetime(d)
	return t
}

// SetLifetime changes the lifetime of connections that come from now on.
func (t *LifetimeTimer) SetLifetime(d time.Duration) { t.lifetime.Store(int64(d)) }

// Lifetime returns the lifetime, without jitter.
func (t *LifetimeTimer) Lifetime() time.Duration { return time.Duration(t.lifetime.Load()) }

// Asked returns how many connections have been asked to finish.
func (t *LifetimeTimer) Asked() uint64 { return t.asked.Load() }

// Middleware returns the middleware.
func (t *LifetimeTimer) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			d := t.Lifetime()
			if d <= 0 {
				return next(ctx, nc, c)
			}
			d -= time.Duration(rand.Float64() * t.opts.Jitter * float64(d))
			timer := time.AfterFunc(d, func() {
				t.asked.Add(1)
				c.Drain(time.Now().Add(t.opts.Grace))
			})
			defer timer.Stop()
			return next(ctx, nc, c)
		}
	}
}
