// Package middleware is the shelf of stock middleware for connection groups,
// and of handlers that end a chain.
//
// Each is a factory that returns an [lgrp.Middleware]; [HTTP] and [Serve]
// return an [lgrp.Handler]. None has type parameters, so they go into any group:
//
//	g := lgrp.New(handle, nil)
//	g.Use(middleware.Recover(nil), middleware.LimitPerIP(16, nil), middleware.IdleTimeout(time.Minute))
//	l, err := g.Add(ctx, lgrp.ListenerSpec[Port]{
//		Addr:      addr.MustParse(":443"),
//		Transport: []lgrp.Middleware{middleware.ProxyProtocol(nil), middleware.TLS(cfg)},
//	})
//
// Settings are plain structs; a nil pointer means all defaults, and they are
// copied. What limits or counts keeps its state in the factory, so one
// Limit(8) is 8 for all places that it is used in.
//
// # What stands where
//
// A connection passes a listener's Transport, then the group's chain, then the
// listener's Use. Within each the first is outermost. This order is right for
// most programs; leave out what you do not need:
//
//	Transport
//	    Labels, Trace                  watch everything that comes
//	    AllowFrom, DenyFrom, RateLimit turn away by the socket's address, before any byte;
//	                                   within When, Tarpit does so slowly
//	    PeerCred                       unix sockets: by user and group
//	    Count, Throttle, MaxBytes,     see the bytes of the wire, splice goes on
//	    MinRate, IdleTimeout, Pcap,
//	    WireLog, Chaos
//	    ProxyProtocol                  the header precedes everything else; from here on
//	                                   RemoteAddr is the real peer
//	    Log, Metrics                   see the real peer, and how it ended
//	    Sniff                          picks a route by the first bytes
//	    TLS                            the last: its *tls.Conn is what handlers get
//	Use
//	    Recover                        makes an error of a panic in what follows
//	    AllowFrom, LimitPerIP, LimitBy by the real peer, or the server name
//	    RequireClientCert              by what TLS found out
//	    Limit, MaxLifetime
//	    the handler, HTTP or Serve
//
// What looks at bytes may stand behind TLS, in Use, to see them in plaintext,
// or once for all listeners. But not where HTTP/2 is served: nothing that wraps
// the stream may come between TLS and HTTP.
//
// [HandshakeTimeout] stands around as much of Transport as is to have one time
// limit. [Chain] makes one of several, and [When] restricts one to some
// connections.
//
// # What becomes of the socket's abilities
//
// What a middleware passes on has the same optional methods as what it was
// given: ReadFrom and WriteTo, so that io.Copy still splices between sockets,
// CloseWrite, SyscallConn; see [netx.Wrap]. Where that is not possible, the
// middleware's comment says so: TLS has nothing to splice, WireLog and Pcap
// have to see the bytes while they show them. Servers that assert *tls.Conn,
// such as net/http for HTTP/2, find it when TLS is innermost of all that wraps.
//
// # How connections end
//
// A middleware that refuses or ends a connection gives it a reason by a
// *[lgrp.CloseError]: ReasonHandshake where the Transport failed (TLS, PROXY,
// their time limits too), ReasonDenied for refusals, ReasonLimit where there
// was no room, ReasonTimeout when time is up in the chain. Its errors begin with
// "middleware: " and wrap the cause. In a drain, what waits for a client that
// has nothing under way lets go.
//
// # Writing your own
//
// It is a function from handler to handler:
//
//	func Greeting(text string) lgrp.Middleware {
//		return func(next lgrp.Handler) lgrp.Handler {
//			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
//				if _, err := io.WriteString(nc, text); err != nil {
//					return err
//				}
//				return next(ctx, nc, c)
//			}
//		}
//	}
//
// Call next at most once and return its error. Pass on ctx or a child of it;
// keep nothing of the connection afterwards; leave no deadline behind; do not
// close nc, the group does when you return ([lgrp.AnyConn.Close] ends a
// connection from elsewhere). State that connections share belongs next to the
// outermost return, not into func(next). To wrap the stream, embed
// [netx.Base], [netx.Through] or [netx.Meter] and pass on what [netx.Wrap] or
// [netx.Metered] makes of it. Where you wait for the client yourself, a drain
// should not wait with you: [lgrp.AnyConn.WakeOnDrain]; and what you read in front
// of others should be all that you take: [netx.ReadLine], [netx.Peek].
//
// prop.TestMiddleware, in testkit/prop, tries all of this on a middleware.
//
// # What it costs
//
// While next runs, your variables are on the stack of a goroutine that mostly
// waits. It begins with 2 KiB, of which some 450 B are left for the middlewares
// of a TCP connection: 56 B for one that only calls next, 88 B with a defer of a
// function and 104 B with one of a method, which is bound on the stack unless
// that was done next to the outermost return, 120 B more for a layer made with
// [netx.Metered]. What goes beyond doubles the stack of every idle connection. So
// keep what is needed afterwards in a record of your own, and put what runs
// before into a function that is not inlined.
package middleware
