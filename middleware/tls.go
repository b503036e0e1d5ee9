package middleware

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// TLSOptions are the settings of [TLS]. A nil *TLSOptions means all defaults.
type TLSOptions struct {
	// Timeout is how long a handshake may take. Negative means for ever.
	// Defaults to 10 seconds.
	Timeout time.Duration
}

// TLS makes the connection a TLS server's. It belongs last into a listener's
// Transport, behind ProxyProtocol and in front of whatever looks at plaintext.
//
// The handshake runs on the connection's own goroutine, so a slow client holds
// up nobody. What TLS passes on is the real *tls.Conn, for net/http and others
// look for that type: middleware that wraps the stream, such as Count or
// Throttle, goes in front of TLS wherever HTTP/2 is served behind it. Beneath
// the *tls.Conn lies a [netx.WithCloseNotify], which [HTTP] and [Serve] need.
// The server name and protocol that were settled are in the connection's Info.
//
// A handshake that fails or takes too long ends the connection with
// ReasonHandshake, and next is not called. A drain does not cut a handshake
// short. When next has returned TLS sends close_notify, so that the peer can
// tell the end from a truncation; should the peer not take it, that lasts five
// seconds at most.
//
// Certificates are renewed without dropping a connection through the callbacks
// of cfg: GetCertificate ([CertFiles] has one that reloads files), or
// GetConfigForClient for a whole configuration, such as new client CAs. In
// these hello.Context() has the values of the connection's context, so
// [lgrp.AnyFromContext] works there. Client certificates are asked for with
// cfg.ClientAuth, and looked at with [RequireClientCert].
//
// cfg is used as it is, not copied, and must not be changed any more but by
// its SetSessionTicketKeys. HTTP/2 wants "h2" in cfg.NextProtos. opts is at
// most one. TLS panics if cfg has no source of certificates.
func TLS(cfg *tls.Config, opts ...*TLSOptions) lgrp.Middleware {
	if cfg == nil || len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil {
		panic("middleware: TLS without certificates: set Certificates, GetCertificate or GetConfigForClient")
	}
	timeout := 10 * time.Second
	switch {
	case len(opts) > 1:
		panic("middleware: TLS with more than one *TLSOptions")
	case len(opts) == 1 && opts[0] != nil && opts[0].Timeout != 0:
		timeout = opts[0].Timeout
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			nc = netx.WithCloseNotify(nc)
			tc := tls.Server(nc, cfg)
			if err := handshake(ctx, tc, timeout); err != nil {
				return &lgrp.CloseError{Reason: lgrp.ReasonHandshake, Err: fmt.Errorf("middleware: TLS handshake: %w", err)}
			}
			state := tc.ConnectionState()
			c.SetTLS(state.ServerName, state.NegotiatedProtocol)
			err := next(ctx, tc, c)
			_ = tc.CloseWrite()                  // close_notify, unless it was sent or nobody can hear it
			_ = nc.SetWriteDeadline(time.Time{}) // which CloseWrite leaves behind, also when it fails
			return err
		}
	}
}

// handshake is ended by its deadline, or by the group's closing the socket. A
// context that can be cancelled would make crypto/tls close the socket itself,
// before the connection has its reason.
func handshake(ctx context.Context, tc *tls.Conn, timeout time.Duration) error {
	if timeout > 0 {
		_ = tc.SetDeadline(time.Now().Add(timeout))
		defer tc.SetDeadline(time.Time{})
	}
	return tc.HandshakeContext(context.WithoutCancel(ctx))
}
