package middleware

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"

	"github.com/listengroup/listengroup/lgrp"
)

// Recover turns a panic of what is inside it into a [*lgrp.PanicError], which it
// logs with the stack at slog.LevelError and returns. A nil logger means
// slog.Default() at the time of the call.
//
// The group contains panics without it, and ends the connection with the same
// reason, [lgrp.ReasonPanic]. But on its way there a panic goes past every
// middleware, whose code after next does not run. Recover stands inside those
// that want to see an error instead: the handler's panic is then, for all that
// is outside, like any other failure. runtime.Goexit goes past it.
func Recover(logger *slog.Logger) lgrp.Middleware {
	if logger == nil {
		logger = slog.Default()
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) (err error) {
			defer func() {
				v := recover()
				if v == nil { // panic(nil) is recovered as a *runtime.PanicNilError
					return
				}
				pe, ok := v.(*lgrp.PanicError)
				if !ok {
					pe = &lgrp.PanicError{Value: v, Stack: debug.Stack()}
				}
				attrs := append(about(c), slog.Any("panic", pe.Value), slog.String("stack", string(pe.Stack)))
				logger.LogAttrs(ctx, slog.LevelError, "connection panicked", attrs...)
				err = pe
			}()
			return next(ctx, nc, c)
		}
	}
}
