package middleware_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleHandshakeTimeout() {
	g, dial := serve(greet, middleware.HandshakeTimeout(50*time.Millisecond,
		middleware.ProxyProtocol(nil), middleware.TLS(serverTLS())))
	nc := dial()
	fmt.Fprint(nc, "PROXY UNKNOWN\r\n") // and no ClientHello
	fmt.Println(ended(g, 1).Closed)
	g.Close()
	// Output: map[handshake:1]
}

func TestHandshakeTimeout(t *testing.T) {
	slow := func(d time.Duration) lgrp.Middleware {
		return func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				select {
				case <-time.After(d):
				case <-ctx.Done():
				}
				return next(ctx, nc, c)
			}
		}
	}
	for name, tc := range map[string]struct {
		mw     lgrp.Middleware
		served bool
		after  time.Duration // the connection's end
	}{
		"in time":         {middleware.HandshakeTimeout(5*time.Second, slow(2*time.Second), slow(2*time.Second)), true, 4*time.Second + time.Hour},
		"too slow":        {middleware.HandshakeTimeout(5*time.Second, slow(3*time.Second), slow(3*time.Second)), false, 5 * time.Second},
		"empty":           {middleware.HandshakeTimeout(5 * time.Second), true, time.Hour},
		"inner too slow":  {middleware.HandshakeTimeout(9*time.Second, middleware.HandshakeTimeout(5*time.Second, slow(6*time.Second))), false, 5 * time.Second},
		"outer too slow":  {middleware.HandshakeTimeout(9*time.Second, middleware.HandshakeTimeout(5*time.Second, slow(4*time.Second)), slow(6*time.Second)), false, 9 * time.Second},
		"nested, in time": {middleware.HandshakeTimeout(9*time.Second, middleware.HandshakeTimeout(5*time.Second, slow(4*time.Second)), slow(4*time.Second)), true, 8*time.Second + time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				served := false
				s := newStage(t, func(context.Context, net.Conn, *lgrp.AnyConn) error {
					served = true
					time.Sleep(time.Hour)
					return nil
				}, tc.mw)
				begun := time.Now()
				s.dial()
				e := s.awaitEnds(t, 1)[0]
				require.Equal(t, tc.served, served)
				require.Equal(t, tc.after, time.Since(begun))
				if !tc.served {
					require.Equal(t, lgrp.ReasonHandshake, e.why)
					require.ErrorIs(t, e.err, os.ErrDeadlineExceeded)
				}
			})
		})
	}
}

func TestHandshakeTimeoutAllocations(t *testing.T) {
	h := middleware.HandshakeTimeout(time.Minute)(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, nil, c) }), 3.0) // timer, its function, context
}
