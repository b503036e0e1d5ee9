package lgrp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// service is a GroupHandler with every optional method.
type service struct {
	journal
	connected func(context.Context, net.Conn, *conn) (handle, error)
}

func (s *service) Connected(ctx context.Context, nc net.Conn, c *conn) (handle, error) {
	s.add(fmt.Sprintf("%s connected %d", c.Listener.name, c.ID()))
	c.Data.n = int(c.ID())
	return s.connected(ctx, nc, c)
}
func (s *service) Disconnected(c *conn, err error) {
	s.add(fmt.Sprintf("%s disconnected %d: %v", c.Listener.name, c.Data.n, err))
}
func (s *service) Listening(i lgrp.ListenerInfo) { s.add(i.ID + " listening") }
func (s *service) Unlistening(i lgrp.ListenerInfo, err error) {
	s.add(fmt.Sprintf("%s unlistening after %d: %v", i.ID, i.Accepted, err))
}

func TestGroupHandlerHooks(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		connected func(context.Context, net.Conn, *conn) (handle, error)
		line      string
		reason    lgrp.Reason
	}{
		"served":     {func(context.Context, net.Conn, *conn) (handle, error) { return polite, nil }, "<nil>", lgrp.ReasonDrained},
		"no handler": {func(context.Context, net.Conn, *conn) (handle, error) { return nil, nil }, "lgrp: connection closed: denied: lgrp: Connected returned no handler", lgrp.ReasonDenied},
		"error":      {func(context.Context, net.Conn, *conn) (handle, error) { return nil, boom }, "boom", lgrp.ReasonError},
		"own reason": {func(context.Context, net.Conn, *conn) (handle, error) {
			return nil, &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: boom}
		}, "lgrp: connection closed: denied: boom", lgrp.ReasonDenied},
		"panic":  {func(context.Context, net.Conn, *conn) (handle, error) { panic(boom) }, "lgrp: panic: boom", lgrp.ReasonPanic},
		"Goexit": {func(context.Context, net.Conn, *conn) (handle, error) { runtime.Goexit(); return nil, nil }, "lgrp: panic: runtime.Goexit called", lgrp.ReasonPanic},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				s := &service{connected: tc.connected}
				g := lgrp.NewGroup(s, &lgrp.Options{Logger: silent})
				ln := testkit.Listen(t)
				_, err := g.Add(t.Context(), spec{ID: "a", Context: lctx{"a"}, Listener: ln})
				require.NoError(t, err)
				ln.NewConn()
				synctest.Wait()
				require.NoError(t, g.Shutdown(within(t, time.Minute)))
				require.Equal(t, []string{
					"a listening", "a connected 1", "a disconnected 1: " + tc.line, "a unlistening after 1: <nil>",
				}, s.all())
				require.EqualValues(t, 1, g.Info().Closed[tc.reason])
			})
		})
	}
}

func TestUnlisteningComesAfterTheLastConnection(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := &service{connected: func(context.Context, net.Conn, *conn) (handle, error) { return hold, nil }}
		g := lgrp.NewGroup(s, &lgrp.Options{Logger: silent})
		ln := testkit.Listen(t)
		l, err := g.Add(t.Context(), spec{ID: "a", Context: lctx{"a"}, Listener: ln})
		require.NoError(t, err)
		c := ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Remove(lgrp.KeepConns))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"a listening", "a connected 1"}, s.all(), "its context is still in use")
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, []string{"a listening", "a connected 1", "a disconnected 1: <nil>", "a unlistening after 1: <nil>"}, s.all())

		broken := testkit.Listen(t)
		_, err = g.Add(t.Context(), spec{ID: "b", Listener: broken})
		require.NoError(t, err)
		broken.Abort(errors.New("gone"))
		synctest.Wait()
		require.Contains(t, s.all()[5], "b unlistening after 0: ")
		require.Contains(t, s.all()[5], "gone")
		_, err = g.Add(t.Context(), spec{ID: "c", Listener: testkit.Listen(t), OnBound: func(context.Context, lgrp.ListenerInfo) error { return errors.New("no") }})
		require.Error(t, err)
		require.NoError(t, g.Close())
		require.Len(t, s.all(), 6, "a listener that was never listening is not unlistening")
	})
}

// plain has only Connected.
type plain struct{}

func (plain) Connected(context.Context, net.Conn, *conn) (handle, error) { return echo, nil }

func TestGroupHandlerWithoutHooks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := lgrp.NewGroup(plain{}, nil)
		defer g.Close()
		_, ln := adopt(t, g, spec{})
		c := ln.NewConn()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
	})
}

// tag makes middleware that writes down when it is passed.
func tag(j *journal, name string) lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		j.add("build " + name)
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			j.add(name)
			return next(ctx, nc, c)
		}
	}
}

func TestChainOrder(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, func(_ context.Context, _ net.Conn, c *conn) error {
			j.add(fmt.Sprintf("handler %d", c.Data.n))
			return nil
		}, nil)
		g.Use(tag(&j, "use1"))
		g.UseTyped(func(next handle) handle {
			j.add("build typed")
			return func(ctx context.Context, nc net.Conn, c *conn) error {
				c.Data.n = 42
				j.add("typed " + c.Listener.name)
				return next(ctx, nc, c)
			}
		})
		g.Use(tag(&j, "use2"))
		_, ln := adopt(t, g, spec{
			Context:   lctx{"front"},
			Transport: []lgrp.Middleware{tag(&j, "t1"), tag(&j, "t2")},
			Use:       []lgrp.Middleware{tag(&j, "spec")},
		})
		require.Equal(t, "build spec,build use2,build typed,build use1,build t2,build t1", strings.Join(j.all(), ","), "once for each listener")
		before := len(j.all())
		ln.NewConn()
		synctest.Wait()
		ln.NewConn()
		synctest.Wait()
		path := "t1,t2,use1,typed front,use2,spec,handler 42"
		require.Equal(t, path+","+path, strings.Join(j.all()[before:], ","))

		g.Use(tag(&j, "late")) // affects connections accepted from now on
		before = len(j.all())
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, "t1,t2,use1,typed front,use2,late,spec,handler 42", strings.Join(j.all()[before:], ","))
	})
}

func TestForeignConnectionInAChainIsAPanicThatIsContained(t *testing.T) {
	typed := func(next handle) handle { return next }
	for name, use := range map[string]func(*group){
		"before the handler":        func(*group) {},
		"before a typed middleware": func(g *group) { g.UseTyped(typed) },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, hold, nil)
				g.Use(func(next lgrp.Handler) lgrp.Handler {
					return func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
						return next(ctx, nc, new(lgrp.AnyConn))
					}
				})
				use(g)
				_, ln := adopt(t, g, spec{})
				ln.NewConn()
				synctest.Wait()
				require.EqualValues(t, 1, g.Info().Closed[lgrp.ReasonPanic])
			})
		})
	}
}

func TestEventsOfConnections(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(time.Second), Events: &lgrp.Events{
			ConnOpened: func(i lgrp.ConnInfo) { j.add(fmt.Sprintf("open %d counted=%v", i.ID, i.Counted)) },
			ConnClosed: func(i lgrp.ConnInfo, why lgrp.Reason, err error) {
				j.add(fmt.Sprintf("close %d %v %v %v", i.ID, i.Reason, why, err))
			},
		}})
		_, ln := adopt(t, g, spec{Transport: []lgrp.Middleware{func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				j.add(fmt.Sprintf("transport %d", c.ID()))
				return next(ctx, nc, c)
			}
		}}})
		c1 := ln.NewConn()
		synctest.Wait()
		ln.NewConn() // times out in the queue: no events
		time.Sleep(2 * time.Second)
		ln.NewConn() // is let in, then killed
		synctest.Wait()
		require.NoError(t, c1.Close())
		synctest.Wait()
		require.True(t, g.Kill(3, errors.New("enough")))
		synctest.Wait()
		require.Equal(t, []string{
			"open 1 counted=true", "transport 1", "close 1 returned returned <nil>",
			"open 3 counted=true", "transport 3", "close 3 killed killed enough",
		}, j.all())
	})
}

func TestSlowReceiverOfListenerEvents(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, Events: &lgrp.Events{ListenerState: func(i lgrp.ListenerInfo, from lgrp.ListenerState) {
			j.add(fmt.Sprintf("%s→%s", from, i.State))
			require.Nil(t, i.Closed)
			time.Sleep(time.Hour)
		}}})
		l, ln := adopt(t, g, spec{})
		synctest.Wait()
		for range 10 { // ten times full and back while the receiver sleeps
			a, b := ln.NewConn(), ln.NewConn()
			synctest.Wait()
			requireState(t, l, lgrp.StateFull)
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
			synctest.Wait()
		}
		require.NoError(t, l.Pause())
		time.Sleep(24 * time.Hour)
		require.Equal(t, []string{"starting→accepting", "accepting→paused"}, j.all())
		require.NoError(t, g.Shutdown(t.Context()))
		require.Equal(t, "draining→closed", j.all()[3], "Shutdown waits for the last event")
	})
}

// Moves that nobody comes to hear of do not pile up, and what is told of them is
// one unbroken way from the first state to the last.
func TestMovesForASlowReceiverAreBounded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		hear := make(chan struct{})
		told := 0
		last := lgrp.StateStarting
		g := newGroup(t, hold, &lgrp.Options{Events: &lgrp.Events{ListenerState: func(i lgrp.ListenerInfo, from lgrp.ListenerState) {
			<-hear
			told++
			require.Equal(t, last.String(), from.String())
			last = i.State
			require.NotEqual(t, from, i.State)
		}}})
		l, _ := adopt(t, g, spec{})
		for range 1000 {
			require.NoError(t, l.Pause())
			require.NoError(t, l.Resume(t.Context()))
		}
		require.NoError(t, l.Pause())
		close(hear)
		synctest.Wait()
		require.Less(t, told, 70)
		require.Equal(t, lgrp.StatePaused, last)
	})
}

func TestWait(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		require.NoError(t, g.Wait(t.Context(), func(c lgrp.Counts) bool { return c.Listeners == 1 }), "true at once")
		go func() {
			for range 5 {
				time.Sleep(time.Second)
				_ = ln.NewConn().Close()
			}
		}()
		begun := time.Now()
		calls := 0
		require.NoError(t, g.Wait(t.Context(), func(c lgrp.Counts) bool {
			calls++
			require.Equal(t, c.Accepted, uint64(c.Active+c.Uncounted+c.Parked)+c.Ended)
			return c.Ended == 5
		}))
		require.Equal(t, 5*time.Second, time.Since(begun))
		require.Less(t, calls, 25, "it is not polled")
		boom := errors.New("boom")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(boom) })
		require.Equal(t, boom, g.Wait(ctx, func(lgrp.Counts) bool { return false }))
		require.Panics(t, func() { _ = g.Wait(t.Context(), func(lgrp.Counts) bool { panic("mine") }) })
		ln.NewConn()
		until(t, g, active(1))
	})
}

func TestIDSourceIsShared(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var ids lgrp.IDSource
		g1, g2 := newGroup(t, hold, &lgrp.Options{IDs: &ids}), newGroup(t, hold, &lgrp.Options{IDs: &ids})
		_, ln1 := adopt(t, g1, spec{})
		_, ln2 := adopt(t, g2, spec{})
		seen := map[uint64]bool{}
		for range 10 {
			ln1.NewConn()
			ln2.NewConn()
			synctest.Wait()
		}
		for _, g := range []*group{g1, g2} {
			for c := range g.Conns() {
				require.False(t, seen[c.ID()])
				seen[c.ID()] = true
			}
		}
		require.Len(t, seen, 20)
		require.True(t, seen[1])
		require.EqualValues(t, 21, ids.Next())
	})
}

func TestInfoAsJSONAndInLogs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 7})
		_, ln := adopt(t, g, spec{ID: "front"})
		ln.NewConn()
		broken, bln := adopt(t, g, spec{ID: "broken"})
		bln.Abort(errors.New("gone"))
		synctest.Wait()
		c, _ := g.Conn(1)
		c.SetNote("GET /")
		b, err := json.Marshal(c.Info())
		require.NoError(t, err)
		var m map[string]any
		require.NoError(t, json.Unmarshal(b, &m))
		require.Equal(t, "front", m["listener"])
		require.Equal(t, "none", m["reason"])
		require.Equal(t, c.RemoteAddr().String(), m["remote"])
		require.NotContains(t, m, "Local")

		b, err = json.Marshal(g.Info())
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &m))
		ls := m["listeners"].([]any)
		require.Equal(t, "closed", ls[1].(map[string]any)["state"])
		require.Contains(t, ls[1].(map[string]any)["cause"], "gone")

		var buf syncBuffer
		log := slog.New(slog.NewTextHandler(&buf, nil))
		log.Info("x", "conn", c.Info(), "listener", broken.Info(), "group", g.Info())
		for _, want := range []string{"conn.id=1", "conn.listener=front", `conn.note="GET /"`, "listener.state=closed", "listener.cause=", "group.active=1"} {
			require.Contains(t, buf.String(), want)
		}
	})
}

func TestTextOfTheEnumerations(t *testing.T) {
	for _, r := range lgrp.Reasons() {
		b, err := r.MarshalText()
		require.NoError(t, err)
		var back lgrp.Reason
		require.NoError(t, back.UnmarshalText(b))
		require.Equal(t, r, back)
	}
	require.Equal(t, "reason(99)", lgrp.Reason(99).String())
	var s lgrp.ListenerState
	require.NoError(t, s.UnmarshalText([]byte("backing-off")))
	require.Equal(t, lgrp.StateBackingOff, s)
	require.ErrorContains(t, s.UnmarshalText([]byte("asleep")), `unknown listener state "asleep"`)
	for p, want := range map[string]string{
		lgrp.Backlog().String(): "Backlog()", lgrp.Queue(time.Second).String(): "Queue(1s)",
		lgrp.Reject(nil, 0).String(): "Reject(…, 1s)", lgrp.EvictIdle().String(): "EvictIdle()", lgrp.LimitPolicy{}.String(): "inherit",
	} {
		require.Equal(t, want, p)
	}
}
