package lgrp

import (
	"context"
	"net"
)

// A ConnHandler serves one connection: it is what an application writes.
//
// nc is the stream to talk on: the connection as the listener accepted it, or
// what the middleware around the handler made of it (behind middleware.TLS it
// is the *tls.Conn). c is everything else that is known about the connection,
// with the application's own two contexts in it.
//
// The connection is over when the handler returns: the group then closes the
// socket. A handler that hands nc to somebody else must therefore block until
// they are done. It need not close nc itself. The error it returns becomes
// the close reason, see [Reason]; nil is the ordinary end.
//
// ctx is done when the connection is over: it was killed, evicted, forced at
// the end of a drain, or its handler has returned. [context.Cause] says why.
// It carries the values, but not the cancellation, of the context that was
// given to Add. It is not done when a drain begins: that is
// [AnyConn.Draining].
//
// A handler runs on a goroutine of its own, which may have served other
// connections before; one that calls [runtime.LockOSThread] wants
// [Options.NoReuse].
type ConnHandler[LCtx, CCtx any] func(ctx context.Context, nc net.Conn, c *Conn[LCtx, CCtx]) error

// A GroupHandler chooses a handler for each connection. It is the interface
// for applications whose connections differ from the start, or that want to
// be told of the comings and goings; others pass a plain [ConnHandler] to New.
//
// Connected is called on the connection's goroutine, inside the middleware
// chain: the connection has been admitted and its Transport (PROXY protocol,
// TLS) is done. It may read and write nc, and usually fills in c.Data. It
// returns what handles the connection from here on. An error ends the
// connection with the reason that the error maps to ([CloseError] gives its
// own); a nil handler with a nil error closes it as ReasonDenied.
//
// A GroupHandler may also have any of these methods:
//
//	Listening(ListenerInfo)                    // a listener is bound and about to accept
//	Unlistening(ListenerInfo, error)           // it is Closed and the last of its connections is gone
//	Disconnected(*Conn[LCtx, CCtx], error)     // the connection's handler has returned
//
// For one listener the order is Listening, (Connected, Disconnected)*,
// Unlistening, each exactly once; Disconnected is called if and only if
// Connected was, also when that failed or panicked. Listening runs on the
// goroutine that called Add, before the first Accept; Disconnected on the
// connection's goroutine, before the socket is closed; Unlistening on a
// goroutine of the group, with the error that closed the listener or nil.
// What a listener's context holds may be let go of in Unlistening, since
// nobody uses it any more. Shutdown waits for all of them.
//
// A GroupHandler is used by many goroutines at once.
type GroupHandler[LCtx, CCtx any] interface {
	Connected(ctx context.Context, nc net.Conn, c *Conn[LCtx, CCtx]) (ConnHandler[LCtx, CCtx], error)
}

// listeningHook, unlisteningHook and disconnectedHook are the optional methods
// of a GroupHandler.
type (
	listeningHook                    interface{ Listening(ListenerInfo) }
	unlisteningHook                  interface{ Unlistening(ListenerInfo, error) }
	disconnectedHook[LCtx, CCtx any] interface {
		Disconnected(c *Conn[LCtx, CCtx], err error)
	}
)

// starting is h as the innermost handler of a group made by New, behind typed
// middleware. It and startingPlain are not inlined, for then nothing would be in
// the literals that they return, and the stack of every idle connection holds
// those.
//
//go:noinline
func starting[LCtx, CCtx any](h ConnHandler[LCtx, CCtx]) ConnHandler[LCtx, CCtx] {
	return func(ctx context.Context, nc net.Conn, c *Conn[LCtx, CCtx]) error {
		c.StartServing()
		return h(ctx, nc, c)
	}
}

// startingPlain is starting and untyped in one layer.
//
//go:noinline
func startingPlain[LCtx, CCtx any](h ConnHandler[LCtx, CCtx]) Handler {
	return func(ctx context.Context, nc net.Conn, a *AnyConn) error {
		c, ok := a.typed.(*Conn[LCtx, CCtx])
		if !ok {
			return panicForeign(a, c)
		}
		c.StartServing()
		return h(ctx, nc, c)
	}
}

// choosing is the innermost handler of a group made by NewGroup.
func choosing[LCtx, CCtx any](gh GroupHandler[LCtx, CCtx]) ConnHandler[LCtx, CCtx] {
	run := func(ctx context.Context, nc net.Conn, c *Conn[LCtx, CCtx]) error {
		h, err := gh.Connected(ctx, nc, c)
		if err != nil {
			return err
		}
		if h == nil {
			return &CloseError{Reason: ReasonDenied, Err: errNoHandler}
		}
		c.StartServing()
		return h(ctx, nc, c)
	}
	dh, ok := gh.(disconnectedHook[LCtx, CCtx])
	if !ok {
		return run
	}
	return func(ctx context.Context, nc net.Conn, c *Conn[LCtx, CCtx]) (err error) {
		returned := false
		defer func() {
			if returned {
				dh.Disconnected(c, err)
				return
			}
			// A panic goes on to the core as a *PanicError, whose stack is
			// still the one of the place that panicked; a Goexit goes on by
			// itself.
			v := recover()
			pe := newPanicError(v)
			dh.Disconnected(c, pe)
			if v != nil {
				panic(pe)
			}
		}()
		err = run(ctx, nc, c)
		returned = true
		return err
	}
}
