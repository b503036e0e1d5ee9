package middleware_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit/prop"
)

// The laws of middleware, for those that let connections through.
func TestLaws(t *testing.T) {
	handshake := func(nc net.Conn) (net.Conn, error) {
		tc := tls.Client(nc, clientTLS())
		return tc, tc.Handshake()
	}
	asking := serverTLS()
	asking.ClientCAs, asking.ClientAuth = testCA().pool, tls.VerifyClientCertIfGiven
	known := func(nc net.Conn) (net.Conn, error) {
		cfg := clientTLS()
		cfg.Certificates = append(cfg.Certificates, testCA().issue("somebody"))
		tc := tls.Client(nc, cfg)
		return tc, tc.Handshake()
	}
	header := func(nc net.Conn) (net.Conn, error) {
		_, err := io.WriteString(nc, v1TCP4)
		return nc, err
	}
	ciphered := map[prop.Law]string{prop.LawInterfaces: "a *tls.Conn moves bytes through the cipher, not in the kernel"}
	for name, tc := range map[string]struct {
		mw   lgrp.Middleware
		spec prop.MiddlewareSpec
	}{
		"Chain":                  {middleware.Chain(middleware.Trace(), middleware.Labels()), prop.MiddlewareSpec{}},
		"When":                   {middleware.When(func(c *lgrp.AnyConn) bool { return c.ID()%2 == 0 }, middleware.Labels()), prop.MiddlewareSpec{}},
		"TLS":                    {middleware.TLS(serverTLS()), prop.MiddlewareSpec{Client: handshake, Transport: true, Deviations: ciphered}},
		"RequireClientCert":      {middleware.Chain(middleware.TLS(asking), middleware.RequireClientCert(nil)), prop.MiddlewareSpec{Client: known, Transport: true, Deviations: ciphered}},
		"ProxyProtocol":          {middleware.ProxyProtocol(nil), prop.MiddlewareSpec{Client: header, Transport: true}},
		"ProxyProtocol/optional": {middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Optional: true, Timeout: time.Second}), prop.MiddlewareSpec{Transport: true}},
		"Sniff": {middleware.Sniff([]middleware.SniffRoute{
			{Match: middleware.MatchSNI("nobody"), Handler: echo}, {Match: middleware.MatchSSH(), Handler: echo},
		}, &middleware.SniffOptions{Timeout: time.Second}), prop.MiddlewareSpec{Transport: true}},
		"HandshakeTimeout": {middleware.HandshakeTimeout(time.Minute, middleware.ProxyProtocol(nil), middleware.TLS(serverTLS())),
			prop.MiddlewareSpec{Transport: true, Deviations: ciphered, Client: func(nc net.Conn) (net.Conn, error) {
				nc, err := header(nc)
				if err != nil {
					return nil, err
				}
				return handshake(nc)
			}}},
		"Labels":  {middleware.Labels(), prop.MiddlewareSpec{}},
		"Trace":   {middleware.Trace(), prop.MiddlewareSpec{}},
		"WireLog": {middleware.WireLog(io.Discard, nil), prop.MiddlewareSpec{}},
		"Pcap":    {middleware.Pcap(io.Discard, &middleware.PcapOptions{MaxBytes: 100}), prop.MiddlewareSpec{}},
		"Chaos":   {middleware.Chaos(&middleware.ChaosOptions{DelayChance: 0.1, Delay: time.Millisecond}), prop.MiddlewareSpec{}},
		"PeerCred": {middleware.When(func(*lgrp.AnyConn) bool { return false }, middleware.PeerCred(&middleware.PeerCredOptions{
			Allow: func(netx.Cred) bool { return true },
		})), prop.MiddlewareSpec{}},
	} {
		t.Run(name, func(t *testing.T) { prop.TestMiddleware(t, tc.mw, tc.spec) })
	}
}
