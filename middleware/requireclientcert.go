package middleware

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// RequireClientCert lets in only clients whose certificate the TLS handshake
// has verified, and which check, if it is not nil, finds no fault with. It
// belongs behind [TLS], whose configuration has to ask for certificates:
// VerifyClientCertIfGiven, so that one port can serve clients with and without,
// of which this admits the former to a part of it; where all clients must have
// one, RequireAndVerifyClientCert refuses the others in the handshake already.
//
// The others end with ReasonDenied, also those that did not come over TLS, and
// those whose certificate was merely asked for (RequestClientCert,
// RequireAnyClientCert) and not verified. state.VerifiedChains[0][0] is the
// client's certificate; check must not change the state. It is called on the
// connection's goroutine, and its error is wrapped.
func RequireClientCert(check func(state *tls.ConnectionState) error) lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if err := verifiedClient(nc, check); err != nil {
				return &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: fmt.Errorf("middleware: client certificate: %w", err)}
			}
			return next(ctx, nc, c)
		}
	}
}

func verifiedClient(nc net.Conn, check func(*tls.ConnectionState) error) error {
	tc, ok := netx.Underlying[*tls.Conn](nc)
	if !ok {
		return errors.New("not a TLS connection")
	}
	state := tc.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return errors.New("no verified certificate")
	}
	if check != nil {
		return check(&state)
	}
	return nil
}
