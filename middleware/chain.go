package middleware

import "github.com/listengroup/listengroup/lgrp"

// Chain names a stack of middleware, to be used in several places or wrapped
// around a handler by hand. The first is the outermost layer:
//
//	Chain(a, b, c)(h) = a(b(c(h)))
//
// It stands wherever its parts may stand. State that the parts share, such as
// a limit's count, stays one for all places that the chain is used in. A Chain
// of nothing passes everything on. It panics if one of mws is nil.
func Chain(mws ...lgrp.Middleware) lgrp.Middleware {
	mws = append([]lgrp.Middleware(nil), mws...)
	for _, mw := range mws {
		if mw == nil {
			panic("middleware: Chain with a nil Middleware")
		}
	}
	return func(next lgrp.Handler) lgrp.Handler {
		for i := len(mws) - 1; i >= 0; i-- {
			next = mws[i](next)
		}
		return next
	}
}
