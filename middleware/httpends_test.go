package middleware_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func TestHTTPDrains(t *testing.T) {
	for name, tc := range map[string]struct {
		before string // requested, and answered, before the drain
		during string // under way when the drain begins
		later  string // requested, on the same connection, a second after it
		took   map[bool]time.Duration
	}{
		"idle":                     {before: "/proto", took: map[bool]time.Duration{false: 0, true: time.Second}},
		"busy":                     {during: "/slow", took: map[bool]time.Duration{false: 9 * time.Second, true: 9 * time.Second}},
		"busy, not the first":      {before: "/proto", during: "/slow", took: map[bool]time.Duration{false: 9 * time.Second, true: 9 * time.Second}},
		"first request on its way": {later: "/proto", took: map[bool]time.Duration{false: time.Second, true: time.Second}},
		"silent":                   {took: map[bool]time.Duration{false: 5 * time.Second, true: 9 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, h2 bool) {
				w := newWeb(t, h2, &http.Server{Handler: newSite()})
				c := w.client(t)
				var nc net.Conn = w.dial()
				c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return nc, nil }
				if h2 {
					// The connection is made before there is a request to make.
					tc := tls.Client(nc, clientTLS("h2"))
					require.NoError(t, tc.Handshake())
					tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return tc, nil }}
					c.Transport = tr
					defer tr.CloseIdleConnections()
				}
				if tc.before != "" {
					_, _, err := w.get(t.Context(), c, tc.before)
					require.NoError(t, err)
				}
				during := make(chan error, 1)
				if tc.during != "" {
					go func() {
						_, body, err := w.get(t.Context(), c, tc.during)
						if err == nil && body != "done" {
							err = errors.New(body)
						}
						during <- err
					}()
				} else {
					during <- nil
				}
				time.Sleep(time.Second)
				later := make(chan error, 1)
				if tc.later != "" {
					time.AfterFunc(time.Second, func() {
						resp, _, err := w.get(t.Context(), c, tc.later)
						if err == nil && !h2 && !resp.Close {
							err = errors.New("told to keep the connection")
						}
						later <- err
					})
				} else {
					later <- nil
				}
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.NoError(t, w.Shutdown(ctx))
				took := time.Since(begun)
				require.NoError(t, <-during)
				require.NoError(t, <-later) // the client may be behind the group
				require.Contains(t, []time.Duration{tc.took[h2], tc.took[h2] + time.Second}, took.Round(time.Second))
				require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonDrained: 1}, w.Info().Closed)
			})
		})
	}
}

// Whoever ends a connection by force finds its handlers' contexts done, and
// the connection over only when they have returned.
func TestHTTPKilled(t *testing.T) {
	forBoth(t, func(t *testing.T, h2 bool) {
		var running atomic.Int32
		w := newWeb(t, h2, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			running.Add(1)
			<-r.Context().Done()
			time.Sleep(time.Minute)
			running.Add(-1)
		})})
		c := w.client(t)
		go w.get(t.Context(), c, "/")
		time.Sleep(time.Second)
		boom := errors.New("boom")
		require.True(t, w.Kill(1, boom))
		begun := time.Now()
		e := w.awaitEnds(t, 1)[0]
		require.Equal(t, time.Minute, time.Since(begun))
		require.Zero(t, running.Load())
		require.Equal(t, lgrp.ReasonKilled, e.why)
		require.ErrorIs(t, e.err, boom)
		c.CloseIdleConnections()
	})
}

func TestHTTPHijacked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		w := newWeb(t, false, &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			nc, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c, _ := lgrp.AnyFromContext(r.Context())
			go func() { // the handler has returned, the connection goes on
				defer nc.Close()
				<-c.Draining()
				io.WriteString(nc, "bye")
			}()
		})})
		nc := w.dial()
		_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Equal(t, 1, w.Info().Active)
		require.NoError(t, w.Shutdown(t.Context()))
		all, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Equal(t, "bye", string(all))
	})
}

// An idle connection makes room for a new one, a busy one does not.
func TestHTTPEvictsIdle(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		g := lgrp.New(lgrp.Typed[struct{}, struct{}](middleware.HTTP(&http.Server{Handler: newSite()})),
			&lgrp.Options{MaxConns: 2, OnLimit: lgrp.EvictIdle()})
		_, err := g.Add(t.Context(), lgrp.ListenerSpec[struct{}]{Listener: ln})
		require.NoError(t, err)
		w := &web{stage: &stage{ListenGroup: g, ln: ln}}
		a, b, c := w.client(t), w.client(t), w.client(t)
		_, _, err = w.get(t.Context(), a, "/proto")
		require.NoError(t, err)
		slow := make(chan error, 1)
		go func() { _, _, err := w.get(t.Context(), b, "/slow"); slow <- err }()
		time.Sleep(time.Second)
		_, _, err = w.get(t.Context(), c, "/proto")
		require.NoError(t, err)
		require.NoError(t, <-slow)
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonEvicted: 1}, g.Info().Closed)
		require.NoError(t, g.Shutdown(t.Context()))
	})
}

// Whoever has hijacked a connection that is killed need not close it: nothing is
// left of it.
func TestHTTPHijackedAndKilled(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		w := newWeb(t, false, &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if _, _, err := http.NewResponseController(rw).Hijack(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute) // the handler's end is waited for all the same
		})})
		_, err := io.WriteString(w.dial(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		time.Sleep(time.Second)
		begun, boom := time.Now(), errors.New("boom")
		require.True(t, w.Kill(1, boom))
		e := w.awaitEnds(t, 1)[0]
		require.Equal(t, time.Minute-time.Second, time.Since(begun))
		require.Equal(t, lgrp.ReasonKilled, e.why)
		require.ErrorIs(t, e.err, boom)
	})
}
