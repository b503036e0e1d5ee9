// Package lgrp collects network listeners, and the connections they spawn,
// into one object, a [ListenGroup], so that they share a handler, a middleware
// chain, limits, a drain and inspection.
//
// # Usage
//
// Write a handler, make a group, add listeners:
//
//	type Port struct{ Greeting string } // what each listener has
//	type Session struct{ Requests int } // what each connection has
//
//	func serve(ctx context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
//		_, err := fmt.Fprintln(nc, c.Listener.Greeting)
//		return err
//	}
//
//	g := lgrp.New(serve, nil)
//	l, err := g.Listen(ctx, "127.0.0.1:0", Port{"hello"})
//	…
//	err = g.Run(ctx) // until ctx is done; then a drain
//
// A listener is served from the moment it is added; [ListenGroup.Run] is a
// convenience for main functions. [ListenGroup.Add] takes a [ListenerSpec]
// where there is more to say: an id, an open net.Listener to adopt, TLS, limits
// of its own.
//
// The handler gets the stream, nc, and beside it everything else that is known,
// c. nc is the real thing: the *net.TCPConn that was accepted, or the *tls.Conn
// that middleware made of it. The connection is over when the handler returns.
//
// An application whose connections differ from the start implements
// [GroupHandler] and calls [NewGroup]; its optional methods tell of listeners
// and connections that come and go.
//
// # The chain
//
// Middleware wraps the handler. For one connection the order is
//
//	Transport → Use and UseTyped → ListenerSpec.Use → Connected → handler
//
// and within each the first given is the outermost layer. Stock [Middleware]
// works on [AnyConn], which is a Conn without its types, so that
// g.Use(middleware.Limit(8)) needs no type arguments; [TypedMiddleware] sees
// the application's own contexts. Both stand in one chain.
//
// # Limits
//
// [Options.MaxConns] and [ListenerSpec.MaxConns] bound the connections that
// are served at one time, exactly, and can be changed while it runs. A
// [LimitPolicy] says what becomes of the others: [Backlog] lets them wait in
// the kernel, [Queue] accepts and parks them, [Reject] tells them so, and
// [EvictIdle] closes one that is idle. A connection holds its slot until its
// handler has returned and its socket is closed. Who came first is served
// first, among those whose listener has room.
//
// # Shutdown
//
// There are two signals. [AnyConn.Draining], or a function given to
// [AnyConn.OnDrain], says: finish soon. The context says: it is over; its
// cause says why. [ListenGroup.Shutdown] and [ListenGroup.Drain] stop the
// listeners, serve what the kernel had queued, send the first signal, wait,
// and send the second at their context's deadline. They return as soon as the
// last connection is gone, and say how it went: a [DrainReport] names the
// connections that would not end.
//
// A handler that waits in Read is woken like this:
//
//	c.OnDrain(func() { nc.SetReadDeadline(time.Now()) })
//
// Every connection ends for a [Reason], which is counted for each listener.
// The first reason stays.
//
// # When things go wrong
//
// An error from Accept never ends more than its own listener, and that only if
// it is for good: running out of descriptors makes a listener back off, and go
// on as soon as one of the group's connections closes. See
// [DefaultAcceptBackoff]. A listener that has failed is Closed, with its cause,
// and stays listed until it is removed or its id is added again.
//
// A panic or runtime.Goexit in a handler or middleware ends that connection
// with [ReasonPanic], is logged with its stack, and harms nobody else.
//
// # Concurrency
//
// All methods of groups, listeners and connections may be called by many
// goroutines at once, from handlers and event functions too. The accept
// goroutines never block on anything but Accept and their limit: handshakes,
// events and logging happen elsewhere. No lock is held while code of the
// application's runs. What is not guarded is [Conn].Data: from when the handler
// starts it is the handler's, and whoever walks over Conns touches in it only
// what is safe by itself, such as a channel that was made before.
//
// A group's goroutines are one for each acceptor, one for each connection that
// is being served, and now and then one that delivers events. Parked and idle
// connections cost none beside. Shutdown returns when they have all ended.
//
// # Testing
//
// A group works inside a testing/synctest bubble. Package testkit has a network
// in memory that behaves like TCP, and testkit/prop a model of a group and laws
// for middleware and handlers.
package lgrp
