package middleware

import (
	"context"
	"errors"
	"net"

	"github.com/listengroup/listengroup/lgrp"
)

// AllowFrom lets through only connections whose peer is in set, and ends the
// others with [lgrp.ReasonDenied]. Peers without an IP address, as on unix
// sockets, are not in any set. The set can be changed at any time by its Set,
// which is about connections that come from then on.
//
// It stands outermost, since it is cheap and spares the rest the work, but
// inside ProxyProtocol, which tells who the real peer is.
func AllowFrom(set *IPSet) lgrp.Middleware {
	return ifPeer(set, true, errNotAllowed)
}

var errNotAllowed = refusal(lgrp.ReasonDenied, "AllowFrom", errors.New("peer not in the set"))

// ifPeer lets through those for which the set's answer is want.
func ifPeer(set *IPSet, want bool, denied error) lgrp.Middleware {
	if set == nil {
		panic("middleware: AllowFrom or DenyFrom with a nil *IPSet")
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if set.hasPeer(nc, c) != want {
				return denied
			}
			return next(ctx, nc, c)
		}
	}
}

// Inlined, it would lie on the stack of every idle connection.
//
//go:noinline
func (s *IPSet) hasPeer(nc net.Conn, c *lgrp.AnyConn) bool {
	peer := c.RemoteAddr()
	if peer == nil { // a zero AnyConn, as in tests
		peer = nc.RemoteAddr()
	}
	ip, ok := ipOf(peer)
	return ok && s.Contains(ip)
}
