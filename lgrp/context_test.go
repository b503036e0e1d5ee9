package lgrp_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

type ctxKey struct{}

func TestContextCarriesTheValuesButNotTheCancellationOfAdd(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var got any
		var err error
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			got, err = ctx.Value(ctxKey{}), ctx.Err()
			_, _ = nc.Read(make([]byte, 1))
			return nil
		}, nil)
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), ctxKey{}, "value"))
		ln := testkit.Listen(t)
		_, aerr := g.Add(ctx, spec{Listener: ln})
		require.NoError(t, aerr)
		cancel(errors.New("the caller has gone"))
		ln.NewConn()
		synctest.Wait()
		require.Equal(t, "value", got)
		require.NoError(t, err)
	})
}

func TestContextOfAConnection(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctxs := make(chan context.Context, 1)
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			ctxs <- ctx
			_, _ = nc.Read(make([]byte, 1))
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{Context: lctx{"front"}})
		peer := ln.NewConn()
		ctx := <-ctxs
		_, ok := ctx.Deadline()
		require.False(t, ok)
		require.NoError(t, ctx.Err())
		require.NoError(t, context.Cause(ctx))

		child, cancel := context.WithCancel(context.WithValue(ctx, ctxKey{}, 1))
		defer cancel()
		c, ok := lgrp.FromContext[lctx, cctx](child)
		require.True(t, ok)
		require.Equal(t, "front", c.Listener.name)
		a, ok := lgrp.AnyFromContext(child)
		require.True(t, ok)
		require.Same(t, &c.AnyConn, a)
		_, ok = lgrp.FromContext[string, int](child)
		require.False(t, ok, "other types")
		_, ok = lgrp.FromContext[lctx, cctx](t.Context())
		require.False(t, ok)

		after := make(chan struct{})
		context.AfterFunc(ctx, func() { close(after) })
		unwanted := context.AfterFunc(ctx, func() { t.Error("was stopped") })
		require.True(t, unwanted())
		require.False(t, unwanted())

		require.NoError(t, peer.Close())
		<-child.Done()
		<-after
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		require.ErrorIs(t, context.Cause(child), context.Canceled, "the ordinary end")
		ran := make(chan struct{})
		context.AfterFunc(ctx, func() { close(ran) }) // too late to wait
		<-ran
		late, cancelLate := context.WithCancel(ctx)
		defer cancelLate()
		<-late.Done()
	})
}

func TestChildContextsStartNoGoroutine(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctxs := make(chan context.Context, 1)
		g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
			ctxs <- ctx
			_, _ = nc.Read(make([]byte, 1))
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		ctx := <-ctxs
		synctest.Wait()
		before := runtime.NumGoroutine()
		for range 100 {
			_, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			defer context.AfterFunc(ctx, func() {})()
		}
		synctest.Wait()
		require.GreaterOrEqual(t, before, runtime.NumGoroutine())
	})
}

func TestOnDrain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		before := runtime.NumGoroutine()
		c, _ := g.Conn(1)
		var ran []string
		stopA := c.OnDrain(func() { ran = append(ran, "a") })
		c.OnDrain(func() { ran = append(ran, "b") })
		synctest.Wait()
		require.GreaterOrEqual(t, before, runtime.NumGoroutine(), "no goroutine until draining begins")
		require.True(t, stopA())
		require.False(t, stopA())
		select {
		case <-c.Draining():
			t.Fatal("draining")
		default:
		}
		deadline := time.Now().Add(time.Hour)
		c.Drain(deadline)
		<-c.Draining()
		synctest.Wait()
		require.Equal(t, []string{"b"}, ran)
		require.False(t, c.OnDrain(func() { ran = append(ran, "c") })(), "at once: draining has begun")
		synctest.Wait()
		require.Equal(t, []string{"b", "c"}, ran)
		d, ok := c.DrainDeadline()
		require.True(t, ok)
		require.Equal(t, deadline, d)
		c.Drain(deadline.Add(time.Hour)) // never later
		d, _ = c.DrainDeadline()
		require.Equal(t, deadline, d)
		c.Drain(time.Now().Add(time.Minute)) // but sooner
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		require.Equal(t, lgrp.ReasonNone, c.Info().Reason)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, lgrp.ReasonForced, c.Info().Reason)
		require.Equal(t, 0, g.Info().Active)
		c.OnDrain(func() { t.Error("it is over") })
		synctest.Wait()
	})
}

func TestShutdownWaitsForOnDrainFunctions(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		done := false
		g := newGroup(t, func(_ context.Context, nc net.Conn, c *conn) error {
			c.OnDrain(func() {
				_ = nc.SetReadDeadline(time.Unix(1, 0))
				time.Sleep(time.Second)
				done = true
			})
			_, _ = nc.Read(make([]byte, 1))
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, g.Shutdown(t.Context()))
		require.True(t, done)
	})
}

func TestZeroAnyConnIsUsableInTests(t *testing.T) {
	var c lgrp.AnyConn
	require.Zero(t, c.ID())
	require.Empty(t, c.ListenerID())
	require.Nil(t, c.LocalAddr())
	require.Nil(t, c.RemoteAddr())
	require.True(t, c.AcceptedAt().IsZero())
	c.SetRemoteAddr(&net.TCPAddr{Port: 1})
	require.Equal(t, ":1", c.RemoteAddr().String())
	c.SetTLS("example.org", "h2")
	c.SetNote("busy")
	c.SetIdle(true)
	c.Uncount()
	info := c.Info()
	require.Equal(t, []string{"example.org", "h2", "busy"}, []string{info.ServerName, info.Protocol, info.Note})
	require.True(t, info.Idle)
	_, ok := c.DrainDeadline()
	require.False(t, ok)
	ran := make(chan struct{})
	c.OnDrain(func() { close(ran) })
	c.Drain(time.Time{})
	<-c.Draining()
	<-ran
	c.Close(nil)
	require.Equal(t, lgrp.ReasonKilled, c.Info().Reason)
}

// slowReadDeadline takes a second for a deadline that is over.
type slowReadDeadline struct {
	net.Conn
	last time.Time
}

func (c *slowReadDeadline) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		time.Sleep(time.Second)
	}
	c.last = t
	return c.Conn.SetReadDeadline(t)
}

func TestWakeOnDrain(t *testing.T) {
	for name, drain := range map[string]func(*lgrp.AnyConn){
		"never":      func(*lgrp.AnyConn) {},
		"meanwhile":  func(c *lgrp.AnyConn) { c.Drain(time.Time{}); synctest.Wait() },
		"at the end": func(c *lgrp.AnyConn) { c.Drain(time.Time{}) },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				near, far := testkit.NewConnPair(t)
				var c lgrp.AnyConn
				nc := &slowReadDeadline{Conn: near}
				done := c.WakeOnDrain(nc)
				drain(&c)
				done()
				time.Sleep(time.Hour)
				require.Zero(t, nc.last, "a deadline was left behind")
				_, err := far.Write([]byte("x"))
				require.NoError(t, err)
				_, err = nc.Read(make([]byte, 1))
				require.NoError(t, err)
				done() // does nothing
			})
		})
	}
	testkit.Bubble(t, func(t *testing.T) {
		near, _ := testkit.NewConnPair(t)
		var c lgrp.AnyConn
		defer c.WakeOnDrain(near)()
		time.AfterFunc(time.Minute, func() { c.Drain(time.Time{}) })
		begun := time.Now()
		_, err := near.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(begun))
	})
}
