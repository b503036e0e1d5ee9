package middleware

import (
	"context"
	"net"

	"github.com/listengroup/listengroup/lgrp"
)

// When puts mw around those connections for which pred returns true, and
// leaves the others to the rest of the chain:
//
//	middleware.When(fromOutside, middleware.Tarpit(nil))
//
// It stands where mw would. pred is called once for each connection, on the
// connection's goroutine, and sees what the layers outside have learned: the
// real peer behind ProxyProtocol, the server name behind TLS. It panics if
// pred or mw is nil.
func When(pred func(c *lgrp.AnyConn) bool, mw lgrp.Middleware) lgrp.Middleware {
	if pred == nil || mw == nil {
		panic("middleware: When with a nil argument")
	}
	return func(next lgrp.Handler) lgrp.Handler {
		wrapped := mw(next)
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if pred(c) {
				return wrapped(ctx, nc, c)
			}
			return next(ctx, nc, c)
		}
	}
}
