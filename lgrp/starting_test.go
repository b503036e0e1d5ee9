package lgrp_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

// What comes while a listener is being added, resumed or closed.

// stops are the ways in which a listener that starts becomes unwanted.
var stops = map[string]struct {
	do   func(*group, *lgrp.Listener[lctx]) error
	want error
}{
	"remove": {func(_ *group, l *lgrp.Listener[lctx]) error { return l.Remove(lgrp.KillConns) }, lgrp.ErrListenerRemoved},
	"listener drain": {func(_ *group, l *lgrp.Listener[lctx]) error {
		_, err := l.Drain(context.Background(), nil)
		return err
	}, lgrp.ErrDrained},
	"group drain": {func(g *group, _ *lgrp.Listener[lctx]) error {
		_, err := g.Drain(context.Background(), nil)
		return err
	}, lgrp.ErrDrained},
	"shutdown": {func(g *group, _ *lgrp.Listener[lctx]) error { return g.Shutdown(context.Background()) }, lgrp.ErrGroupClosed},
}

// countedListener counts how often it is closed.
type countedListener struct {
	net.Listener
	closes atomic.Int32
}

func (l *countedListener) Close() error {
	l.closes.Add(1)
	return l.Listener.Close()
}

func TestStoppedDuringWarmUp(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, echo, nil)
				first, second := &countedListener{Listener: testkit.Listen(t)}, &countedListener{Listener: testkit.Listen(t)}
				warmed := false
				_, err := g.AddAll(t.Context(),
					spec{ID: "first", Listener: first, OnBound: func(context.Context, lgrp.ListenerInfo) error {
						l, ok := g.Listener("second")
						require.True(t, ok)
						return stop.do(g, l)
					}},
					spec{ID: "second", Listener: second, OnBound: func(context.Context, lgrp.ListenerInfo) error {
						warmed = true
						return nil
					}})
				require.ErrorIs(t, err, stop.want)
				require.False(t, warmed, "warmed up though it was stopped before")
				synctest.Wait()
				require.EqualValues(t, 1, first.closes.Load())
				require.EqualValues(t, 1, second.closes.Load())
				require.Empty(t, g.Info().Listeners)
			})
		})
	}
}

// The address and the shards are asked for once, with no lock held.
func TestAddrMayUseTheGroup(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, echo, nil)
		asked := 0
		ln := addrFunc{testkit.Listen(t), func() {
			g.Info()
			asked++
		}}
		_, err := g.Add(t.Context(), spec{ID: "a", Listener: ln, OnBound: func(context.Context, lgrp.ListenerInfo) error { return nil }})
		require.NoError(t, err)
		require.Equal(t, 2, asked)
	})
}

type addrFunc struct {
	net.Listener
	f func()
}

func (l addrFunc) Addr() net.Addr {
	l.f()
	return l.Listener.Addr()
}

func (l addrFunc) Shards() []net.Listener {
	l.f()
	return []net.Listener{l.Listener}
}

func TestClosedGroupBindsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	g := newGroup(t, echo, nil)
	require.NoError(t, g.Close())
	_, err = g.Listen(t.Context(), taken.Addr().String(), lctx{})
	require.ErrorIs(t, err, lgrp.ErrGroupClosed)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = g.Listen(over, "127.0.0.1:0", lctx{})
	require.ErrorIs(t, err, lgrp.ErrGroupClosed)
	_, err = g.AddAll(t.Context())
	require.ErrorIs(t, err, lgrp.ErrGroupClosed)
	ln := &countedListener{Listener: taken}
	_, err = g.Add(t.Context(), spec{Listener: ln})
	require.ErrorIs(t, err, lgrp.ErrGroupClosed)
	require.EqualValues(t, 1, ln.closes.Load())
}

func TestStoppedWhileResumeBinds(t *testing.T) {
	binding, goOn := make(chan struct{}), make(chan struct{})
	slow := false
	netx.Register("slowtobind", func(ctx context.Context, _ addr.Addr, o *netx.Options) (net.Listener, error) {
		if slow {
			binding <- struct{}{}
			<-goOn
		}
		return net.Listen("tcp", "127.0.0.1:0")
	}, nil)
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, echo, nil)
			bound := 0
			slow = false
			l, err := g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("slowtobind:a"), OnBound: func(context.Context, lgrp.ListenerInfo) error {
				bound++
				return nil
			}})
			require.NoError(t, err)
			require.NoError(t, l.Release())
			slow = true
			resumed := make(chan error, 1)
			go func() { resumed <- l.Resume(context.Background()) }()
			<-binding
			require.NoError(t, stop.do(g, l))
			goOn <- struct{}{}
			require.Error(t, <-resumed)
			require.Equal(t, 1, bound, "warmed up after it was over")
		})
	}
}

// A Remove or Release that is under way when there is no time left is waited
// for: afterwards the socket is closed and nothing more is told.
func TestCloseWaitsForAListenerThatIsBeingClosed(t *testing.T) {
	for name, op := range map[string]func(*lgrp.Listener[lctx]) error{
		"remove":  func(l *lgrp.Listener[lctx]) error { return l.Remove(lgrp.KeepConns) },
		"release": (*lgrp.Listener[lctx]).Release,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var told journal
				g := lgrp.NewGroup(listenerHooks{hold, &told}, &lgrp.Options{Logger: silent})
				ln := &countedListener{Listener: testkit.Listen(t)}
				l, err := g.Add(t.Context(), spec{Listener: ln})
				require.NoError(t, err)
				synctest.Wait()
				go func() { _ = op(l) }() // sweeps for ten milliseconds
				synctest.Wait()
				require.Zero(t, ln.closes.Load())
				require.NoError(t, g.Close())
				require.EqualValues(t, 1, ln.closes.Load())
				require.Equal(t, []string{"Listening", "Unlistening"}, told.all())
			})
		})
	}
}

// SetDeadline is what pauses and sweeps need; without a descriptor.
func (l *countedListener) SetDeadline(t time.Time) error {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return errors.ErrUnsupported
}

type listenerHooks struct {
	h    handle
	told *journal
}

func (h listenerHooks) Connected(context.Context, net.Conn, *conn) (handle, error) { return h.h, nil }
func (h listenerHooks) Listening(lgrp.ListenerInfo)                                { h.told.add("Listening") }
func (h listenerHooks) Unlistening(lgrp.ListenerInfo, error)                       { h.told.add("Unlistening") }

// A second Release or Remove waits for the first, so that it too means that the
// port is free.
func TestReleasedOrRemovedTwice(t *testing.T) {
	for name, op := range map[string]func(*lgrp.Listener[lctx]) error{
		"remove":  func(l *lgrp.Listener[lctx]) error { return l.Remove(lgrp.KeepConns) },
		"release": (*lgrp.Listener[lctx]).Release,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, hold, nil)
				ln := &countedListener{Listener: testkit.Listen(t)}
				l, err := g.Add(t.Context(), spec{Listener: ln})
				require.NoError(t, err)
				synctest.Wait()
				go func() { _ = op(l) }() // sweeps for ten milliseconds
				synctest.Wait()
				require.Zero(t, ln.closes.Load())
				require.NoError(t, op(l))
				require.EqualValues(t, 1, ln.closes.Load())
				require.NoError(t, l.Remove(lgrp.KeepConns))
			})
		})
	}
}

// The slices of a spec are the caller's, who may use them again.
func TestSpecsSlicesAreCopied(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		var through journal
		mark := func(name string) lgrp.Middleware {
			return func(next lgrp.Handler) lgrp.Handler {
				return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
					through.add(name)
					return next(ctx, nc, c)
				}
			}
		}
		transport, use := []lgrp.Middleware{mark("transport")}, []lgrp.Middleware{mark("use")}
		_, ln := adopt(t, g, spec{Transport: transport, Use: use})
		transport[0], use[0] = mark("another"), mark("another")
		g.Use(mark("group")) // has the chain built anew
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, []string{"transport", "group", "use"}, through.all())
	})
}

// A middleware that cannot be built leaves no trace.
func TestUseThatPanicsIsTakenBack(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, echo, nil)
		_, ln := adopt(t, g, spec{ID: "before"})
		broken := func(lgrp.Handler) lgrp.Handler { return nil }
		require.PanicsWithValue(t, "lgrp: a middleware returned a nil handler", func() { g.Use(broken) })
		_, second := adopt(t, g, spec{ID: "second"})
		built := 0
		require.Panics(t, func() {
			g.Use(func(lgrp.Handler) lgrp.Handler { // good for one of the two only
				if built++; built > 1 {
					return nil
				}
				return func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }
			})
		})
		serves(t, ln)
		serves(t, second)
		g.Use(func(next lgrp.Handler) lgrp.Handler { return next })
		_, after := adopt(t, g, spec{ID: "after"})
		serves(t, ln)
		serves(t, after)
	})
}

// serves fails unless what echoes is reached.
func serves(t *testing.T, ln *testkit.Listener) {
	t.Helper()
	nc := ln.NewConn()
	_, err := nc.Write([]byte("x"))
	require.NoError(t, err)
	_, err = nc.Read(make([]byte, 1))
	require.NoError(t, err)
}
