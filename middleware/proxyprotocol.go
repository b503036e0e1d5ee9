package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// ProxyProtocolOptions are the settings of [ProxyProtocol]. A nil
// *ProxyProtocolOptions means all defaults.
type ProxyProtocolOptions struct {
	// Trusted are the networks that proxies connect from. IPv4-mapped
	// addresses count as IPv4; unix sockets count as trusted. A list that is
	// empty trusts nobody else. Defaults to nil: everybody is trusted, so that
	// nobody but the proxies must be able to reach the listener, for whoever
	// sends a header chooses its address.
	Trusted []netip.Prefix

	// Optional lets connections through as they are that come from elsewhere,
	// or from a trusted network without a header. The latter cost a server
	// that speaks first the whole Timeout, which they may take to begin.
	// Defaults to false: the former end with ReasonDenied, the latter with
	// ReasonHandshake.
	Optional bool

	// Timeout is how long a header may take to arrive. Negative means for
	// ever. Defaults to 10 seconds.
	Timeout time.Duration

	// MaxHeader is the length in bytes of the longest header of version 2
	// that is accepted. Memory is taken as the bytes arrive. Defaults to
	// 65,551, the longest there can be.
	MaxHeader int
}

// ProxyProtocol reads the header, of version 1 or 2, by which a proxy such as
// HAProxy tells who its client is (the PROXY protocol,
// https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt). It belongs
// first into a listener's Transport, for the header precedes everything, TLS
// too; only what counts or logs the proxies' own connections goes in front.
//
// Behind it RemoteAddr and LocalAddr of the stream, and RemoteAddr of the
// connection, tell the client's address and the one it connected to; those of
// the proxy are in the connection's LocalAddr and, under the stream, for
// [netx.Underlying] to find. With the commands LOCAL and UNKNOWN, by which a
// proxy checks health, they stay the proxy's, and what else LOCAL comes with may
// be anything, but for a checksum. [ProxyHeaderFrom] has all of the
// header, with its extensions (TLVs). Where the proxy has ended TLS and says so
// by the extensions for authority and ALPN, these are in the connection's Info.
//
// A header that is wrong, too long or not there in time ends the connection
// with ReasonHandshake. In a drain a client that has sent nothing is waited for
// no longer, though for a second where it has just come: the connection ends with
// ReasonDrained, or with Optional goes on as it is. One that has sent a part has
// Timeout for the rest. The stream keeps what the socket can do: splice works.
// opts may be nil.
func ProxyProtocol(opts *ProxyProtocolOptions) lgrp.Middleware {
	var o ProxyProtocolOptions
	if opts != nil {
		o = *opts
	}
	var trusted *IPSet
	if o.Trusted != nil {
		trusted = new(IPSet)
		trusted.Set(o.Trusted...)
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxHeader <= 0 {
		o.MaxHeader = maxProxyV2
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if !trusts(trusted, nc.RemoteAddr()) {
				if o.Optional {
					return next(ctx, nc, c)
				}
				return &lgrp.CloseError{Reason: lgrp.ReasonDenied,
					Err: fmt.Errorf("middleware: PROXY header: %v is no trusted proxy", nc.RemoteAddr())}
			}
			h, nc, err := o.read(nc, c)
			if err == errProxyLetGo {
				return nil
			}
			if err != nil {
				return &lgrp.CloseError{Reason: lgrp.ReasonHandshake, Err: fmt.Errorf("middleware: PROXY header: %w", err)}
			}
			if h == nil {
				return next(ctx, nc, c)
			}
			h.tell(c)
			if h.Source != nil {
				p := &proxiedConn{remote: h.Source, local: h.Destination}
				p.Conn = nc
				nc = netx.Wrap(p)
			}
			return next(withValue(ctx, proxyHeaderKey{}, h), nc, c)
		}
	}
}

// ProxyHeaderFrom returns the PROXY header that the connection which ctx
// belongs to came with.
func ProxyHeaderFrom(ctx context.Context) (*ProxyHeader, bool) {
	h, ok := ctx.Value(proxyHeaderKey{}).(*ProxyHeader)
	return h, ok
}

type proxyHeaderKey struct{}

// proxiedConn reports the addresses of the proxy's client.
type proxiedConn struct {
	netx.Through
	remote, local net.Addr
}

func (c *proxiedConn) RemoteAddr() net.Addr { return c.remote }
func (c *proxiedConn) LocalAddr() net.Addr  { return c.local }

// trusts takes nil for everybody. Who can open a unix socket has been let in by
// its mode.
func trusts(trusted *IPSet, a net.Addr) bool {
	if _, ok := a.(*net.UnixAddr); ok || trusted == nil {
		return true
	}
	ip, ok := ipOf(a)
	return ok && trusted.Contains(ip)
}

// errProxyLetGo is read's for a client that a drain finds silent.
var errProxyLetGo = errors.New("drained")

// read reads a header. It returns nil if there is none and none is required.
// The connection it returns is to be used from then on, and has what was read
// beyond the header.
func (o *ProxyProtocolOptions) read(nc net.Conn, c *lgrp.AnyConn) (*ProxyHeader, net.Conn, error) {
	var limit time.Time
	if o.Timeout > 0 {
		limit = time.Now().Add(o.Timeout)
	}
	defer nc.SetReadDeadline(time.Time{})
	var head []byte
	for {
		m, err := measureProxyHeader(head)
		switch {
		case o.Optional && errors.Is(err, errNoProxyHeader):
			return nil, nc, nil
		case err != nil:
			return nil, nc, err
		case m.length > max(o.MaxHeader, maxProxyV1):
			return nil, nc, fmt.Errorf("%d bytes, longer than the %d allowed", m.length, o.MaxHeader)
		case m.length > 0 && len(head) >= m.length:
			h, err := parseProxyHeader(head[:m.length])
			if err == nil {
				err = discard(nc, m.length)
			}
			return h, nc, err
		}
		if len(head) == 0 {
			head, nc, err = peekFirst(nc, c, limit, m.least, m.most)
		} else {
			head, nc, err = netx.PeekAtLeast(nc, m.least, m.most)
		}
		switch {
		case err == nil:
		case o.Optional && !isProxyHeader(head) && (netx.IsTimeout(err) || errors.Is(err, io.EOF)):
			return nil, nc, nil // it said nothing, or too little to tell
		case len(head) == 0 && letGo(c, err):
			return nil, nc, errProxyLetGo
		case errors.Is(err, io.EOF) && len(head) > 0:
			return nil, nc, io.ErrUnexpectedEOF
		default:
			return nil, nc, err
		}
	}
}

// discard reads n bytes that have been peeked.
func discard(nc net.Conn, n int) error {
	var buf [256]byte
	for n > 0 {
		k, err := nc.Read(buf[:min(n, len(buf))])
		if err != nil {
			return err
		}
		n -= k
	}
	return nil
}
