package lgrp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func TestBacklogWaitsInTheKernel(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 2})
		l, ln := adopt(t, g, spec{})
		var cs []*testkit.Conn
		for range 5 {
			cs = append(cs, ln.NewConn())
		}
		synctest.Wait()
		requireState(t, l, lgrp.StateFull)
		info := g.Info()
		require.Equal(t, 2, info.Active)
		require.Equal(t, 1, info.Parked, "the accept goroutine holds one")
		require.Equal(t, 2, ln.Pending(), "the others wait in the kernel's queue")
		for i := range 5 {
			require.NoError(t, cs[i].Close())
			synctest.Wait()
			check(t, g)
			require.LessOrEqual(t, g.Info().Active, 2)
		}
		requireState(t, l, lgrp.StateAccepting)
		require.EqualValues(t, 5, g.Info().Closed[lgrp.ReasonReturned])
	})
}

func TestQueueParksWithoutAGoroutine(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(10 * time.Second)})
		l, ln := adopt(t, g, spec{})
		first := ln.NewConn()
		synctest.Wait()
		time.Sleep(time.Second)
		var cs []*testkit.Conn
		for range 20 {
			cs = append(cs, ln.NewConn())
		}
		synctest.Wait()
		require.Equal(t, 16, g.Info().Parked, "max(16, MaxConns)")
		require.Equal(t, 4, ln.Pending())
		requireState(t, l, lgrp.StateFull)

		require.NoError(t, first.Close()) // first come, first served
		synctest.Wait()
		require.Equal(t, 1, g.Info().Active)
		require.Equal(t, 16, g.Info().Parked)
		_, ok := g.Conn(2)
		require.True(t, ok, "the first of the queue is served")

		// The first 16, but for the one that is served, time out after exactly
		// ten seconds; then the rest of the kernel's queue is parked.
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		require.Zero(t, g.Info().Closed[lgrp.ReasonLimit])
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, 16, g.Info().Closed[lgrp.ReasonLimit])
		requireClosed(t, cs[1])
		requireOpen(t, cs[0])
		requireOpen(t, cs[18])
		require.Equal(t, 3, g.Info().Parked)
		check(t, g)
	})
}

func TestQueueTimeoutThatIsLateEndsNobody(t *testing.T) {
	// The time-out and the slot come at the same instant: whoever is first,
	// the connection is either served or timed out, never both.
	for range 50 {
		testkit.Bubble(t, func(t *testing.T) {
			g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(time.Second)})
			_, ln := adopt(t, g, spec{})
			first := ln.NewConn()
			synctest.Wait()
			second := ln.NewConn()
			synctest.Wait()
			time.AfterFunc(time.Second, func() { _ = first.Close() })
			time.Sleep(time.Second)
			synctest.Wait()
			info := g.Info()
			if info.Active == 1 {
				require.Zero(t, info.Closed[lgrp.ReasonLimit])
				requireOpen(t, second)
			} else {
				require.EqualValues(t, 1, info.Closed[lgrp.ReasonLimit])
				requireClosed(t, second)
			}
			check(t, g)
		})
	}
}

func TestRejectTellsWhy(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Reject([]byte("busy\n"), 3*time.Second)})
		l, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()

		c := ln.NewConn()
		_, err := c.Write([]byte("hello, I speak first"))
		require.NoError(t, err)
		reply, err := io.ReadAll(c)
		require.NoError(t, err, "a half-close, and no reset that overtakes the reply")
		require.Equal(t, "busy\n", string(reply))
		require.EqualValues(t, 1, g.Info().Closed[lgrp.ReasonLimit])
		requireState(t, l, lgrp.StateAccepting)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Len(t, collect(g), 1)

		silent := ln.NewConn() // never closes: is let go after the delay
		synctest.Wait()
		require.Len(t, collect(g), 2, "shown while it is being told")
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		require.Len(t, collect(g), 1)
		_, err = silent.Write([]byte("x"))
		require.Error(t, err)
		check(t, g)
	})
}

func TestRejectIsBounded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Reject([]byte("busy\n"), time.Minute)})
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		var cs []*testkit.Conn
		for range 100 {
			cs = append(cs, ln.NewConn())
		}
		synctest.Wait()
		require.Len(t, collect(g), 1+64)
		told := 0
		for _, c := range cs {
			if b, err := io.ReadAll(c); err == nil && string(b) == "busy\n" {
				told++
			}
		}
		require.Equal(t, 64, told, "the rest is closed without a word")
		require.EqualValues(t, 100, g.Info().Closed[lgrp.ReasonLimit])
		begun := time.Now()
		require.NoError(t, g.Close())
		require.Less(t, time.Since(begun), time.Minute, "nobody waits for clients that are being told")
	})
}

func TestEvictIdleClosesTheLongestIdle(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 3, OnLimit: lgrp.EvictIdle()})
		_, ln := adopt(t, g, spec{})
		for range 3 {
			ln.NewConn()
			synctest.Wait()
		}
		get := func(id uint64) *conn {
			c, ok := g.Conn(id)
			require.True(t, ok)
			return c
		}
		c1, c2, c3 := get(1), get(2), get(3)
		c2.SetIdle(true)
		c1.SetIdle(true)
		c3.SetIdle(true)
		c2.SetIdle(false)

		ln.NewConn() // evicts 1: idle for longest, since 2 is busy again
		synctest.Wait()
		require.Equal(t, lgrp.ReasonEvicted, c1.Info().Reason)
		require.Equal(t, lgrp.ReasonNone, c3.Info().Reason)
		ln.NewConn() // evicts 3
		synctest.Wait()
		require.Equal(t, lgrp.ReasonEvicted, c3.Info().Reason)
		ln.NewConn() // nobody is idle: waits
		synctest.Wait()
		require.Equal(t, 1, g.Info().Parked)
		c2.SetIdle(true) // and is let in when somebody becomes so
		synctest.Wait()
		require.Equal(t, lgrp.ReasonEvicted, c2.Info().Reason)
		require.Zero(t, g.Info().Parked)
		require.Equal(t, 3, g.Info().Active)
		require.EqualValues(t, 3, g.Info().Closed[lgrp.ReasonEvicted])
		check(t, g)
	})
}

func TestEvictIdleClosesOneForEachArrival(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		g := newGroup(t, func(_ context.Context, _ net.Conn, c *conn) error {
			c.SetIdle(true)
			<-release // is slow to notice that it was closed
			return nil
		}, &lgrp.Options{MaxConns: 4, OnLimit: lgrp.EvictIdle()})
		_, ln := adopt(t, g, spec{Acceptors: 2})
		for range 4 {
			ln.NewConn()
		}
		synctest.Wait()
		ln.NewConn()
		ln.NewConn()
		ln.NewConn()
		synctest.Wait()
		evicted := 0
		for c := range g.ConnInfos() {
			if c.Reason == lgrp.ReasonEvicted {
				evicted++
			}
		}
		require.Equal(t, 2, evicted, "two arrivals have been accepted, each costs one")
		close(release)
	})
}

func TestEvictIdleAtAListenerTakesItsOwn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 10, OnLimit: lgrp.EvictIdle()})
		_, a := adopt(t, g, spec{ID: "a"})
		_, b := adopt(t, g, spec{ID: "b", MaxConns: 1})
		a.NewConn()
		synctest.Wait()
		b.NewConn()
		synctest.Wait()
		ca, _ := g.Conn(1)
		cb, _ := g.Conn(2)
		ca.SetIdle(true) // longest idle, but ending it makes no room at b
		cb.SetIdle(true)
		b.NewConn()
		synctest.Wait()
		require.Equal(t, lgrp.ReasonNone, ca.Info().Reason)
		require.Equal(t, lgrp.ReasonEvicted, cb.Info().Reason)
		require.Equal(t, 2, g.Info().Active)
	})
}

func TestTwoLevels(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 3})
		la, a := adopt(t, g, spec{ID: "a", MaxConns: 2})
		lb, b := adopt(t, g, spec{ID: "b"})
		var as, bs []*testkit.Conn
		for range 3 {
			as = append(as, a.NewConn())
			synctest.Wait()
		}
		require.Equal(t, 2, la.Info().Active, "its own limit")
		require.Equal(t, 1, la.Info().Parked)
		bs = append(bs, b.NewConn())
		synctest.Wait()
		require.Equal(t, 1, lb.Info().Active, "a waiter that cannot use the group's slot does not hold it")
		bs = append(bs, b.NewConn())
		synctest.Wait()
		require.Equal(t, 1, lb.Info().Parked, "the group's limit")

		// A slot of a's goes to a's waiter: it came before b's, and now it can.
		require.NoError(t, as[0].Close())
		synctest.Wait()
		require.Equal(t, []int{2, 0, 1, 1}, []int{la.Info().Active, la.Info().Parked, lb.Info().Active, lb.Info().Parked})
		// The next one to b's.
		require.NoError(t, as[1].Close())
		synctest.Wait()
		require.Equal(t, []int{1, 0, 2, 0}, []int{la.Info().Active, la.Info().Parked, lb.Info().Active, lb.Info().Parked})
		require.NoError(t, bs[0].Close())
		synctest.Wait()
		check(t, g)
	})
}

func TestSetMaxConnsWhileItRuns(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		l, ln := adopt(t, g, spec{})
		for range 4 {
			ln.NewConn()
		}
		synctest.Wait()
		require.Equal(t, 4, g.Info().Active)
		g.SetMaxConns(2) // kills nobody
		c := ln.NewConn()
		synctest.Wait()
		require.Equal(t, 4, g.Info().Active)
		require.Equal(t, 1, g.Info().Parked)
		require.True(t, g.Kill(1, nil))
		require.True(t, g.Kill(2, nil))
		synctest.Wait()
		require.Equal(t, 2, g.Info().Active, "still at the lowered limit")
		require.Equal(t, 1, g.Info().Parked)
		require.True(t, g.Kill(3, nil))
		synctest.Wait()
		require.Zero(t, g.Info().Parked)
		requireOpen(t, c)
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, 1, g.Info().Parked)
		l.SetMaxConns(5) // not the listener's limit that it waits for
		synctest.Wait()
		require.Equal(t, 1, g.Info().Parked)
		g.SetMaxConns(0)
		synctest.Wait()
		require.Zero(t, g.Info().Parked)
		l.SetMaxConns(1)
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, 1, g.Info().Parked)
		l.SetMaxConns(-1)
		synctest.Wait()
		require.Equal(t, 4, g.Info().Active)
		require.Zero(t, l.Info().MaxConns)
		check(t, g)
	})
}

func TestUncountGivesTheSlotBack(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1})
		l, ln := adopt(t, g, spec{MaxConns: 1})
		first := ln.NewConn()
		synctest.Wait()
		ln.NewConn()
		synctest.Wait()
		c, ok := g.Conn(1)
		require.True(t, ok)
		c.Uncount()
		c.Uncount()
		synctest.Wait()
		info := l.Info()
		require.Equal(t, []int{1, 1, 0}, []int{info.Active, info.Uncounted, info.Parked})
		require.False(t, c.Info().Counted)
		requireOpen(t, first)
		check(t, g)
		require.NoError(t, first.Close())
		synctest.Wait()
		require.Zero(t, g.Info().Uncounted)
		check(t, g)
		report, err := g.Drain(canceled(), nil)
		require.Error(t, err)
		require.Equal(t, 1, report.Forced)
	})
}

func TestParkedConnectionsAreKilledLikeAnyOther(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(0)})
		_, ln := adopt(t, g, spec{})
		for range 3 {
			ln.NewConn()
			synctest.Wait()
		}
		require.True(t, g.Kill(2, fmt.Errorf("no")))
		require.False(t, g.Kill(2, nil), "over already")
		require.False(t, g.Kill(99, nil))
		synctest.Wait()
		require.EqualValues(t, 1, g.Info().Closed[lgrp.ReasonKilled])
		require.Equal(t, 1, g.Info().Parked)
		_, ok := g.Conn(3)
		require.False(t, ok, "its handler has not started")
		require.True(t, g.Kill(1, nil))
		synctest.Wait()
		_, ok = g.Conn(3)
		require.True(t, ok)
		check(t, g)
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func collect(g *group) (cs []lgrp.ConnInfo) {
	for c := range g.ConnInfos() {
		cs = append(cs, c)
	}
	return cs
}

// More accept goroutines than the queue has places.
func TestQueueWithManyAcceptors(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(0)})
		l, ln := adopt(t, g, spec{Acceptors: 17})
		clients := make([]net.Conn, 18)
		for i := range clients {
			clients[i] = ln.NewConn()
		}
		synctest.Wait()
		for _, nc := range clients {
			require.NoError(t, nc.Close())
		}
		synctest.Wait()
		requireState(t, l, lgrp.StateAccepting)
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, 1, l.Info().Active)
	})
}
