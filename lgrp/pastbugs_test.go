package lgrp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// Each test here is a bug that the model found, in its smallest form.

func TestBugSweepEndedAtATransientError(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, nil)
		l, ln := adopt(t, g, spec{})
		ln.InjectAcceptError(syscall.ECONNABORTED, syscall.ECONNABORTED, syscall.ETIMEDOUT, syscall.ECONNABORTED)
		c := ln.NewConn()
		synctest.Wait() // backs off now, with errors and a client still queued
		requireState(t, l, lgrp.StateBackingOff)
		report, err := l.Drain(within(t, time.Second), nil)
		require.NoError(t, err)
		require.Equal(t, 1, report.Finished)
		_, err = c.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "served and asked to finish, not reset")
	})
}

func TestBugShutdownDidNotKnowOfARemoveUnderWay(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		l, ln := adopt(t, g, spec{})
		ln.SetAcceptDelay(700 * time.Millisecond)
		ln.NewConn()
		ln.NewConn()
		synctest.Wait()
		go func() { _ = l.Remove(lgrp.KeepConns) }()
		synctest.Wait()
		require.Error(t, g.Shutdown(within(t, time.Second)))
		require.Empty(t, collect(g))
		accepted := g.Info().Accepted
		time.Sleep(time.Minute)
		synctest.Wait()
		info := g.Info()
		require.Zero(t, info.Active)
		require.EqualValues(t, info.Accepted-accepted, info.Closed[lgrp.ReasonDrained], "what came after it was too late: %+v", info)
	})
}

func TestBugSlowListenerUsedUpTheTimeOfTheOthers(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, nil)
		_, slow := adopt(t, g, spec{ID: "slow"})
		slow.SetAcceptDelay(3 * time.Second)
		slow.NewConn()
		fast, ln := adopt(t, g, spec{ID: "fast"})
		require.NoError(t, fast.Pause())
		synctest.Wait()
		c := ln.NewConn()
		_ = g.Shutdown(within(t, time.Second))
		_, err := c.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "served, not reset")
	})
}

func TestBugParkedConnectionMadeAPausedListenerSpinDuringADrain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, slow := adopt(t, g, spec{ID: "slow"})
		slow.SetAcceptDelay(3 * time.Second)
		slow.NewConn()
		l, ln := adopt(t, g, spec{ID: "paused"})
		ln.SetAcceptDelay(time.Millisecond)
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Pause()) // the Accept under way yields one, which is parked
		time.Sleep(time.Second)
		_ = g.Shutdown(within(t, time.Second)) // testkit's spin guard fails the test
	})
}

func TestBugDrainForgotAConnectionThatItLetGoItself(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, func(context.Context, net.Conn, *conn) error { return nil }, nil)
		l, ln := adopt(t, g, spec{})
		ln.SetAcceptDelay(time.Second)
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Pause())
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, l.Info().Parked)
		report, err := g.Drain(within(t, time.Second), nil)
		require.NoError(t, err)
		require.Equal(t, 1, report.Finished)
	})
}

// tardy is a listener whose deadlines take a moment to come into force.
type tardy struct{ *testkit.Listener }

func (l tardy) SetDeadline(t time.Time) error {
	time.Sleep(time.Millisecond)
	return l.Listener.SetDeadline(t)
}

func TestBugDeadlineThatWasBeingTakenAwayWasAFailureOfAccept(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := tardy{testkit.Listen(t)} // before the group, which so ends first
		g := newGroup(t, hold, &lgrp.Options{Events: &lgrp.Events{AcceptError: func(_ lgrp.ListenerInfo, err error, retryIn time.Duration) {
			t.Errorf("Accept failed: %v; again in %v", err, retryIn)
		}}})
		l, err := g.Add(t.Context(), spec{Listener: ln})
		require.NoError(t, err)
		for range 3 {
			synctest.Wait()
			require.NoError(t, l.Pause())
			synctest.Wait()
			go func() { _ = l.Resume(context.Background()) }() // takes the deadline away in a millisecond
			synctest.Wait()
			requireState(t, l, lgrp.StateAccepting)
			time.Sleep(time.Second)
		}
	})
}

// The rest were found by reading.

func TestBugRemoveDuringOnBoundLeftTheSocketOpen(t *testing.T) {
	g := newGroup(t, echo, nil)
	var at addr.Addr
	_, err := g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("127.0.0.1:0"), OnBound: func(_ context.Context, i lgrp.ListenerInfo) error {
		at = i.Addr
		l, ok := g.Listener("a")
		require.True(t, ok)
		return l.Remove(lgrp.KeepConns)
	}})
	require.ErrorIs(t, err, lgrp.ErrListenerRemoved)
	_, err = net.Dial("tcp", at.String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestBugRejectDidNotReachWhatAPauseHadParked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Reject([]byte("busy"), 0)})
		l, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		ln.SetAcceptDelay(time.Second)
		c := ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Pause()) // the Accept under way yields one
		time.Sleep(5 * time.Second)
		require.Equal(t, 1, l.Info().Parked)
		require.NoError(t, l.Resume(t.Context()))
		synctest.Wait()
		info := l.Info()
		require.Equal(t, 0, info.Parked)
		require.EqualValues(t, 1, info.Closed[lgrp.ReasonLimit])
		requireState(t, l, lgrp.StateAccepting)
		b := make([]byte, 4)
		_, err := io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "busy", string(b))
		check(t, g)
	})
}

func TestBugDrainForgotAConnectionThatItEvictedItself(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.EvictIdle()})
		l, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		c, ok := g.Conn(1)
		require.True(t, ok)
		c.SetIdle(true)
		ln.SetAcceptDelay(time.Second)
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Pause())
		time.Sleep(5 * time.Second)
		report, err := g.Drain(within(t, time.Second), nil)
		require.Error(t, err, "hold has to be forced")
		require.Equal(t, 2, report.Finished+report.Forced+len(report.Stuck), "%+v", report)
	})
}

func TestBugRemoveDuringResumeLeftTheSocketOpen(t *testing.T) {
	g := newGroup(t, echo, nil)
	warmUps := 0
	var l *lgrp.Listener[lctx]
	l, err := g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("127.0.0.1:0"), OnBound: func(context.Context, lgrp.ListenerInfo) error {
		if warmUps++; warmUps == 2 {
			require.NoError(t, l.Remove(lgrp.KillConns))
			_, err := net.Dial("tcp", l.Addr().String())
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, l.Release())
	require.ErrorContains(t, l.Resume(t.Context()), "resume listener a: cannot go from closed to accepting")
}

func TestBugUseReachedWhatWasParked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1})
		_, ln := adopt(t, g, spec{})
		c := ln.NewConn()
		synctest.Wait()
		parked := ln.NewConn()
		synctest.Wait()
		g.Use(tag(&j, "late"))
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, []string{"build late"}, j.all(), "it affects those that are accepted later")
		ln.NewConn()
		require.NoError(t, parked.Close())
		synctest.Wait()
		require.Equal(t, []string{"build late", "late"}, j.all())
	})
}

func TestBugRunToldOfSomeFailureAndNotTheLast(t *testing.T) {
	for range 10 { // it was a matter of the order of a map
		testkit.Bubble(t, func(t *testing.T) {
			g := newGroup(t, hold, nil)
			first, last := errors.New("first"), errors.New("last")
			_, b := adopt(t, g, spec{ID: "b"})
			_, a := adopt(t, g, spec{ID: "a"})
			b.Abort(first)
			time.Sleep(time.Second)
			a.Abort(last)
			err := g.Run(t.Context())
			require.ErrorIs(t, err, lgrp.ErrNoListener)
			require.ErrorIs(t, err, last)
			require.ErrorIs(t, err, first)
		})
	}
}

func TestBugRemovedListenerCameBackWhenItsSuccessorFailed(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		failed, ln := adopt(t, g, spec{ID: "a"})
		ln.Abort(errors.New("gone"))
		synctest.Wait()
		_, err := g.Add(t.Context(), spec{ID: "a", Listener: testkit.Listen(t), OnBound: func(context.Context, lgrp.ListenerInfo) error {
			require.NoError(t, failed.Remove(lgrp.KeepConns))
			return errors.New("no")
		}})
		require.ErrorContains(t, err, "no")
		_, ok := g.Listener("a")
		require.False(t, ok)
	})
}

func TestBugAdoptedListenerStayedOpenWhenMiddlewarePanicked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		ln := testkit.Listen(t)
		require.Panics(t, func() {
			_, _ = g.Add(t.Context(), spec{Listener: ln, Use: []lgrp.Middleware{func(lgrp.Handler) lgrp.Handler { return nil }}})
		})
		_, err := ln.Dial()
		require.Error(t, err)
	})
}
