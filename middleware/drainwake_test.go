package middleware_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// awaitFirst are the middlewares that wait for a client's first bytes.
func awaitFirst(timeout time.Duration) map[string]lgrp.Middleware {
	return map[string]lgrp.Middleware{
		"ProxyProtocol":          middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Timeout: timeout}),
		"ProxyProtocol/optional": middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Timeout: timeout, Optional: true}),
		"Sniff": middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchProxy(), Handler: echo}},
			&middleware.SniffOptions{Timeout: timeout}),
	}
}

// What waits for the first bytes of a client that has nothing under way lets
// go when a drain begins.
func TestDrainFindsSilentClients(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		silent  time.Duration // when the drain begins
		send    string        // before it, for all to be decided by the rest
		more    time.Duration // after which the client sends the rest, from when the drain began
		took    time.Duration // the drain
		why     lgrp.Reason
		handled bool // also by ProxyProtocol that is not optional
	}{
		"silent":                       {silent: 5 * time.Second, why: lgrp.ReasonDrained},
		"silent, with patience":        {timeout: -1, silent: time.Hour, why: lgrp.ReasonDrained},
		"just come":                    {silent: 300 * time.Millisecond, took: 700 * time.Millisecond, why: lgrp.ReasonDrained},
		"just come, little patience":   {timeout: 500 * time.Millisecond, silent: 300 * time.Millisecond, took: 200 * time.Millisecond, why: lgrp.ReasonDrained},
		"just come, and sends":         {silent: 300 * time.Millisecond, more: 600 * time.Millisecond, took: 600 * time.Millisecond, why: lgrp.ReasonDrained, handled: true},
		"in the middle":                {silent: 5 * time.Second, send: v1TCP4[:20], more: 4 * time.Second, took: 4 * time.Second, why: lgrp.ReasonDrained, handled: true},
		"in the middle, at the start":  {silent: 300 * time.Millisecond, send: v1TCP4[:20], more: 4 * time.Second, took: 4 * time.Second, why: lgrp.ReasonDrained, handled: true},
		"in the middle, with patience": {timeout: -1, silent: time.Hour, send: v1TCP4[:20], more: time.Hour, took: time.Hour, why: lgrp.ReasonDrained, handled: true},
	} {
		for of, mw := range awaitFirst(tc.timeout) {
			t.Run(of+"/"+name, func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					var handled atomic.Bool
					handler := func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
						handled.Store(true)
						if !c.IsDraining() {
							t.Error("not draining")
						}
						return nil
					}
					mw := mw
					if of == "Sniff" {
						mw = middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchPrefix(v1TCP4), Handler: handler}},
							&middleware.SniffOptions{Timeout: tc.timeout})
					}
					s := newStage(t, handler, mw)
					nc := s.dial()
					_, err := io.WriteString(nc, tc.send)
					require.NoError(t, err)
					time.Sleep(tc.silent)
					begun := time.Now()
					if tc.more > 0 {
						time.AfterFunc(tc.more, func() { _, _ = io.WriteString(nc, v1TCP4[len(tc.send):]) })
					}
					require.NoError(t, s.Shutdown(t.Context()))
					require.Equal(t, tc.took, time.Since(begun))
					require.Equal(t, tc.why, s.awaitEnds(t, 1)[0].why)
					require.Equal(t, tc.handled || of != "ProxyProtocol", handled.Load())
				})
			})
		}
	}
}

// A client that stops in the middle has what is left of the time.
func TestDrainFindsHalfAHeader(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, echo, middleware.ProxyProtocol(nil))
		_, err := io.WriteString(s.dial(), v1TCP4[:20])
		require.NoError(t, err)
		time.Sleep(4 * time.Second)
		begun := time.Now()
		require.NoError(t, s.Shutdown(t.Context()))
		require.Equal(t, 6*time.Second, time.Since(begun))
		require.Equal(t, lgrp.ReasonHandshake, s.awaitEnds(t, 1)[0].why)
	})
}

// A client that a drain takes in, for it was in the queue, is heard.
func TestDrainTakesInClientsThatAreHeard(t *testing.T) {
	for name, mw := range awaitFirst(0) {
		for when, wait := range map[string]time.Duration{"sent before": 0, "sends soon": 100 * time.Millisecond} {
			t.Run(name+"/"+when, func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					var heard atomic.Bool
					hears := func(next lgrp.Handler) lgrp.Handler {
						return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
							c.Drain(time.Time{}) // as the sweep finds it
							return next(ctx, nc, c)
						}
					}
					s := newStage(t, func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
						b := make([]byte, 4)
						_, err := io.ReadFull(nc, b)
						heard.Store(string(b) == "body")
						return err
					}, hears, mw)
					nc := s.dial()
					time.Sleep(wait)
					send := v1TCP4 + "body"
					if name == "Sniff" {
						send = "body"
					}
					_, err := io.WriteString(nc, send)
					require.NoError(t, err)
					e := s.awaitEnds(t, 1)[0]
					require.Equal(t, lgrp.ReasonDrained, e.why, "%v", e.err)
					require.True(t, heard.Load())
				})
			})
		}
	}
}

// A drain that begins while the first bytes come finds the layer going on: what
// it started must not set a deadline when the next one reads.
func TestDrainLeavesNoDeadlineToTheNext(t *testing.T) {
	for name, mw := range awaitFirst(0) {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				slow := func(next lgrp.Handler) lgrp.Handler {
					return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
						return next(ctx, &slowReadDeadlines{Conn: nc}, c)
					}
				}
				got := make(chan string, 1)
				s := newStage(t, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					all, err := io.ReadAll(nc) // for an hour
					got <- string(all)
					return err
				}, slow, mw)
				nc := s.dial()
				time.Sleep(5 * time.Second)
				go s.Shutdown(context.Background())
				time.Sleep(time.Second / 2) // the drain's deadline is on its way
				send := v1TCP4
				if name == "Sniff" {
					send = "" // silent ones go on there
				}
				_, err := io.WriteString(nc, send)
				require.NoError(t, err)
				time.Sleep(time.Hour)
				_, err = io.WriteString(nc, "body")
				require.NoError(t, err)
				require.NoError(t, nc.CloseWrite())
				require.Equal(t, lgrp.ReasonDrained, s.awaitEnds(t, 1)[0].why)
				require.Equal(t, "body", <-got)
			})
		})
	}
}

// slowReadDeadlines is slowDeadlines for reading.
type slowReadDeadlines struct{ net.Conn }

func (c *slowReadDeadlines) SetReadDeadline(t time.Time) error {
	if t.Equal(time.Now()) {
		time.Sleep(time.Second)
	}
	return c.Conn.SetReadDeadline(t)
}

// Where reading begins with a TLS handshake a client has as long for that as
// ever: crypto/tls takes a timeout for the end.
func TestSniffAwaitsATLSHandshake(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		wrap := func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				return next(ctx, tls.Server(nc, serverTLS()), c)
			}
		}
		s := newStage(t, echo, wrap, middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchPrefix("hello"), Handler: echo}}, nil))
		nc := s.dial()
		time.Sleep(5 * time.Second)
		tc := tls.Client(nc, clientTLS())
		_, err := io.WriteString(tc, "hello")
		require.NoError(t, err)
		require.NoError(t, tc.CloseWrite())
		_, err = io.ReadFull(tc, make([]byte, 5))
		require.NoError(t, err)
		synctest.Wait()
	})
}
