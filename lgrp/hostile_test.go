package lgrp_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// Listeners, connections, loggers and errors whose methods do what they should not.

// oddListener is a listener, some of whose methods are others'.
type oddListener struct {
	net.Listener
	accept      func() (net.Conn, error)
	close       func() error
	setDeadline func(time.Time) error
}

func (l oddListener) Accept() (net.Conn, error) {
	if l.accept != nil {
		return l.accept()
	}
	return l.Listener.Accept()
}

func (l oddListener) Close() error {
	if l.close != nil {
		return l.close()
	}
	return l.Listener.Close()
}

func (l oddListener) SetDeadline(t time.Time) error {
	if l.setDeadline != nil {
		return l.setDeadline(t)
	}
	return l.Listener.(*testkit.Listener).SetDeadline(t)
}

// oddConn is a connection with another Close.
type oddConn struct {
	net.Conn
	close func() error
}

func (c oddConn) Close() error { return c.close() }

// withConns is ln with what f makes of its connections, the first of which is number 1.
func withConns(ln *testkit.Listener, f func(n int, nc net.Conn) net.Conn) net.Listener {
	n := 0
	return oddListener{Listener: ln, accept: func() (net.Conn, error) {
		nc, err := ln.Accept()
		if err != nil {
			return nil, err
		}
		n++
		return f(n, nc), nil
	}}
}

// nilError has methods that cannot be called on a nil pointer, as most errors have.
type nilError struct{ err error }

func (e *nilError) Error() string { return e.err.Error() }
func (e *nilError) Unwrap() error { return e.err }

func TestBugHandlerWhoseErrorIsANilPointerEndedTheProcess(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		closed := make(chan error, 1)
		g := newGroup(t, func(context.Context, net.Conn, *conn) error {
			var e *nilError
			return e
		}, &lgrp.Options{Events: &lgrp.Events{ConnClosed: func(_ lgrp.ConnInfo, _ lgrp.Reason, err error) { closed <- err }}})
		_, ln := adopt(t, g, spec{})
		requireClosed(t, ln.NewConn())
		var pe *lgrp.PanicError
		require.ErrorAs(t, <-closed, &pe)
		synctest.Wait()
		require.EqualValues(t, 1, g.Info().Closed[lgrp.ReasonPanic])
	})
}

func TestBugListenerWhoseCloseCallsGoexitWasNeverGone(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		ln := testkit.Listen(t)
		l, err := g.Add(t.Context(), spec{Listener: oddListener{Listener: ln, close: func() error {
			_ = ln.Close()
			runtime.Goexit()
			return nil
		}}})
		require.NoError(t, err)
		require.NoError(t, l.Remove(lgrp.KeepConns))
		begun := time.Now()
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.Zero(t, time.Since(begun))
	})
}

func TestBugListenerWhoseCloseBlocksHeldUpTheDrain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, nil)
		stuck, good := testkit.Listen(t), testkit.Listen(t)
		block := make(chan struct{})
		_, err := g.Add(t.Context(), spec{ID: "a", Listener: oddListener{Listener: stuck, close: func() error { <-block; return stuck.Close() }}})
		require.NoError(t, err)
		_, err = g.Add(t.Context(), spec{ID: "b", Listener: good})
		require.NoError(t, err)
		stuck.NewConn()
		good.NewConn()
		synctest.Wait()
		begun := time.Now()
		report, err := g.Drain(within(t, time.Minute), nil)
		require.NoError(t, err, "they were asked in time")
		require.Equal(t, 2, report.Finished)
		require.Equal(t, time.Second+10*time.Millisecond, time.Since(begun), "ForceWait, and what a quiet queue is given")
		require.Empty(t, g.Info().Listeners)
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.Less(t, time.Since(begun), 2*time.Minute)
		close(block)
	})
}

func TestBugConnectionsOfAListenerWhoseCloseBlocksWereNotKilled(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		ln := testkit.Listen(t)
		block := make(chan struct{})
		l, err := g.Add(t.Context(), spec{ID: "a", Listener: oddListener{Listener: ln, close: func() error { <-block; return ln.Close() }}})
		require.NoError(t, err)
		ln.NewConn()
		synctest.Wait()
		removed := make(chan error, 1)
		go func() { removed <- l.Remove(lgrp.KillConns) }()
		time.Sleep(5 * time.Second)
		require.EqualValues(t, 1, l.Info().Closed[lgrp.ReasonListenerRemoved])
		close(block)
		require.NoError(t, <-removed)
	})
}

func TestBugListenerThatIgnoresDeadlinesHungTheSweep(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, g *group, l *lgrp.Listener[lctx]) error{
		"release": func(_ *testing.T, _ *group, l *lgrp.Listener[lctx]) error { return l.Release() },
		"remove":  func(_ *testing.T, _ *group, l *lgrp.Listener[lctx]) error { return l.Remove(lgrp.KeepConns) },
		"drain": func(t *testing.T, _ *group, l *lgrp.Listener[lctx]) error {
			_, err := l.Drain(within(t, time.Minute), nil)
			return err
		},
		"shutdown": func(t *testing.T, g *group, _ *lgrp.Listener[lctx]) error { return g.Shutdown(within(t, time.Minute)) },
	} {
		for _, full := range []bool{false, true} { // then no goroutine is in Accept, and nobody has seen it ignore one
			t.Run(name, func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					g := newGroup(t, polite, nil)
					ln := testkit.Listen(t)
					s := spec{ID: "a", Listener: oddListener{Listener: ln, setDeadline: func(time.Time) error { return nil }}}
					if full {
						s.MaxConns = 1
					}
					l, err := g.Add(t.Context(), s)
					require.NoError(t, err)
					ln.NewConn()
					ln.NewConn()
					synctest.Wait()
					begun := time.Now()
					require.NoError(t, do(t, g, l))
					require.Equal(t, time.Second, time.Since(begun), "ForceWait")
				})
			})
		}
	}
}

func TestBugListenerWhoseSetDeadlinePanicsStayedOpen(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var closed atomic.Int32
		add := func(g *group) *lgrp.Listener[lctx] {
			ln := testkit.Listen(t)
			l, err := g.Add(t.Context(), spec{Listener: oddListener{
				Listener: ln, setDeadline: func(time.Time) error { panic("oops") }, close: func() error { closed.Add(1); return ln.Close() },
			}})
			require.NoError(t, err)
			return l
		}
		g := newGroup(t, polite, nil)
		l := add(g)
		require.NoError(t, l.Pause())
		require.NoError(t, l.Remove(lgrp.KeepConns))
		require.EqualValues(t, 1, closed.Load())
		add(g)
		_, err := g.Drain(within(t, time.Minute), nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, closed.Load())
	})
}

// Sixteen goroutines close what is forced. When all of them are in a Close that blocks, others go on.
func TestBugConnectionsWhoseCloseBlocksHeldUpTheForcingOfOthers(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		ln := testkit.Listen(t)
		block := make(chan struct{})
		_, err := g.Add(t.Context(), spec{Listener: withConns(ln, func(n int, nc net.Conn) net.Conn {
			if n > 40 {
				return nc
			}
			return oddConn{nc, func() error { <-block; return nc.Close() }}
		})})
		require.NoError(t, err)
		for range 80 {
			ln.NewConn()
		}
		synctest.Wait()
		report, err := g.Drain(within(t, time.Minute), nil)
		require.Error(t, err)
		require.Equal(t, 40, report.Forced)
		require.Len(t, report.Stuck, 40)
		close(block)
		until(t, g, func(c lgrp.Counts) bool { return c.Ended == 80 })
	})
}

func TestBugConnectionsWhoseCloseCallsGoexitWereKept(t *testing.T) {
	for name, policy := range map[string]lgrp.LimitPolicy{"queue": lgrp.Queue(time.Second), "reject": lgrp.Reject(nil, 0), "backlog": lgrp.Backlog()} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: policy})
				ln := testkit.Listen(t)
				_, err := g.Add(t.Context(), spec{Listener: withConns(ln, func(_ int, nc net.Conn) net.Conn {
					return oddConn{nc, func() error { _ = nc.Close(); runtime.Goexit(); return nil }}
				})})
				require.NoError(t, err)
				for range 3 {
					ln.NewConn()
					synctest.Wait()
				}
				go g.Kill(2, nil) // which may be parked
				time.Sleep(time.Minute)
				_ = g.Shutdown(within(t, time.Minute))
				require.Equal(t, uint64(3), sum(g.Info().Closed)+uint64(ln.Pending()))
				for i := range g.ConnInfos() {
					t.Errorf("kept: %+v", i)
				}
			})
		})
	}
}

func TestBugConnectionWhoseCloseCallsGoexitHadNoClosingEvent(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var closed []lgrp.Reason // of one connection, so by one goroutine
		g := newGroup(t, func(context.Context, net.Conn, *conn) error { return nil }, &lgrp.Options{Events: &lgrp.Events{
			ConnClosed: func(_ lgrp.ConnInfo, why lgrp.Reason, _ error) { closed = append(closed, why) },
		}})
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), spec{Listener: withConns(ln, func(_ int, nc net.Conn) net.Conn {
			return oddConn{nc, func() error { _ = nc.Close(); runtime.Goexit(); return nil }}
		})})
		require.NoError(t, err)
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.Equal(t, []lgrp.Reason{lgrp.ReasonReturned}, closed)
	})
}

func TestBugRejectedConnectionWhoseCloseBlocksHeldUpShutdown(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Reject(nil, time.Hour)})
		ln := testkit.Listen(t)
		block := make(chan struct{})
		_, err := g.Add(t.Context(), spec{Listener: withConns(ln, func(n int, nc net.Conn) net.Conn {
			if n == 1 {
				return nc
			}
			return oddConn{nc, func() error { <-block; return nc.Close() }}
		})})
		require.NoError(t, err)
		ln.NewConn()
		synctest.Wait()
		ln.NewConn()
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.Equal(t, time.Minute+time.Second, time.Since(begun), "the deadline and ForceWait")
		close(block)
	})
}

// oddLog is a slog.Handler that calls f.
type oddLog struct{ f func() }

func (o oddLog) Enabled(context.Context, slog.Level) bool  { return true }
func (o oddLog) Handle(context.Context, slog.Record) error { o.f(); return nil }
func (o oddLog) WithAttrs([]slog.Attr) slog.Handler        { return o }
func (o oddLog) WithGroup(string) slog.Handler             { return o }

func TestBugLoggerThatCallsGoexitKeptWhatHadPanicked(t *testing.T) {
	for name, f := range map[string]func(){"panic": func() { panic("x") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, func(context.Context, net.Conn, *conn) error { panic("handler") }, &lgrp.Options{
					Logger: slog.New(oddLog{f}),
					Events: &lgrp.Events{
						ConnOpened:    func(lgrp.ConnInfo) { panic("ConnOpened") },
						ConnClosed:    func(lgrp.ConnInfo, lgrp.Reason, error) { panic("ConnClosed") },
						ListenerState: func(lgrp.ListenerInfo, lgrp.ListenerState) { panic("ListenerState") },
						AcceptError:   func(lgrp.ListenerInfo, error, time.Duration) { panic("AcceptError") },
					},
				})
				_, bad := adopt(t, g, spec{ID: "bad"})
				bad.InjectAcceptError(errors.New("for good"))
				_, ln := adopt(t, g, spec{})
				for range 3 {
					requireClosed(t, ln.NewConn())
				}
				require.NoError(t, g.Shutdown(within(t, time.Minute)))
				require.EqualValues(t, 3, g.Info().Closed[lgrp.ReasonPanic])
			})
		})
	}
}

func TestBugLoggerThatBlocksKeptAListenerWhoseAcceptHadPanicked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		block := make(chan struct{})
		g := newGroup(t, hold, &lgrp.Options{Logger: slog.New(oddLog{func() { <-block }})})
		l, err := g.Add(t.Context(), spec{Listener: oddListener{Listener: testkit.Listen(t), accept: func() (net.Conn, error) { panic("oops") }}})
		require.NoError(t, err)
		synctest.Wait()
		requireState(t, l, lgrp.StateClosed)
		close(block)
	})
}
