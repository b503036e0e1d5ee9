package middleware

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// HTTP returns a Handler that serves connections as srv would, while the group
// goes on to track, limit and drain them. It stands at the end of a chain:
//
//	g := lgrp.New(lgrp.Typed[Port, Session](middleware.HTTP(srv)), nil)
//
// HTTP/2 is served where [TLS] has settled on "h2"; for that nothing may wrap
// the *tls.Conn, which HTTP refuses to serve with an error that says so.
//
// A drain asks each connection to finish the way HTTP has for it: an idle
// HTTP/1 connection is closed, a busy one when its response, which says
// Connection: close if that is not too late, is written; over HTTP/2 the
// client is sent GOAWAY and its streams finish. A connection that has not sent
// a request yet has some five seconds, from when HTTP got it, to do so; ten
// where net/http waits for the first bytes of HTTP/2.
//
// r.Context() is a child of the connection's context, so that
// [lgrp.FromContext] finds the connection, and is done when the connection is.
// The connection is marked idle between requests, for [lgrp.EvictIdle]. It is
// over when the server has closed it and all of its http.Handler calls have
// returned; one that was hijacked, when it has been closed, or killed.
//
// srv is copied on entry, field by field, and itself neither used nor changed:
// its Serve, Shutdown, Close, SetKeepAlivesEnabled and RegisterOnShutdown have
// nothing to do with these connections, Addr and TLSConfig are not looked at.
// Each connection has an http.Server to itself, which is what
// http.ServerContextKey leads to; BaseContext is called for each, and of what
// it returns only the values count. HTTP panics if srv is nil.
func HTTP(srv *http.Server) lgrp.Handler {
	if srv == nil {
		panic("middleware: HTTP with a nil *http.Server")
	}
	base := cloneServer(srv)
	if base.Handler == nil {
		base.Handler = http.DefaultServeMux
	}
	return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		tc, ok := nc.(*tls.Conn)
		if !ok {
			if hidden, found := netx.Underlying[*tls.Conn](nc); found && hidden.ConnectionState().NegotiatedProtocol == "h2" {
				return fmt.Errorf("middleware: HTTP: HTTP/2 needs the *tls.Conn, which %T hides: put that in front of TLS", nc)
			}
			nc = netx.WithCloseNotify(nc)
		}
		closed, ok := netx.CloseNotify(nc)
		if !ok {
			return errors.New("middleware: HTTP: the *tls.Conn needs netx.WithCloseNotify beneath it, as middleware.TLS puts it there")
		}
		// Between the connection's context and the many that net/http makes:
		// one of the standard library's own, which they cling to without a
		// goroutine each.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()

		s := &httpConn{c: c, nc: nc, since: time.Now(), hs: cloneServer(base), user: base, over: make(chan struct{}), rate: ratedBy(ctx)}
		s.h2.Store(tc != nil && tc.ConnectionState().NegotiatedProtocol == "h2")
		s.prepare(ctx)
		stop := c.OnDrain(s.drain)
		defer stop()
		_ = s.hs.Serve(&oneConn{nc, nc.LocalAddr()}) // returns as soon as it has started the connection's goroutine
		<-s.over
		if s.hijacked {
			select {
			case <-closed:
			case <-ctx.Done(): // and the socket closed, whether or not the hijacker knows
			}
		}
		s.finish()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
}

// cloneServer copies the settings of srv. TLSConfig stays nil, which net/http
// takes for HTTP/2 being in order on a *tls.Conn that has settled on it.
func cloneServer(srv *http.Server) *http.Server {
	return &http.Server{
		Handler:                      srv.Handler,
		DisableGeneralOptionsHandler: srv.DisableGeneralOptionsHandler,
		ReadTimeout:                  srv.ReadTimeout,
		ReadHeaderTimeout:            srv.ReadHeaderTimeout,
		WriteTimeout:                 srv.WriteTimeout,
		IdleTimeout:                  srv.IdleTimeout,
		MaxHeaderBytes:               srv.MaxHeaderBytes,
		TLSNextProto:                 srv.TLSNextProto,
		ConnState:                    srv.ConnState,
		ErrorLog:                     srv.ErrorLog,
		BaseContext:                  srv.BaseContext,
		ConnContext:                  srv.ConnContext,
		HTTP2:                        srv.HTTP2,
		Protocols:                    srv.Protocols,
	}
}

// oneConn is a listener for one connection.
type oneConn struct {
	nc   net.Conn
	addr net.Addr
}

var errOneConn = errors.New("middleware: HTTP: no more connections")

func (l *oneConn) Accept() (net.Conn, error) {
	nc := l.nc
	if nc == nil {
		return nil, errOneConn
	}
	l.nc = nil
	return nc, nil
}

func (l *oneConn) Close() error { return nil }

func (l *oneConn) Addr() net.Addr { return l.addr }

// joinedContext is a connection's context with another's values behind its own.
type joinedContext struct {
	context.Context
	values context.Context
}

func (c joinedContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}
