package lgrp_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// Evictions that are under way count for those whom they can help.

func TestBugVictimThatHelpedNobodyKeptOthersFromHavingOne(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			c.SetIdle(true)
			if c.Listener.name == "a" {
				return stubborn(stuck)(ctx, nc, c)
			}
			return hold(ctx, nc, c)
		}, &lgrp.Options{OnLimit: lgrp.EvictIdle()})
		_, a := adopt(t, g, spec{ID: "a", MaxConns: 1, Context: lctx{"a"}})
		b, bLn := adopt(t, g, spec{ID: "b", MaxConns: 1})
		a.NewConn()
		bLn.NewConn()
		synctest.Wait()
		a.NewConn() // has 1 evicted, which does not go
		synctest.Wait()
		require.True(t, g.Kill(3, nil))
		synctest.Wait()
		bLn.NewConn()
		synctest.Wait()
		require.EqualValues(t, 1, b.Info().Closed[lgrp.ReasonEvicted], "what is being closed at a does not help b")
		require.Zero(t, b.Info().Parked)
		close(stuck)
		synctest.Wait()
		require.Equal(t, 1, g.Info().Active)
		check(t, g)
	})
}

func TestVictimOfAFullListenerHelpsItsOwnWaiterAndNobodyElse(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			c.SetIdle(true)
			if c.Listener.name == "a" {
				return stubborn(stuck)(ctx, nc, c)
			}
			return hold(ctx, nc, c)
		}, &lgrp.Options{MaxConns: 2, OnLimit: lgrp.EvictIdle()})
		a, aLn := adopt(t, g, spec{ID: "a", MaxConns: 1, Context: lctx{"a"}})
		b, bLn := adopt(t, g, spec{ID: "b"})
		aLn.NewConn()
		bLn.NewConn()
		synctest.Wait()
		aLn.NewConn() // has 1 evicted, which does not go: its slot is for this one
		synctest.Wait()
		bLn.NewConn()
		synctest.Wait()
		require.EqualValues(t, 1, b.Info().Closed[lgrp.ReasonEvicted], "its arrival needs a victim of its own")
		require.Equal(t, 1, b.Info().Active)
		close(stuck)
		synctest.Wait()
		require.EqualValues(t, 2, sum(a.Info().Closed), "the waiter had the slot, and did not stay either: %+v", a.Info())
		require.Zero(t, g.Info().Parked)
		check(t, g)
	})
}

func TestBugWaiterThatNobodyCouldHelpCostAnotherConnection(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			c.SetIdle(c.Listener.name == "a")
			if c.ID() == 1 {
				return stubborn(stuck)(ctx, nc, c)
			}
			return hold(ctx, nc, c)
		}, &lgrp.Options{MaxConns: 3, OnLimit: lgrp.EvictIdle()})
		a, aLn := adopt(t, g, spec{ID: "a", Context: lctx{"a"}})
		_, b := adopt(t, g, spec{ID: "b", MaxConns: 1})
		for _, ln := range []*testkit.Listener{aLn, aLn, b, b, aLn} { // the fourth waits for b, the fifth has 1 evicted
			ln.NewConn()
			synctest.Wait()
		}
		require.Equal(t, 1, a.Info().Parked)
		require.True(t, g.Kill(5, nil))
		synctest.Wait()
		aLn.NewConn() // waits for the slot of 1 instead
		synctest.Wait()
		require.Zero(t, a.Info().Closed[lgrp.ReasonEvicted], "1 is still there, and 2 need not go")
		close(stuck)
		synctest.Wait()
		require.EqualValues(t, 1, a.Info().Closed[lgrp.ReasonEvicted])
		require.Zero(t, a.Info().Parked)
		check(t, g)
	})
}

// idlers is a listener of a full group of two, whose connections are idle until
// they end; the first then calls linger, and stays until the test ends.
func idlers(t *testing.T, linger func(*conn)) (*group, *testkit.Listener) {
	release := make(chan struct{})
	g := newGroup(t, func(ctx context.Context, _ net.Conn, c *conn) error {
		c.SetIdle(true)
		<-ctx.Done()
		if c.ID() == 1 {
			linger(c)
			<-release
		}
		return nil
	}, &lgrp.Options{MaxConns: 2, OnLimit: lgrp.EvictIdle()})
	t.Cleanup(func() { close(release) })
	_, ln := adopt(t, g, spec{})
	return g, ln
}

// A victim that gives its slot back itself has done what it was chosen for: the
// next arrival has another closed.
func TestEvictIdleVictimThatUncounts(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g, ln := idlers(t, func(c *conn) { c.Uncount() })
		for range 5 {
			ln.NewConn()
			time.Sleep(time.Second)
			require.Zero(t, g.Info().Parked, "%+v", g.Info())
		}
		require.EqualValues(t, 2, g.Info().Closed[lgrp.ReasonEvicted], "and the first has not returned")
	})
}

// One that was idle and has been ended since is none to be chosen.
func TestEvictIdlePassesOverTheDead(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g, ln := idlers(t, func(*conn) {})
		ln.NewConn()
		time.Sleep(time.Second)
		ln.NewConn()
		time.Sleep(time.Second)
		require.True(t, g.Kill(1, nil))
		ln.NewConn()
		time.Sleep(time.Second)
		require.Zero(t, g.Info().Parked, "%+v", g.Info())
	})
}
