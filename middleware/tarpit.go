package middleware

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// TarpitOptions are the settings of [Tarpit]. A nil *TarpitOptions means all
// defaults.
type TarpitOptions struct {
	// Hold is how long a connection is kept. Negative means as long as the
	// client stays. Defaults to one minute.
	Hold time.Duration

	// Drip is sent, over and over, one byte every Interval. Defaults to none.
	Drip []byte

	// Interval is the time between two bytes of Drip, and between two bytes
	// that are read of what the client sends. Defaults to 10 seconds.
	Interval time.Duration

	// MaxConns is how many connections are kept at a time; further ones are
	// turned away at once. Defaults to 1,024.
	MaxConns int

	// Kept counts those that are kept, in place of MaxConns: to see how many
	// they are, to change the limit later, or to share it between Tarpits.
	// Defaults to nil: a Limiter that nobody else knows.
	Kept *Limiter
}

// Tarpit refuses connections slowly: it keeps them, reading and writing next
// to nothing, and then ends them with ReasonDenied. It never calls next, so it
// is of use within [When]:
//
//	middleware.When(blocked, middleware.Tarpit(nil))
//
// It belongs in front of TLS, where a connection costs the client as much as
// us: a socket, and here a goroutine. Connections that are kept give their
// slots back (see [lgrp.AnyConn.Uncount]), so that they take no room from
// others; a drain ends them at once. opts may be nil.
func Tarpit(opts *TarpitOptions) lgrp.Middleware {
	var o TarpitOptions
	if opts != nil {
		o = *opts
	}
	if o.Hold == 0 {
		o.Hold = time.Minute
	}
	if o.Interval <= 0 {
		o.Interval = 10 * time.Second
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 1024
	}
	if o.Kept == nil {
		o.Kept = NewLimiter(o.MaxConns)
	}
	o.Drip = append([]byte(nil), o.Drip...)
	return func(lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if o.Kept.enter() {
				defer o.Kept.leave()
				c.Uncount()
				o.keep(ctx, nc, c)
			}
			return &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: errTarpit}
		}
	}
}

var errTarpit = errors.New("middleware: Tarpit: refused")

// keep returns when the time is up, the client has gone or a drain begins.
func (o *TarpitOptions) keep(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) {
	w := wakeOnDrain(c, nc.SetDeadline, time.Time{})
	defer w.done(time.Time{})
	end := time.Now().Add(o.Hold)
	for i := 0; ; i++ {
		wake := time.Now().Add(o.Interval)
		if o.Hold > 0 && wake.After(end) {
			wake = end
		}
		if !w.until(wake) {
			return
		}
		// Reading is how it is noticed that the client has gone.
		if _, err := nc.Read(make([]byte, 1)); err != nil && !netx.IsTimeout(err) {
			return
		}
		rest(ctx, c, time.Until(wake))
		if c.IsDraining() || ctx.Err() != nil || o.Hold > 0 && !time.Now().Before(end) {
			return
		}
		if len(o.Drip) > 0 {
			if !w.until(time.Now().Add(o.Interval)) {
				return
			}
			if _, err := nc.Write(o.Drip[i%len(o.Drip):][:1]); err != nil && !netx.IsTimeout(err) {
				return
			}
		}
	}
}

// rest waits for d, or until the connection is to end.
func rest(ctx context.Context, c *lgrp.AnyConn, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.Draining():
	case <-ctx.Done():
	}
}
