package middleware

import (
	"context"
	"net"
	"runtime/pprof"
	"strconv"

	"github.com/listengroup/listengroup/lgrp"
)

// Labels gives the goroutine of a connection, and those that it starts, the
// profiler labels "listener" and "conn", by which CPU and goroutine profiles
// tell connections apart (go tool pprof -tagfocus, debug/pprof's ?debug=1). It
// belongs outermost, so that handshakes are labelled too: first in Transport,
// or first in the chain where listeners share it.
//
// The labels are in the context as well, for pprof.Do further in to add to, and
// are taken back when next has returned or panicked.
func Labels() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			defer pprof.SetGoroutineLabels(ctx)
			return next(labelled(ctx, c), nc, c)
		}
	}
}

// Inlined, it would lie on the stack of every idle connection.
//
//go:noinline
func labelled(ctx context.Context, c *lgrp.AnyConn) context.Context {
	ctx = pprof.WithLabels(ctx, pprof.Labels("listener", c.ListenerID(), "conn", strconv.FormatUint(c.ID(), 10)))
	pprof.SetGoroutineLabels(ctx)
	return ctx
}
