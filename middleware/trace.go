package middleware

import (
	"context"
	"net"
	"runtime/trace"

	"github.com/listengroup/listengroup/lgrp"
)

// Trace makes each connection a task of the execution tracer, "connection",
// and the time inside next a region of it, "serve", with the connection's
// listener, id and peer in the log; go tool trace shows them under user-defined
// tasks, with all that the connection's goroutines did. Further regions and
// log lines are added to the task through the context:
//
//	defer trace.StartRegion(ctx, "query").End()
//
// It belongs outermost, or behind what is not to be seen. While no trace is
// being taken it costs next to nothing and passes everything on as it is.
func Trace() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if !trace.IsEnabled() {
				return next(ctx, nc, c)
			}
			ctx, task := trace.NewTask(ctx, "connection")
			defer task.End()
			trace.Logf(ctx, "connection", "id %d, listener %s, peer %v", c.ID(), c.ListenerID(), c.RemoteAddr())
			defer trace.StartRegion(ctx, "serve").End()
			return next(ctx, nc, c)
		}
	}
}
