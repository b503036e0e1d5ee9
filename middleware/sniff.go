package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// A SniffRoute sends the connections that Match matches to Handler.
type SniffRoute struct {
	// Match looks at the first bytes of a connection. It is called again
	// with more of them for as long as it returns SniffMore, by the
	// goroutines of many connections at once. Required.
	Match Matcher

	// Handler serves the connection, in the place of the group's own, and
	// reads the bytes that Match has seen. Required.
	Handler lgrp.Handler
}

// SniffOptions are the settings of [Sniff]. A nil *SniffOptions means all
// defaults.
type SniffOptions struct {
	// Timeout is how long to wait for bytes that decide. Negative means for
	// ever. Defaults to 10 seconds.
	Timeout time.Duration

	// MaxBytes is how many bytes to look at. Memory is taken as they arrive.
	// Defaults to 20 KiB, which a TLS ClientHello of 17 KiB fits into.
	MaxBytes int
}

// Sniff looks at the first bytes that the client sends and picks the first of
// routes that matches; the rest of the chain has the others:
//
//	web := middleware.Chain(middleware.TLS(cfg))(middleware.HTTP(srv))
//	g.Use(middleware.Sniff([]middleware.SniffRoute{
//		{middleware.MatchSSH(), ssh},
//		{middleware.MatchTLS(), web},
//	}, nil))
//
// It belongs where the bytes are what its routes expect: in front of [TLS] if
// it routes TLS, behind ProxyProtocol. Behind TLS the protocol that was settled
// is in the connection's Info, and [When] chooses by that without reading.
//
// No byte is lost: whoever has the connection reads them again. They are asked
// in order, and a route that needs more bytes is waited for before a later one
// is tried. What cannot be decided goes on without the routes that still need
// more, when MaxBytes have come, when the client sends no more, and when
// Timeout has passed. So a server that speaks first may be behind Sniff, and
// speaks Timeout later.
//
// In a drain a client that has sent nothing is waited for no longer, though for
// a second where it has just come: the rest of the chain has it at once and sees
// Draining, so that a server that speaks first can say that it goes. One that has
// sent a part has Timeout for the rest.
//
// A route's Handler is the end of the chain for its connections: the group's
// own is not called. Routes are copied; Sniff panics if one is incomplete.
// opts may be nil.
func Sniff(routes []SniffRoute, opts *SniffOptions) lgrp.Middleware {
	s := sniffer{routes: append([]SniffRoute(nil), routes...)}
	for i, r := range s.routes {
		if r.Match == nil || r.Handler == nil {
			panic(fmt.Sprintf("middleware: Sniff with an incomplete route: the one at %d has no Match or no Handler", i))
		}
	}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Timeout == 0 {
		s.opts.Timeout = 10 * time.Second
	}
	if s.opts.MaxBytes <= 0 {
		s.opts.MaxBytes = 20 << 10
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			h, nc, err := s.pick(nc, c)
			if err != nil {
				return err
			}
			if h == nil {
				return next(ctx, nc, c)
			}
			c.StartServing() // h takes the place of the group's handler
			return h(ctx, nc, c)
		}
	}
}

type sniffer struct {
	routes []SniffRoute
	opts   SniffOptions
}

// pick returns the handler of a route, or nil, and the connection with all of
// its bytes. Its error is the connection's.
func (s *sniffer) pick(nc net.Conn, c *lgrp.AnyConn) (lgrp.Handler, net.Conn, error) {
	var limit time.Time
	if s.opts.Timeout > 0 {
		limit = time.Now().Add(s.opts.Timeout)
	}
	defer nc.SetReadDeadline(time.Time{})
	var head []byte
	for first, last := 0, len(s.routes) == 0; ; {
		for ; first < len(s.routes); first++ {
			r := &s.routes[first]
			switch v := r.Match(head); {
			case v == SniffYes:
				return r.Handler, nc, nil
			case v == SniffMore && !last:
			default:
				continue
			}
			break
		}
		if first == len(s.routes) {
			return nil, nc, nil
		}
		var err error
		if len(head) == 0 {
			head, nc, err = peekFirst(nc, c, limit, 1, s.opts.MaxBytes)
		} else {
			head, nc, err = netx.PeekAtLeast(nc, len(head)+1, s.opts.MaxBytes)
		}
		if err != nil && !netx.IsTimeout(err) && !errors.Is(err, io.EOF) {
			return nil, nc, err
		}
		last = err != nil || len(head) >= s.opts.MaxBytes
	}
}
