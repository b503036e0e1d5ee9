package middleware_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

// The order that the package's documentation recommends, with all of the shelf
// at once, serves what needs most: HTTP/2 behind a proxy, with client
// certificates.
func TestTheOrderOfTheDocumentation(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		never := func(*lgrp.AnyConn) bool { return false }
		silent := slog.New(slog.DiscardHandler)
		var logged strings.Builder
		count := new(netx.Counter)
		cfg := serverTLS("h2")
		cfg.ClientCAs, cfg.ClientAuth = testCA().pool, tls.VerifyClientCertIfGiven
		transport := middleware.Chain(
			middleware.Labels(), middleware.Trace(),
			middleware.AllowFrom(middleware.MustIPSet("192.0.2.0/24")), middleware.DenyFrom(middleware.MustIPSet("192.0.2.99")),
			middleware.RateLimit(rate.Every(time.Minute), nil),
			middleware.When(never, middleware.Tarpit(nil)), middleware.When(never, middleware.PeerCred(nil)),
			middleware.Count(count), middleware.Throttle(&middleware.ThrottleOptions{Read: 1 << 30}),
			middleware.MaxBytes(&middleware.MaxBytesOptions{Read: 1 << 20}), middleware.MinRate(1, nil),
			middleware.IdleTimeout(time.Minute), middleware.Pcap(io.Discard, nil), middleware.WireLog(io.Discard, nil),
			middleware.Chaos(nil),
			middleware.HandshakeTimeout(time.Minute,
				middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}),
				middleware.Log(slog.New(slog.NewTextHandler(&logged, nil)), nil), middleware.Metrics(noSink{}),
				middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchSSH(), Handler: echo}}, nil),
				middleware.TLS(cfg)),
		)
		g := lgrp.New(lgrp.Typed[int, struct{}](middleware.HTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := lgrp.FromContext[int, struct{}](r.Context())
			h, _ := middleware.ProxyHeaderFrom(r.Context())
			fmt.Fprintln(w, r.Proto, c.Listener, r.RemoteAddr, h.Version, r.TLS.PeerCertificates[0].Subject.CommonName)
		})})), nil)
		g.Use(
			middleware.Recover(silent), middleware.DenyFrom(middleware.MustIPSet("203.0.113.0/24")),
			middleware.LimitPerIP(1, nil), middleware.LimitBy(1, func(c *lgrp.AnyConn) middleware.Key { return middleware.NameKey(c.Info().ServerName) }),
			middleware.RequireClientCert(nil), middleware.Limit(1), middleware.MaxLifetime(time.Hour, nil),
		)
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), lgrp.ListenerSpec[int]{Listener: ln, Context: 443, Transport: []lgrp.Middleware{transport}})
		require.NoError(t, err)

		client := clientTLS()
		client.Certificates = append(client.Certificates, testCA().issue("somebody"))
		c := &http.Client{Transport: &http.Transport{
			TLSClientConfig: client, ForceAttemptHTTP2: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				nc := ln.NewConn()
				_, err := io.WriteString(nc, "PROXY TCP4 198.51.100.7 203.0.113.1 1234 443\r\n")
				return nc, err
			},
		}}
		for range 2 {
			resp, err := c.Get("https://localhost")
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, "HTTP/2.0 443 198.51.100.7:1234 1 somebody\n", string(body))
		}
		require.NoError(t, g.Shutdown(t.Context()))
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonDrained: 1}, g.Info().Closed)
		require.Contains(t, logged.String(), "peer=198.51.100.7:1234")
		require.Contains(t, logged.String(), "reason=drained")
		require.NotZero(t, count.Counts().BytesRead)
	})
}
