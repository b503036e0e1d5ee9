package middleware

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// HandshakeTimeout is a whole Transport stage with one time limit: stage, the
// first outermost, has d to let a connection through to what comes behind it.
// It stands in place of the middleware it is given:
//
//	Transport: []lgrp.Middleware{middleware.HandshakeTimeout(5*time.Second,
//		middleware.ProxyProtocol(nil), middleware.TLS(cfg))}
//
// Each of these has a time limit of its own; together they take no longer than
// d. A connection that takes longer is closed with ReasonHandshake and an error
// that matches os.ErrDeadlineExceeded. The stage must not contain what serves
// connections itself, such as [Sniff] with its routes: they would run against
// the clock. It panics unless d is positive.
func HandshakeTimeout(d time.Duration, stage ...lgrp.Middleware) lgrp.Middleware {
	if d <= 0 {
		panic("middleware: HandshakeTimeout without a time")
	}
	timeout := &lgrp.CloseError{ // also the key of this stage's timer: stages can be nested
		Reason: lgrp.ReasonHandshake,
		Err:    fmt.Errorf("middleware: handshakes took longer than %v: %w", d, os.ErrDeadlineExceeded),
	}
	mws := Chain(stage...)
	return func(next lgrp.Handler) lgrp.Handler {
		staged := mws(func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if t, ok := ctx.Value(timeout).(*time.Timer); ok && !t.Stop() {
				return timeout // the socket is being closed
			}
			return next(ctx, nc, c)
		})
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			t := time.AfterFunc(d, func() { c.Close(timeout) })
			defer t.Stop()
			return staged(withValue(ctx, timeout, t), nc, c)
		}
	}
}
