package lgrp

import (
	"context"
	"fmt"
	"net"
)

// Conn is one connection of a [ListenGroup], with the application's two
// contexts: Listener, which the application attached to the listener that
// accepted it, and Data, which belongs to this connection alone.
//
// It does not contain the stream: handlers are given that beside it, as nc,
// so that nc can be the real *net.TCPConn or *tls.Conn.
//
// Records are never used for a second connection, so a pointer to a Conn may
// be kept as long as one likes; what it says then is how the connection
// ended. A Conn must not be copied.
//
// # Who may touch Data
//
// Typed middleware and Connected may write Data before the handler starts.
// From the moment the handler starts, [ListenGroup.Conns] and
// [ListenGroup.Conn] yield the connection, and what was written before is
// safe to read there. After that Data belongs to the handler; others touch
// only what the type itself makes safe: a channel, an atomic, a pointer to
// something with a lock.
type Conn[LCtx, CCtx any] struct {
	AnyConn
	Listener LCtx // the listener's context, as given to Add; do not write
	Data     CCtx // the connection's own context; starts as its zero value
}

// panicForeign is for a record of another group, or the zero AnyConn of a test,
// that does not belong to a connection of the type want: middleware that passes
// such a one to next has made a mistake that cannot be carried on from. It is
// apart so that its variables are not on every stack, and has a result so that
// its callers need nothing of theirs afterwards. They make the check themselves,
// for a call of it would keep more on the stack of every idle connection.
//
//go:noinline
func panicForeign(a *AnyConn, want any) error {
	panic(fmt.Sprintf("lgrp: middleware passed on a connection of %T where %T belongs", a.typed, want))
}

// Typed returns h as a ConnHandler, for groups whose handler does not need
// the typed contexts (middleware.HTTP and middleware.Serve are such):
//
//	g := lgrp.New(lgrp.Typed[Port, Session](middleware.HTTP(srv)), nil)
func Typed[LCtx, CCtx any](h Handler) ConnHandler[LCtx, CCtx] {
	return func(ctx context.Context, nc net.Conn, c *Conn[LCtx, CCtx]) error {
		return h(ctx, nc, &c.AnyConn)
	}
}

// FromContext returns the connection that ctx, or a context ctx was derived
// from, belongs to. It reports false if there is none or if its contexts have
// other types. In an HTTP handler behind middleware.HTTP, r.Context() leads
// to the connection that the request came in on.
func FromContext[LCtx, CCtx any](ctx context.Context) (*Conn[LCtx, CCtx], bool) {
	a, ok := AnyFromContext(ctx)
	if !ok {
		return nil, false
	}
	return FromAny[LCtx, CCtx](a)
}

// FromAny is [FromContext] for code that has the untyped connection: a key
// function of middleware.LimitBy, say, that wants to know who has logged in. It
// reports false for the zero AnyConn too, and may be called on any goroutine; see
// [Conn] for who may touch Data.
func FromAny[LCtx, CCtx any](a *AnyConn) (*Conn[LCtx, CCtx], bool) {
	c, ok := a.typed.(*Conn[LCtx, CCtx])
	return c, ok
}

// AnyFromContext is [FromContext] for code that does not know the types.
func AnyFromContext(ctx context.Context) (*AnyConn, bool) {
	a, ok := ctx.Value(connKey{}).(*AnyConn)
	return a, ok
}
