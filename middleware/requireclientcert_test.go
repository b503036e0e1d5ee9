package middleware_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleRequireClientCert() {
	cfg := serverTLS()
	cfg.ClientAuth, cfg.ClientCAs = tls.VerifyClientCertIfGiven, testCA().pool
	g := lgrp.New(lgrp.Typed[struct{}, struct{}](func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, err := io.WriteString(nc, "welcome")
		return err
	}), nil)
	g.Use(middleware.TLS(cfg), middleware.RequireClientCert(func(state *tls.ConnectionState) error {
		if name := state.VerifiedChains[0][0].Subject.CommonName; name != "alice" {
			return fmt.Errorf("%s has no business here", name)
		}
		return nil
	}))
	l, err := g.Listen(context.Background(), "127.0.0.1:0", struct{}{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"alice", "mallory"} {
		ccfg := clientTLS()
		ccfg.Certificates = []tls.Certificate{testCA().issue(name)}
		nc, err := tls.Dial("tcp", l.Addr().String(), ccfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		reply, _ := io.ReadAll(nc)
		fmt.Printf("%s: %q\n", name, reply)
		nc.Close()
	}
	fmt.Println(ended(g, 2).Closed) // a client knows of the end before the group does
	g.Close()
	// Output:
	// alice: "welcome"
	// mallory: ""
	// map[returned:1 denied:1]
}

func TestRequireClientCert(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		auth  tls.ClientAuthType
		cert  []tls.Certificate
		check func(*tls.ConnectionState) error
		plain bool
		text  string
	}{
		"verified":          {auth: tls.VerifyClientCertIfGiven, cert: []tls.Certificate{testCA().issue("alice")}},
		"verified, checked": {auth: tls.RequireAndVerifyClientCert, cert: []tls.Certificate{testCA().issue("alice")}, check: func(*tls.ConnectionState) error { return nil }},
		"refused by check":  {auth: tls.VerifyClientCertIfGiven, cert: []tls.Certificate{testCA().issue("alice")}, check: func(*tls.ConnectionState) error { return boom }, text: "client certificate: boom"},
		"none":              {auth: tls.VerifyClientCertIfGiven, text: "no verified certificate"},
		"not asked for":     {cert: []tls.Certificate{testCA().issue("alice")}, text: "no verified certificate"},
		"not verified":      {auth: tls.RequireAnyClientCert, cert: []tls.Certificate{newAuthority("other").issue("alice")}, text: "no verified certificate"},
		"not TLS":           {plain: true, text: "not a TLS connection"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				cfg := serverTLS()
				cfg.ClientAuth = tc.auth
				if tc.auth != tls.RequireAnyClientCert { // there the client is not told whose will do
					cfg.ClientCAs = testCA().pool
				}
				mws := []lgrp.Middleware{middleware.TLS(cfg), middleware.RequireClientCert(tc.check)}
				if tc.plain {
					mws = mws[1:]
				}
				s := newStage(t, func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }, mws...)
				var nc net.Conn = s.dial()
				if !tc.plain {
					ccfg := clientTLS()
					ccfg.Certificates = tc.cert
					nc = tls.Client(nc, ccfg)
				}
				_, err := io.Copy(io.Discard, nc)
				require.NoError(t, err)
				e := s.awaitEnds(t, 1)[0]
				if tc.text == "" {
					require.Equal(t, lgrp.ReasonReturned, e.why, "%v", e.err)
					return
				}
				require.Equal(t, lgrp.ReasonDenied, e.why)
				require.ErrorContains(t, e.err, tc.text)
				if tc.check != nil {
					require.ErrorIs(t, e.err, boom)
				}
			})
		})
	}
}

func TestRequireClientCertAllocations(t *testing.T) {
	a, b := testkit.NewConnPair(t)
	cfg := serverTLS()
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, testCA().pool
	ccfg := clientTLS()
	ccfg.Certificates = []tls.Certificate{testCA().issue("alice")}
	done := make(chan error, 1)
	go func() { done <- tls.Client(a, ccfg).Handshake() }()
	tc := tls.Server(b, cfg)
	require.NoError(t, tc.Handshake())
	require.NoError(t, <-done)
	h := middleware.RequireClientCert(nil)(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, tc, c) }), 2.0) // the state
}
