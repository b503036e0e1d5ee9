package lgrp

import (
	"context"
	"net"
	"slices"
)

// A Handler is a ConnHandler without the types: what [Middleware] wraps.
// The rules of [ConnHandler] hold for it too.
type Handler func(ctx context.Context, nc net.Conn, c *AnyConn) error

// Middleware wraps a Handler in another, which may look at the connection,
// refuse it, replace the stream, or time and count what happens inside:
//
//	func TLS(cfg *tls.Config) lgrp.Middleware {
//		return func(next lgrp.Handler) lgrp.Handler {
//			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
//				return next(ctx, tls.Server(nc, cfg), c)
//			}
//		}
//	}
//
// It is free of type parameters so that g.Use(middleware.Limit(8)) needs none
// (Go cannot infer the type arguments of a generic factory that is called
// inside an argument list).
//
// A well-behaved middleware
//   - calls next at most once, and returns its error;
//   - passes on ctx or a child of it, and c;
//   - keeps neither nc nor c after it has returned, and closes nc only by
//     returning (or by c.Close);
//   - leaves no deadline behind on nc;
//   - keeps state that several connections share in its factory, not in the
//     func(next), which runs once per listener and again when Use is called
//     later.
//
// testkit/prop.TestMiddleware checks these as laws.
type Middleware func(next Handler) Handler

// TypedMiddleware is [Middleware] that sees the application's own contexts.
// It stands in the same chain as the untyped, in the order of the calls to
// Use and UseTyped.
type TypedMiddleware[LCtx, CCtx any] func(next ConnHandler[LCtx, CCtx]) ConnHandler[LCtx, CCtx]

// link is one layer of a chain: of the two kinds exactly one is set.
type link[LCtx, CCtx any] struct {
	any   Middleware
	typed TypedMiddleware[LCtx, CCtx]
	use   uint64 // which call of Use or UseTyped has brought it
}

func links[LCtx, CCtx any](mws []Middleware) []link[LCtx, CCtx] {
	ls := make([]link[LCtx, CCtx], len(mws))
	for i, mw := range mws {
		ls[i].any = mw
	}
	return ls
}

// chain wraps h in the layers of each stage, so that the first of the first
// stage is the outermost:
//
//	chain(h, nil, [a, b], [c]) = a(b(c(h)))
//
// The result is untyped, as all is between Accept and the handler. Going from
// typed to untyped and back costs a stack frame, so neighbours of one kind
// are joined directly, and plain, if it is not nil, is h without that frame.
func chain[LCtx, CCtx any](h ConnHandler[LCtx, CCtx], plain Handler, stages ...[]link[LCtx, CCtx]) Handler {
	outer := plain // instead of h, when the outermost layer so far is untyped
	for _, stage := range slices.Backward(stages) {
		for _, l := range slices.Backward(stage) {
			if l.any != nil {
				if outer == nil {
					outer = untyped(h)
				}
				outer, h = l.any(outer), nil
			} else {
				if h == nil {
					h = Typed[LCtx, CCtx](outer)
				}
				outer, h = nil, l.typed(h)
			}
			if outer == nil && h == nil {
				panic("lgrp: a middleware returned a nil handler")
			}
		}
	}
	if outer == nil {
		outer = untyped(h)
	}
	return outer
}

// untyped is the other way than Typed.
func untyped[LCtx, CCtx any](h ConnHandler[LCtx, CCtx]) Handler {
	return func(ctx context.Context, nc net.Conn, a *AnyConn) error {
		c, ok := a.typed.(*Conn[LCtx, CCtx])
		if !ok {
			return panicForeign(a, c)
		}
		return h(ctx, nc, c)
	}
}
