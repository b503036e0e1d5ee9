package lgrp_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

var (
	transientErrnos = []error{
		syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN,
		syscall.EHOSTUNREACH, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.ETIMEDOUT, syscall.EPERM, syscall.ECONNRESET,
	}
	capacityErrnos = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}
)

func TestEveryAcceptErrorSinglyAndInStorms(t *testing.T) {
	for _, err := range append(transientErrnos, capacityErrnos...) {
		for _, n := range []int{1, 2, 50} {
			t.Run(fmt.Sprintf("%v×%d", err, n), func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					g := newGroup(t, hold, nil)
					l, ln := adopt(t, g, spec{})
					for range n {
						ln.InjectAcceptError(err)
					}
					begun := time.Now()
					c := ln.NewConn()
					until(t, g, active(1))
					waited := time.Since(begun)
					switch {
					case n == 1 && isOneOf(err, transientErrnos):
						require.Zero(t, waited, "tried again at once")
					case n == 1:
						require.InDelta(t, 4500*time.Microsecond, waited, float64(500*time.Microsecond))
					case n == 50:
						require.Greater(t, waited, 30*time.Second, "backs off to a second")
						require.Less(t, waited, 50*time.Second)
					}
					requireState(t, l, lgrp.StateAccepting)
					requireOpen(t, c)
				})
			})
		}
	}
}

func isOneOf(err error, list []error) bool {
	for _, e := range list {
		if err == e {
			return true
		}
	}
	return false
}

func TestUnknownAcceptErrorClosesThatListenerOnly(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, hold, &lgrp.Options{Events: &lgrp.Events{
			AcceptError: func(i lgrp.ListenerInfo, err error, retryIn time.Duration) {
				j.add(fmt.Sprintf("%s: %v, retry in %v", i.ID, errors.Unwrap(err), retryIn))
			},
		}})
		bad, badLn := adopt(t, g, spec{ID: "bad"})
		good, goodLn := adopt(t, g, spec{ID: "good"})
		kept := badLn.NewConn()
		synctest.Wait()
		badLn.SetAcceptError(syscall.EBADF)
		synctest.Wait()
		requireState(t, bad, lgrp.StateClosed)
		require.ErrorIs(t, bad.Info().Cause, syscall.EBADF)
		requireState(t, good, lgrp.StateAccepting)
		requireOpen(t, kept)
		goodLn.NewConn()
		synctest.Wait()
		require.Equal(t, 2, g.Info().Active)
		require.Equal(t, []string{"bad: accept4: bad file descriptor, retry in -1ns"}, j.all())

		_, ok := g.Listener("bad")
		require.True(t, ok, "stays listed")
		require.ErrorContains(t, bad.Pause(), "from closed")
		again, _ := adopt(t, g, spec{ID: "bad"}) // its id may be added again
		requireState(t, again, lgrp.StateAccepting)
		l, _ := g.Listener("bad")
		require.Equal(t, again.Serial(), l.Serial())
		require.NoError(t, bad.Remove(lgrp.KeepConns))
		_, ok = g.Listener("bad")
		require.True(t, ok, "removing the old one does not remove the new one")
	})
}

type badListener struct {
	net.Listener
	accept func() (net.Conn, error)
}

func (l badListener) Accept() (net.Conn, error) { return l.accept() }

func TestListenerWhoseAcceptMisbehaves(t *testing.T) {
	for name, accept := range map[string]func() (net.Conn, error){
		"panics":          func() (net.Conn, error) { panic("oops") },
		"calls Goexit":    func() (net.Conn, error) { runtime.Goexit(); return nil, nil },
		"returns nothing": func() (net.Conn, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, hold, nil)
				l, err := g.Add(t.Context(), spec{ID: "bad", Listener: badListener{testkit.Listen(t), accept}})
				require.NoError(t, err)
				_, ln := adopt(t, g, spec{ID: "good"})
				ln.NewConn()
				synctest.Wait()
				requireState(t, l, lgrp.StateClosed)
				require.Error(t, l.Info().Cause)
				require.Equal(t, 1, g.Info().Active)
			})
		})
	}
}

func TestBackoffIsCutShortByAClosingConnection(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		_, other := adopt(t, g, spec{ID: "other"})
		c := other.NewConn()
		synctest.Wait()
		ln.SetAcceptError(syscall.EMFILE)
		time.Sleep(30 * time.Second) // it is at a second now
		ln.NewConn()
		time.Sleep(time.Millisecond)
		ln.SetAcceptError(nil)
		begun := time.Now()
		require.NoError(t, c.Close())
		until(t, g, func(c lgrp.Counts) bool { return c.Accepted == 2 })
		require.Zero(t, time.Since(begun))
	})
}

func TestBackoffIsCutShortByShutdown(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		ln.SetAcceptError(syscall.ENFILE)
		time.Sleep(30*time.Second + time.Millisecond)
		begun := time.Now()
		require.NoError(t, g.Shutdown(t.Context()))
		require.Zero(t, time.Since(begun))
	})
}

func TestAcceptBackoffReplacesThePolicy(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var seen []int
		g := newGroup(t, hold, &lgrp.Options{AcceptBackoff: func(err error, n int) time.Duration {
			seen = append(seen, n)
			if n == 3 {
				return -1
			}
			return time.Minute
		}})
		l, ln := adopt(t, g, spec{})
		ln.SetAcceptError(syscall.EMFILE)
		time.Sleep(2*time.Minute - time.Nanosecond)
		synctest.Wait()
		requireState(t, l, lgrp.StateBackingOff)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		requireState(t, l, lgrp.StateClosed)
		require.Equal(t, []int{1, 2, 3}, seen)
	})
}

func TestOneLogLineAnEpisode(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var buf syncBuffer
		g := newGroup(t, hold, &lgrp.Options{Logger: slog.New(slog.NewTextHandler(&buf, nil))})
		_, ln := adopt(t, g, spec{})
		for range 6 {
			ln.InjectAcceptError(syscall.EMFILE)
		}
		ln.NewConn()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(buf.String(), "\n"), buf.String())
		require.Contains(t, buf.String(), "errors=6")

		ln.InjectAcceptError(syscall.ECONNABORTED) // alone: not worth a warning
		ln.NewConn()
		time.Sleep(time.Minute)
		require.Equal(t, 1, strings.Count(buf.String(), "\n"), buf.String())

		ln.SetAcceptError(syscall.EMFILE) // a long one is told of while it lasts
		time.Sleep(time.Hour)
		require.Equal(t, 2, strings.Count(buf.String(), "\n"), buf.String())
		ln.SetAcceptError(nil)
		time.Sleep(time.Minute)
		require.Equal(t, 2, strings.Count(buf.String(), "\n"), buf.String())
	})
}

func TestDefaultAcceptBackoffGrowsToASecond(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 100; n++ {
		d := lgrp.DefaultAcceptBackoff(syscall.EMFILE, n)
		want := min(5*time.Millisecond<<min(n-1, 20), time.Second)
		require.LessOrEqual(t, d, want)
		require.GreaterOrEqual(t, d, want-want/5-1)
		last = d
	}
	require.Greater(t, last, 700*time.Millisecond)
	require.Negative(t, lgrp.DefaultAcceptBackoff(net.ErrClosed, 1))
	require.Negative(t, lgrp.DefaultAcceptBackoff(errors.New("what?"), 1))
}

// slowAddr has a RemoteAddr that takes its time.
type slowAddr struct {
	net.Conn
	calls *atomic.Int32
}

func (c slowAddr) RemoteAddr() net.Addr {
	c.calls.Add(1)
	time.Sleep(300 * time.Millisecond)
	return c.Conn.RemoteAddr()
}

func TestNothingSlowOnTheAcceptGoroutine(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var calls atomic.Int32
		g := newGroup(t, hold, &lgrp.Options{Events: &lgrp.Events{ConnOpened: func(lgrp.ConnInfo) {}}})
		g.Use(func(next lgrp.Handler) lgrp.Handler { // a handshake, say
			return func(ctx ctxT, nc net.Conn, c *lgrp.AnyConn) error {
				time.Sleep(300 * time.Millisecond)
				return next(ctx, nc, c)
			}
		})
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), spec{Listener: badListener{ln, func() (net.Conn, error) {
			nc, err := ln.Accept()
			if err != nil {
				return nil, err
			}
			return slowAddr{nc, &calls}, nil
		}}})
		require.NoError(t, err)
		begun := time.Now()
		for range 10 {
			ln.NewConn()
		}
		started := func() (n int) {
			for range g.Conns() {
				n++
			}
			return n
		}
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 10, started(), "all of them at the same time")
		require.Equal(t, 600*time.Millisecond, time.Since(begun))
		require.NotZero(t, calls.Load())
	})
}

// A change of a limit has nothing to do with what a back-off waits for.
func TestBackOffGoesOnThroughChangesOfLimits(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var failures atomic.Int64
		g := newGroup(t, hold, &lgrp.Options{
			AcceptBackoff: func(error, int) time.Duration { return time.Second },
			Events:        &lgrp.Events{AcceptError: func(lgrp.ListenerInfo, error, time.Duration) { failures.Add(1) }},
		})
		l, ln := adopt(t, g, spec{})
		ln.SetAcceptError(syscall.EMFILE)
		time.Sleep(100 * time.Millisecond)
		before := failures.Load()
		for range 5 {
			l.SetMaxConns(1)
			g.SetMaxConns(1)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, before, failures.Load())
		requireState(t, l, lgrp.StateBackingOff)
		time.Sleep(time.Second)
		require.Equal(t, before+1, failures.Load())
	})
}

func TestBugListenerThatFailedWasNotLogged(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var buf syncBuffer
		g := newGroup(t, hold, &lgrp.Options{Logger: slog.New(slog.NewTextHandler(&buf, nil))})
		_, ln := adopt(t, g, spec{})
		ln.InjectAcceptError(syscall.EMFILE, syscall.EMFILE, errors.New("gone for good"))
		time.Sleep(time.Minute)
		require.Equal(t, 1, strings.Count(buf.String(), "\n"), buf.String())
		for _, want := range []string{"level=ERROR", "listener=mem", "errors=3", "gone for good"} {
			require.Contains(t, buf.String(), want)
		}
	})
}

func TestEachAcceptGoroutineMayHoldOneParked(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, &lgrp.Options{MaxConns: 2})
		l, ln := adopt(t, g, spec{Acceptors: 4})
		for range 12 {
			ln.NewConn()
		}
		synctest.Wait()
		require.Equal(t, 2, l.Info().Active)
		require.Equal(t, 4, l.Info().Parked)
		requireState(t, l, lgrp.StateFull)
		require.NoError(t, l.Pause())
		synctest.Wait()
		g.SetMaxConns(0)
		synctest.Wait()
		require.Equal(t, 4, l.Info().Parked, "while it is paused")
		require.NoError(t, l.Resume(t.Context()))
		synctest.Wait()
		require.Equal(t, 12, l.Info().Active)
		requireState(t, l, lgrp.StateAccepting)

		ln.InjectAcceptError(errors.New("gone")) // ends all four
		synctest.Wait()
		requireState(t, l, lgrp.StateClosed)
		check(t, g)
	})
}

func TestQueueIsNoLongerWithSeveralAcceptGoroutines(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for n := range 5 {
			g := newGroup(t, hold, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(0)})
			l, ln := adopt(t, g, spec{Acceptors: n})
			for range 40 {
				ln.NewConn()
			}
			synctest.Wait()
			parked := l.Info().Parked
			require.LessOrEqual(t, parked, 16, "%d acceptors", n)
			require.Greater(t, parked, 16-max(n, 1), "%d acceptors", n)
			requireState(t, l, lgrp.StateFull)
			require.NoError(t, g.Close())
		}
	})
}

func TestAcceptBackoffThatBreaksClosesThatListener(t *testing.T) {
	for name, f := range map[string]func(error, int) time.Duration{
		"panics":       func(error, int) time.Duration { panic("oops") },
		"calls Goexit": func(error, int) time.Duration { runtime.Goexit(); return 0 },
		"least":        func(error, int) time.Duration { return -1 << 63 },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, hold, &lgrp.Options{AcceptBackoff: f})
				l, ln := adopt(t, g, spec{Acceptors: 3})
				ln.NewConn()
				synctest.Wait()
				ln.InjectAcceptError(syscall.ECONNABORTED)
				synctest.Wait()
				requireState(t, l, lgrp.StateClosed)
				require.Error(t, l.Info().Cause)
				require.Equal(t, 1, g.Info().Active)
			})
		})
	}
}
