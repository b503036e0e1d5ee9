package lgrp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func TestReasonOfWhatTheHandlerReturns(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		err  error
		want lgrp.Reason
	}{
		"nil":            {nil, lgrp.ReasonReturned},
		"other":          {boom, lgrp.ReasonError},
		"EOF":            {io.EOF, lgrp.ReasonPeerClosed},
		"wrapped EOF":    {fmt.Errorf("read: %w", io.EOF), lgrp.ReasonPeerClosed},
		"EPIPE":          {&net.OpError{Op: "write", Err: syscall.EPIPE}, lgrp.ReasonPeerClosed},
		"ECONNRESET":     {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, lgrp.ReasonPeerClosed},
		"deadline":       {os.ErrDeadlineExceeded, lgrp.ReasonTimeout},
		"ctx deadline":   {context.DeadlineExceeded, lgrp.ReasonTimeout},
		"net timeout":    {&net.DNSError{IsTimeout: true}, lgrp.ReasonTimeout},
		"CloseError":     {fmt.Errorf("tls: %w", &lgrp.CloseError{Reason: lgrp.ReasonHandshake, Err: boom}), lgrp.ReasonHandshake},
		"empty reason":   {&lgrp.CloseError{Err: io.EOF}, lgrp.ReasonPeerClosed},
		"unknown reason": {&lgrp.CloseError{Reason: 200, Err: boom}, lgrp.ReasonError},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var why lgrp.Reason
				var err error
				g := newGroup(t, func(context.Context, net.Conn, *conn) error { return tc.err },
					&lgrp.Options{Events: &lgrp.Events{ConnClosed: func(_ lgrp.ConnInfo, r lgrp.Reason, e error) { why, err = r, e }}})
				l, ln := adopt(t, g, spec{})
				requireClosed(t, ln.NewConn())
				synctest.Wait()
				require.Equal(t, map[lgrp.Reason]uint64{tc.want: 1}, l.Info().Closed)
				require.Equal(t, tc.want, why)
				require.Equal(t, tc.err, err)
			})
		})
	}
}

func TestReasonOfTheCauseGivenToClose(t *testing.T) {
	for name, tc := range map[string]struct {
		cause error
		want  lgrp.Reason
		seen  error
	}{
		"nil":              {nil, lgrp.ReasonKilled, lgrp.ErrKilled},
		"other":            {io.EOF, lgrp.ReasonKilled, io.EOF},
		"ErrDrained":       {lgrp.ErrDrained, lgrp.ReasonDrained, lgrp.ErrDrained},
		"ErrEvicted":       {lgrp.ErrEvicted, lgrp.ReasonEvicted, lgrp.ErrEvicted},
		"listener removed": {lgrp.ErrListenerRemoved, lgrp.ReasonListenerRemoved, lgrp.ErrListenerRemoved},
		"ErrLimit":         {lgrp.ErrLimit, lgrp.ReasonLimit, lgrp.ErrLimit},
		"CloseError":       {&lgrp.CloseError{Reason: lgrp.ReasonTimeout}, lgrp.ReasonTimeout, nil},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var readErr, cause, childCause error
				g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
					child, cancel := context.WithTimeout(ctx, time.Hour)
					defer cancel()
					_, readErr = nc.Read(make([]byte, 1))
					cause, childCause = context.Cause(ctx), context.Cause(child)
					return errors.New("a later reason changes nothing")
				}, nil)
				l, ln := adopt(t, g, spec{})
				ln.NewConn()
				synctest.Wait()
				c, ok := g.Conn(1)
				require.True(t, ok)
				c.Close(tc.cause)
				c.Close(errors.New("second"))
				synctest.Wait()
				require.ErrorIs(t, readErr, net.ErrClosed)
				want := tc.seen
				if want == nil {
					want = tc.cause
				}
				require.Equal(t, want, cause, "seen by a Read that failed because of it")
				require.Equal(t, want, childCause, "in derived contexts too")
				require.Equal(t, map[lgrp.Reason]uint64{tc.want: 1}, l.Info().Closed)
				require.Equal(t, tc.want, c.Info().Reason)
			})
		})
	}
}

func TestPanicsAndGoexitAreContained(t *testing.T) {
	for name, h := range map[string]handle{
		"panic":     func(context.Context, net.Conn, *conn) error { panic("oops") },
		"nil panic": func(context.Context, net.Conn, *conn) error { panic(nil) },
		"Goexit":    func(context.Context, net.Conn, *conn) error { runtime.Goexit(); return nil },
		"OnDrain panic": func(ctx context.Context, nc net.Conn, c *conn) error {
			c.OnDrain(func() { panic("oops") })
			c.Drain(time.Time{})
			<-ctx.Done()
			return nil
		},
		"OnDrain Goexit": func(ctx context.Context, nc net.Conn, c *conn) error {
			c.OnDrain(func() { runtime.Goexit() })
			c.Drain(time.Time{})
			<-ctx.Done()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var buf syncBuffer
				var err error
				g := newGroup(t, h, &lgrp.Options{
					Logger: slog.New(slog.NewTextHandler(&buf, nil)),
					Events: &lgrp.Events{ConnClosed: func(_ lgrp.ConnInfo, _ lgrp.Reason, e error) { err = e }},
				})
				_, ln := adopt(t, g, spec{})
				for range 3 {
					requireClosed(t, ln.NewConn())
					synctest.Wait()
				}
				require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonPanic: 3}, g.Info().Closed)
				var pe *lgrp.PanicError
				require.ErrorAs(t, err, &pe)
				require.Contains(t, string(pe.Stack), "TestPanicsAndGoexitAreContained", "the stack is that of the place")
				require.Contains(t, buf.String(), "TestPanicsAndGoexitAreContained")
				require.NoError(t, g.Shutdown(t.Context()))
			})
		})
	}
}

func TestEventsThatPanicEndNothing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{Events: &lgrp.Events{
			ListenerState: func(lgrp.ListenerInfo, lgrp.ListenerState) { panic("oops") },
			ConnOpened:    func(lgrp.ConnInfo) { panic("oops") },
			ConnClosed:    func(lgrp.ConnInfo, lgrp.Reason, error) { panic("oops") },
			AcceptError:   func(lgrp.ListenerInfo, error, time.Duration) { runtime.Goexit() },
		}})
		l, ln := adopt(t, g, spec{})
		ln.InjectAcceptError(syscall.EMFILE, syscall.EMFILE)
		c := ln.NewConn()
		until(t, g, active(1))
		requireOpen(t, c)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonReturned: 1}, g.Info().Closed)
		requireState(t, l, lgrp.StateAccepting)
		require.NoError(t, g.Shutdown(t.Context()))
	})
}

func TestClosedEventThatCallsGoexit(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, Events: &lgrp.Events{
			ConnClosed: func(lgrp.ConnInfo, lgrp.Reason, error) { runtime.Goexit() },
		}})
		_, ln := adopt(t, g, spec{})
		for range 3 {
			require.NoError(t, ln.NewConn().Close())
			synctest.Wait()
		}
		require.EqualValues(t, 3, sum(g.Info().Closed))
		require.Empty(t, collect(g))
		require.NoError(t, g.Shutdown(t.Context()))
	})
}

// onceCloser counts the group's calls of Close.
type onceCloser struct {
	net.Conn
	closes *atomic.Int32
}

func (c onceCloser) Close() error { c.closes.Add(1); return c.Conn.Close() }

func TestEachSocketIsClosedExactlyOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var closes, accepted atomic.Int32
		g := newGroup(t, func(_ context.Context, nc net.Conn, c *conn) error {
			switch c.ID() % 4 {
			case 0:
				go c.Close(nil)
				c.Close(nil)
			case 1:
				_ = nc.(onceCloser).Conn.Close() // the handler closes it too
			case 2:
				panic("oops")
			}
			return nil
		}, &lgrp.Options{MaxConns: 2, OnLimit: lgrp.Queue(time.Second)})
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), spec{Listener: badListener{ln, func() (net.Conn, error) {
			nc, err := ln.Accept()
			if err != nil {
				return nil, err
			}
			accepted.Add(1)
			return onceCloser{nc, &closes}, nil
		}}})
		require.NoError(t, err)
		for range 40 {
			ln.NewConn()
		}
		time.Sleep(time.Minute)
		require.NoError(t, g.Shutdown(t.Context()))
		require.EqualValues(t, 40, accepted.Load())
		require.Equal(t, accepted.Load(), closes.Load())
	})
}

// slowCloser takes its time to close.
type slowCloser struct{ net.Conn }

func (c slowCloser) Close() error {
	time.Sleep(time.Second)
	return c.Conn.Close()
}

func TestRegistryForgetsOnlyAfterTheClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), spec{Listener: badListener{ln, func() (net.Conn, error) {
			nc, err := ln.Accept()
			if err != nil {
				return nil, err
			}
			return slowCloser{nc}, nil
		}}})
		require.NoError(t, err)
		c := ln.NewConn()
		synctest.Wait()
		go g.Kill(1, nil) // is in Close for a second
		_ = c.Close()     // the handler returns meanwhile
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Len(t, collect(g), 1)
		require.Equal(t, 1, g.Info().Active, "holds its slot")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, collect(g))
		check(t, g)
	})
}

func TestEarlyEndsAreLoggedOnceASecond(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var buf syncBuffer
		g := newGroup(t, hold, &lgrp.Options{Logger: slog.New(slog.NewTextHandler(&buf, nil))})
		g.Use(func(lgrp.Handler) lgrp.Handler {
			return func(context.Context, net.Conn, *lgrp.AnyConn) error {
				return &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: errors.New("go away")}
			}
		})
		_, ln := adopt(t, g, spec{})
		lines := func() (n int) {
			synctest.Wait()
			for _, b := range buf.String() {
				if b == '\n' {
					n++
				}
			}
			return n
		}
		ln.NewConn()
		require.Equal(t, 1, lines(), "the first at once")
		for range 99 {
			ln.NewConn()
		}
		require.Equal(t, 1, lines())
		time.Sleep(time.Second)
		require.Equal(t, 2, lines())
		require.Contains(t, buf.String(), "count=99")
		require.Contains(t, buf.String(), "go away")
		time.Sleep(time.Minute)
		require.Equal(t, 2, lines())
		ln.NewConn()
		require.Equal(t, 3, lines())
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, g.Shutdown(t.Context()))
		require.Equal(t, 4, lines(), "what is left is logged at the end")
	})
}

// A cause that is a nil pointer is one that says nothing.
func TestCloseWithANilCloseError(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		require.True(t, g.Kill(1, (*lgrp.CloseError)(nil)))
		synctest.Wait()
		require.EqualValues(t, 1, g.Info().Closed[lgrp.ReasonKilled])
		require.Equal(t, lgrp.ReasonError, lgrp.ReasonOf((*lgrp.CloseError)(nil), false))
	})
}
