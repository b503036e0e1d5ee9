package lgrp_test

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func TestDrainForcesAtTheDeadlineAndNamesTheStuck(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			switch c.ID() {
			case 1:
				return polite(ctx, nc, c)
			case 2:
				return hold(ctx, nc, c)
			}
			c.SetNote("COMMIT of 9,000 rows")
			return stubborn(release)(ctx, nc, c)
		}, nil)
		l, ln := adopt(t, g, spec{ID: "db"})
		for range 3 {
			ln.NewConn()
		}
		synctest.Wait()
		begun := time.Now()
		report, err := g.Drain(within(t, 10*time.Second), &lgrp.DrainOptions{ForceWait: 3 * time.Second})
		require.Equal(t, 13*time.Second, time.Since(begun))
		require.Equal(t, 13*time.Second, report.Took)
		require.Equal(t, []int{1, 1, 1}, []int{report.Finished, report.Forced, len(report.Stuck)})
		require.EqualValues(t, 3, report.Stuck[0].ID)
		require.Equal(t, "COMMIT of 9,000 rows", report.Stuck[0].Note)
		require.Equal(t, lgrp.ReasonForced, report.Stuck[0].Reason)
		var de *lgrp.DrainError
		require.ErrorAs(t, err, &de)
		require.Same(t, report, de.Report)
		require.ErrorContains(t, err, "1 connections finished, 1 forced, 1 stuck; first stuck: connection 3 of listener db (COMMIT")
		_, err = json.Marshal(report)
		require.NoError(t, err)
		requireState(t, l, lgrp.StateClosed)

		again, ln2 := adopt(t, g, spec{ID: "db"}) // Add works again
		ln2.NewConn()
		synctest.Wait()
		require.Equal(t, 1, again.Info().Active)
		check(t, g)
		close(release)
		synctest.Wait()
		require.EqualValues(t, 2, l.Info().Closed[lgrp.ReasonForced], "counted when it returns")
		check(t, g)
	})
}

func TestForcedConnectionsKnowWhy(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var cause error
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			_, _ = nc.Read(make([]byte, 1))
			cause = context.Cause(ctx)
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		require.Error(t, g.Shutdown(within(t, time.Second)))
		require.ErrorIs(t, cause, lgrp.ErrDrained)
		var ce *lgrp.CloseError
		require.ErrorAs(t, cause, &ce)
		require.Equal(t, lgrp.ReasonForced, ce.Reason)
	})
}

func TestCancellingForcesNow(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		report, err := g.Drain(ctx, nil)
		require.Error(t, err)
		require.Equal(t, &lgrp.DrainReport{Forced: 1, Took: time.Second}, report)
	})
}

func TestDrainForcesTheParked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(0)})
		_, ln := adopt(t, g, spec{})
		for range 3 {
			ln.NewConn()
			synctest.Wait()
		}
		report, err := g.Drain(within(t, time.Second), nil)
		require.Error(t, err)
		require.Equal(t, 3, report.Forced)
		require.EqualValues(t, 3, g.Info().Closed[lgrp.ReasonForced])
		check(t, g)
	})
}

func TestCloseErrsOnlyWhenStuck(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, g.Close())

		release := make(chan struct{})
		g = newGroup(t, stubborn(release), nil)
		_, ln = adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		begun := time.Now()
		var de *lgrp.DrainError
		require.ErrorAs(t, g.Close(), &de)
		require.Len(t, de.Report.Stuck, 1)
		require.Equal(t, time.Second, time.Since(begun), "ForceWait")
		close(release)
		synctest.Wait()
	})
}

func TestShutdownFromAHandlerIsBounded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var g *group
		var err error
		g = newGroup(t, func(context.Context, net.Conn, *conn) error {
			err = g.Shutdown(within(t, time.Minute))
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		begun := time.Now()
		ln.NewConn()
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Error(t, err)
		require.NoError(t, g.Close())
		require.Less(t, time.Since(begun), 3*time.Minute)
	})
}

// Past the deadline nobody is asked first: a handler that is quick to finish
// when asked would make it a matter of luck how many were forced.
func TestNobodyIsAskedPastTheDeadline(t *testing.T) {
	const n = 1000 // asking takes long enough for some to finish meanwhile
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			if c.ID()%2 == 0 {
				return polite(ctx, nc, c)
			}
			<-c.Draining() // all that it looks at
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		for range n {
			ln.NewConn()
			synctest.Wait() // the backlog is shorter
		}
		until(t, g, active(n))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		report, err := g.Drain(ctx, &lgrp.DrainOptions{NotReadyFor: time.Hour})
		var de *lgrp.DrainError
		require.ErrorAs(t, err, &de)
		require.Equal(t, time.Minute, report.Took)
		require.Equal(t, n, report.Forced)
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonForced: n}, g.Info().Closed)
	})
}

// A drain that has come to its deadline while another still closes the
// listener, for an Accept that cannot be interrupted, forces what that Accept
// yields: it is a connection of both drains.
func TestLateArrivalIsForcedByTheDrainThatIsPastItsDeadline(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			if c.ID() == 1 {
				<-release // keeps the hasty drain from being over
			}
			return hold(ctx, nc, c)
		}, nil)
		ln := testkit.Listen(t)
		l, err := g.Add(t.Context(), spec{Listener: struct{ net.Listener }{ln}}) // has no SetDeadline
		require.NoError(t, err)
		ln.NewConn()
		until(t, g, active(1))
		ln.SetAcceptDelay(500 * time.Millisecond)
		ln.NewConn() // is accepted first: the Accept under way began before the delay was set
		until(t, g, active(2))
		begun := time.Now()
		late := ln.NewConn()
		patient := make(chan *lgrp.DrainReport, 1)
		time.AfterFunc(100*time.Millisecond, func() {
			report, _ := l.Drain(within(t, time.Hour), nil)
			patient <- report
		})
		time.Sleep(200 * time.Millisecond)
		hasty := make(chan *lgrp.DrainReport, 1)
		go func() {
			report, _ := l.Drain(within(t, 100*time.Millisecond), nil)
			hasty <- report
		}()
		_, _ = late.Read(make([]byte, 1))
		require.Equal(t, 500*time.Millisecond, time.Since(begun))
		report := <-hasty
		require.Equal(t, 2, report.Forced, "%+v", report)
		require.Len(t, report.Stuck, 1)
		close(release)
		require.Equal(t, 2, (<-patient).Forced, "the second was over before it could select it")
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonForced: 3}, g.Info().Closed)
	})
}
