package lgrp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// stateLog records the moves of listeners.
func stateLog(j *journal) *lgrp.Events {
	return &lgrp.Events{ListenerState: func(i lgrp.ListenerInfo, from lgrp.ListenerState) {
		line := fmt.Sprintf("%s %s→%s", i.ID, from, i.State)
		if i.Cause != nil {
			line += fmt.Sprintf(" (%v)", errors.Unwrap(i.Cause))
		}
		j.add(line)
	}}
}

func TestListenerStates(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, hold, &lgrp.Options{Events: stateLog(&j)})
		l, ln := adopt(t, g, spec{ID: "a", MaxConns: 1, OnBound: func(_ context.Context, i lgrp.ListenerInfo) error {
			require.Equal(t, lgrp.StateStarting, i.State)
			require.False(t, g.Ready())
			return nil
		}})
		require.True(t, g.Ready())
		step := func(want lgrp.ListenerState) {
			t.Helper()
			synctest.Wait()
			requireState(t, l, want)
		}
		step(lgrp.StateAccepting)
		require.NoError(t, l.Resume(t.Context()), "repeating an intent is no error")
		require.NoError(t, l.Pause())
		require.NoError(t, l.Pause())
		step(lgrp.StatePaused)
		require.False(t, g.Ready())
		require.NoError(t, l.Resume(t.Context()))
		step(lgrp.StateAccepting)
		c := ln.NewConn()
		ln.NewConn()
		step(lgrp.StateFull)
		require.True(t, g.Ready())
		require.NoError(t, c.Close())
		step(lgrp.StateAccepting)
		ln.SetAcceptError(syscall.EMFILE)
		step(lgrp.StateBackingOff)
		require.ErrorIs(t, l.Info().Cause, syscall.EMFILE)
		ln.SetAcceptError(nil)
		time.Sleep(2 * time.Second)
		step(lgrp.StateAccepting)
		require.NoError(t, l.Info().Cause)
		require.NoError(t, l.Release())
		require.NoError(t, l.Release())
		step(lgrp.StateReleased)
		require.ErrorContains(t, l.Pause(), "from released to paused")
		err := l.Resume(t.Context())
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "resume listener a")
		_, err = l.Drain(canceled(), nil)
		require.Error(t, err, "the second connection was forced")
		step(lgrp.StateClosed)
		require.ErrorContains(t, l.Pause(), "from closed to paused")
		require.ErrorContains(t, l.Release(), "from closed to released")
		require.ErrorContains(t, l.Resume(t.Context()), "from closed to accepting")
		require.NoError(t, l.Remove(lgrp.KeepConns))
		require.Error(t, l.Remove(lgrp.RemoveMode(7)))
		_, ok := g.Listener("a")
		require.False(t, ok, "a drained listener leaves at once")
		require.Equal(t, []string{
			"a starting→accepting", "a accepting→paused", "a paused→accepting", "a accepting→full",
			"a full→accepting", "a accepting→backing-off (accept4: too many open files)", "a backing-off→accepting",
			"a accepting→released", "a released→draining", "a draining→closed",
		}, j.all())
	})
}

func TestPauseParksWhatAcceptWasAboutToReturn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		l, ln := adopt(t, g, spec{})
		ln.SetAcceptDelay(time.Second)
		ln.NewConn()
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Pause())
		time.Sleep(5 * time.Second)
		synctest.Wait()
		info := l.Info()
		require.Equal(t, 0, info.Active)
		require.Equal(t, 1, info.Parked, "the one that Accept had taken")
		require.Equal(t, 1, ln.Pending(), "the other stays in the kernel")
		check(t, g)
		require.NoError(t, l.Resume(t.Context()))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, l.Info().Active)
	})
}

// shy hides everything but net.Listener's three methods.
type shy struct{ net.Listener }

func TestPauseWithoutSetDeadline(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		ln := testkit.Listen(t)
		l, err := g.Add(t.Context(), spec{ID: "shy", Listener: shy{ln}})
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, l.Pause())
		ln.NewConn()
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, 1, l.Info().Parked, "the Accept that was under way yields one")
		require.NoError(t, l.Resume(t.Context()))
		synctest.Wait()
		require.Equal(t, 2, l.Info().Active)
		report, err := l.Drain(canceled(), nil)
		require.Error(t, err)
		require.Equal(t, 2, report.Forced)
		_, err = ln.Dial()
		require.Error(t, err, "closed, which is what ends its Accept")
	})
}

func TestReleaseServesTheQueueWithinTheLimits(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		l, ln := adopt(t, g, spec{MaxConns: 2})
		require.NoError(t, l.Pause())
		synctest.Wait()
		var cs []*testkit.Conn
		for range 5 {
			cs = append(cs, ln.NewConn())
		}
		require.NoError(t, l.Release())
		synctest.Wait()
		info := l.Info()
		require.Equal(t, []int{2, 3}, []int{info.Active, info.Parked})
		_, err := ln.Dial()
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		for i := range 5 {
			requireOpen(t, cs[i])
			require.NoError(t, cs[i].Close())
			synctest.Wait()
		}
		require.EqualValues(t, 5, l.Info().Closed[lgrp.ReasonReturned])
		check(t, g)
	})
}

func TestReleaseAndResumeKeepThePort(t *testing.T) {
	g := newGroup(t, echo, nil)
	bound := 0
	l, err := g.Add(t.Context(), spec{Addr: addr.MustParse("127.0.0.1:0"), OnBound: func(context.Context, lgrp.ListenerInfo) error {
		bound++
		return nil
	}})
	require.NoError(t, err)
	before := l.Addr()
	require.NoError(t, l.Release())
	_, err = net.Dial("tcp", before.String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	other, err := net.Listen("tcp", before.String())
	require.NoError(t, err)
	err = l.Resume(t.Context())
	var be *lgrp.BindError
	require.ErrorAs(t, err, &be)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.Equal(t, before, be.Addr)
	requireState(t, l, lgrp.StateReleased)
	require.NoError(t, other.Close())

	require.NoError(t, l.Resume(t.Context()))
	require.Equal(t, before, l.Addr())
	require.Equal(t, 2, bound)
	nc, err := net.Dial("tcp", before.String())
	require.NoError(t, err)
	require.NoError(t, nc.Close())
}

func TestRemove(t *testing.T) {
	for _, mode := range []lgrp.RemoveMode{lgrp.KeepConns, lgrp.KillConns} {
		t.Run(mode.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, hold, nil)
				l, ln := adopt(t, g, spec{ID: "x"})
				_, neighbour := adopt(t, g, spec{ID: "y"})
				c, n := ln.NewConn(), neighbour.NewConn()
				synctest.Wait()
				require.NoError(t, l.Remove(mode))
				again, _ := adopt(t, g, spec{ID: "x"}) // its id is free at once
				synctest.Wait()
				require.Greater(t, again.Serial(), l.Serial())
				requireState(t, l, lgrp.StateClosed)
				requireOpen(t, n)
				if mode == lgrp.KillConns {
					requireClosed(t, c)
					require.EqualValues(t, 1, l.Info().Closed[lgrp.ReasonListenerRemoved])
				} else {
					requireOpen(t, c)
					require.Equal(t, 1, l.Info().Active, "the handle still answers")
					require.Equal(t, 2, g.Info().Active, "totals include removed listeners")
					go func() {
						time.Sleep(time.Second)
						_ = c.Close()
					}()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					report, err := l.Drain(ctx, nil)
					require.NoError(t, err)
					require.Equal(t, &lgrp.DrainReport{Finished: 1, Took: time.Second}, report)
				}
				requireState(t, again, lgrp.StateAccepting)
				check(t, g)
			})
		})
	}
}

func TestRemoveTwiceKillsWhatWasKept(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		l, ln := adopt(t, g, spec{})
		c := ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Remove(lgrp.KeepConns))
		requireOpen(t, c)
		require.NoError(t, l.Remove(lgrp.KillConns))
		requireClosed(t, c)
	})
}

func TestOnBoundFailureUnbinds(t *testing.T) {
	boom := errors.New("database is down")
	for name, f := range map[string]func(context.Context, lgrp.ListenerInfo) error{
		"error": func(context.Context, lgrp.ListenerInfo) error { return boom },
		"panic": func(context.Context, lgrp.ListenerInfo) error { panic(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, echo, nil)
			var at addr.Addr
			_, err := g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("127.0.0.1:0"), OnBound: func(ctx context.Context, i lgrp.ListenerInfo) error {
				at = i.Addr
				return f(ctx, i)
			}})
			require.ErrorIs(t, err, boom)
			var be *lgrp.BindError
			require.ErrorAs(t, err, &be)
			var pe *lgrp.PanicError
			require.Equal(t, name == "panic", errors.As(err, &pe))
			_, err = net.Dial("tcp", at.String())
			require.Error(t, err)
			_, ok := g.Listener("a")
			require.False(t, ok)
			_, err = g.Listen(t.Context(), "127.0.0.1:0", lctx{})
			require.NoError(t, err)
		})
	}
}

func TestAddErrors(t *testing.T) {
	g := newGroup(t, echo, nil)
	_, err := g.Listen(t.Context(), "127.0.0.1:70000", lctx{})
	require.ErrorContains(t, err, "70000")
	_, err = g.Listen(t.Context(), "gopher://x:1", lctx{})
	require.ErrorContains(t, err, "gopher")
	_, err = g.Listen(t.Context(), "127.0.0.1:8000-8003", lctx{})
	require.ErrorContains(t, err, "AddAll")
	_, err = g.Add(t.Context(), spec{})
	require.ErrorContains(t, err, "neither Addr nor Listener")
	_, err = g.AddAll(t.Context(), spec{Addr: addr.MustParse("127.0.0.1:0")}, spec{})
	require.EqualError(t, err, "lgrp: listener spec: neither Addr nor Listener is set (of the spec at 1)")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, err = g.Add(t.Context(), spec{Addr: addr.MustParse(":0"), Listener: ln})
	require.ErrorContains(t, err, "both")
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed, "a refused listener is closed")

	l, err := g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("127.0.0.1:0")})
	require.NoError(t, err)
	_, err = g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("127.0.0.1:0")})
	require.ErrorIs(t, err, lgrp.ErrDuplicateID)
	_, err = g.Add(t.Context(), spec{Addr: l.Addr()})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, "lgrp: listen "+l.Addr().String())
	ln, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, err = g.Add(t.Context(), spec{ID: "a", Listener: ln})
	require.ErrorIs(t, err, lgrp.ErrDuplicateID)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = g.Add(t.Context(), spec{Addr: addr.MustParse(":0"), Use: []lgrp.Middleware{nil}})
	require.EqualError(t, err, "lgrp: listener spec: Use[0] is nil")
	_, err = g.Add(t.Context(), spec{Addr: addr.MustParse(":0"), Transport: []lgrp.Middleware{func(next lgrp.Handler) lgrp.Handler { return next }, nil}})
	require.EqualError(t, err, "lgrp: listener spec: Transport[1] is nil")
	_, err = g.Add(t.Context(), spec{Addr: addr.MustParse(":0"), Acceptors: -1})
	require.ErrorContains(t, err, "Acceptors")
	require.NoError(t, g.Close())
	_, err = g.Listen(t.Context(), ":0", lctx{})
	require.ErrorIs(t, err, lgrp.ErrGroupClosed)
	require.Panics(t, func() { g.Use(nil) })
	require.Panics(t, func() { g.UseTyped(nil) })
	require.Panics(t, func() { lgrp.New[lctx, cctx](nil, nil) })
}

func TestAddAllIsAllOrNothing(t *testing.T) {
	g := newGroup(t, echo, nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	freeAddr := addr.FromNet(free.Addr())
	require.NoError(t, free.Close())

	_, err = g.AddAll(t.Context(), spec{Addr: freeAddr}, spec{Addr: addr.FromNet(taken.Addr())})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	_, err = net.Dial("tcp", freeAddr.String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "the first was unbound again")
	require.Empty(t, g.Info().Listeners)

	p := freeAddr.Port()
	ls, err := g.AddAll(t.Context(),
		spec{ID: "range", Addr: addr.MustParse(fmt.Sprintf("127.0.0.1:%d-%d", p, p))},
		spec{ID: "one", Addr: addr.MustParse("127.0.0.1:0")})
	require.NoError(t, err)
	require.Len(t, ls, 2)
	require.Equal(t, "range", ls[0].ID())
	require.Equal(t, p, ls[0].Addr().Port())
}

func TestAddAllExpandsARange(t *testing.T) {
	g := newGroup(t, echo, nil)
	// Below the ports that clients get, which other tests leave in TIME_WAIT by
	// the thousand.
	for p := 10_000 + os.Getpid()%10_000; ; p += 2 {
		ls, err := g.AddAll(t.Context(), spec{ID: "r", Addr: addr.MustParse(fmt.Sprintf("127.0.0.1:%d-%d", p, p+1)), Context: lctx{"shared"}})
		if errors.Is(err, syscall.EADDRINUSE) && p < 30_000 {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []string{"r#1", "r#2"}, []string{ls[0].ID(), ls[1].ID()})
		require.Equal(t, p+1, ls[1].Addr().Port())
		require.Equal(t, lctx{"shared"}, ls[1].Context())
		return
	}
}
