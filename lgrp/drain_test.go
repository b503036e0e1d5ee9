package lgrp_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestShutdownSignalsWaitsAndReturnsWithTheLast(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, func(_ context.Context, nc net.Conn, c *conn) error {
			<-c.Draining()
			d, ok := c.DrainDeadline()
			require.True(t, ok)
			require.Equal(t, time.Minute, time.Until(d))
			time.Sleep(time.Duration(c.ID()) * time.Second)
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		for range 3 {
			ln.NewConn()
		}
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.Equal(t, 3*time.Second, time.Since(begun))
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonDrained: 3}, g.Info().Closed)
		require.NoError(t, g.Shutdown(t.Context()), "again")
		require.NoError(t, g.Close())
		_, err := g.Listen(t.Context(), "mem:x", lctx{})
		require.ErrorIs(t, err, lgrp.ErrGroupClosed)
		require.True(t, g.Info().Draining)
	})
}

func TestDrainSpread(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		begun := time.Now()
		var mu sync.Mutex
		asked := map[time.Duration]int{}
		g := newGroup(t, func(_ context.Context, nc net.Conn, c *conn) error {
			<-c.Draining()
			mu.Lock()
			asked[time.Since(begun)]++
			mu.Unlock()
			return nil
		}, nil)
		_, ln := adopt(t, g, spec{})
		for range 5 {
			ln.NewConn()
		}
		synctest.Wait()
		report, err := g.Drain(within(t, time.Minute), &lgrp.DrainOptions{NotReadyFor: 5 * time.Second, Spread: 10 * time.Second})
		require.NoError(t, err)
		require.Equal(t, 5, report.Finished)
		require.Equal(t, map[time.Duration]int{5 * time.Second: 1, 7 * time.Second: 1, 9 * time.Second: 1, 11 * time.Second: 1, 13 * time.Second: 1}, asked)
	})
}

func TestDrainNotReadyFor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, nil)
		l, ln := adopt(t, g, spec{})
		require.True(t, g.Ready())
		done := make(chan *lgrp.DrainReport)
		go func() {
			r, _ := g.Drain(within(t, time.Minute), &lgrp.DrainOptions{NotReadyFor: 10 * time.Second})
			done <- r
		}()
		time.Sleep(9 * time.Second)
		require.False(t, g.Ready())
		require.True(t, g.Info().Draining)
		requireState(t, l, lgrp.StateAccepting)
		c := ln.NewConn() // still accepted, and not asked to go
		synctest.Wait()
		requireOpen(t, c)
		r := <-done
		require.Equal(t, 10*time.Second, r.Took)
		require.Equal(t, 1, r.Finished)
		require.False(t, g.Info().Draining)
	})
}

func TestOptionsDrainIsForShutdown(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, &lgrp.Options{Drain: &lgrp.DrainOptions{NotReadyFor: 5 * time.Second, Spread: 4 * time.Second}})
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		ln.NewConn()
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.Equal(t, 7*time.Second, time.Since(begun))

		g = newGroup(t, hold, &lgrp.Options{Drain: &lgrp.DrainOptions{NotReadyFor: time.Hour}})
		_, ln = adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		begun = time.Now()
		require.NoError(t, g.Close())
		require.Zero(t, time.Since(begun), "Close waits for nothing")
	})
}

func TestDrainOnly(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, nil)
		l, ln := adopt(t, g, spec{})
		for range 4 {
			ln.NewConn()
		}
		synctest.Wait()
		report, err := g.Drain(within(t, time.Minute), &lgrp.DrainOptions{Only: func(c lgrp.ConnInfo) bool { return c.ID%2 == 0 }})
		require.NoError(t, err)
		require.Equal(t, 2, report.Finished)
		require.Equal(t, 2, g.Info().Active)
		requireState(t, l, lgrp.StateAccepting)
		requireOpen(t, ln.NewConn())
		require.PanicsWithValue(t, "mine", func() {
			_, _ = g.Drain(t.Context(), &lgrp.DrainOptions{Only: func(lgrp.ConnInfo) bool { panic("mine") }})
		})
		require.False(t, g.Info().Draining, "nothing half done")
		requireOpen(t, ln.NewConn())
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
	})
}

func TestSecondDrainJoinsAndMayShortenTheDeadline(t *testing.T) {
	for _, first := range []time.Duration{time.Hour, time.Minute} {
		t.Run(first.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				second := time.Minute + time.Hour - first
				g := newGroup(t, hold, nil)
				_, ln := adopt(t, g, spec{})
				ln.NewConn()
				ln.NewConn()
				synctest.Wait()
				reports := make(chan *lgrp.DrainReport, 2)
				begun := time.Now()
				for _, d := range []time.Duration{first, second} {
					go func() {
						r, _ := g.Drain(within(t, d), nil)
						reports <- r
					}()
					synctest.Wait()
				}
				for range 2 {
					r := <-reports
					require.Equal(t, []int{0, 2, 0}, []int{r.Finished, r.Forced, len(r.Stuck)}, "each reports on its own selection")
				}
				require.Equal(t, time.Minute, time.Since(begun), "the earlier deadline holds")
			})
		})
	}
}

func TestDrainLetsParkedConnectionsIn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var j journal
		g := newGroup(t, func(_ context.Context, nc net.Conn, c *conn) error {
			select {
			case <-c.Draining():
				j.add(fmt.Sprintf("%d starts draining", c.ID()))
			default:
			}
			<-c.Draining()
			time.Sleep(10 * time.Second)
			return nil
		}, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(0)})
		_, ln := adopt(t, g, spec{})
		for range 4 {
			ln.NewConn()
			synctest.Wait()
		}
		report, err := g.Drain(within(t, 35*time.Second), nil)
		require.Error(t, err)
		require.Equal(t, []int{3, 0, 1}, []int{report.Finished, report.Forced, len(report.Stuck)})
		require.Equal(t, []string{"2 starts draining", "3 starts draining", "4 starts draining"}, j.all())
		time.Sleep(time.Minute)
		check(t, g)
	})
}

func TestLateArrivalsAreServedAndSignalledOrClosed(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 500 * time.Millisecond, 2 * time.Second, time.Hour} {
		t.Run(delay.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, polite, nil)
				l, ln := adopt(t, g, spec{})
				ln.SetAcceptDelay(delay)
				for range 3 {
					ln.NewConn()
				}
				synctest.Wait()
				require.NoError(t, g.Shutdown(within(t, 10*time.Second)))
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				info := l.Info()
				require.EqualValues(t, info.Accepted, info.Closed[lgrp.ReasonDrained], "%+v", info)
				require.NotZero(t, info.Accepted)
				require.Empty(t, collect(g))
				check(t, g)
			})
		})
	}
}

func TestDrainDuringTheHandshake(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, nil)
		g.Use(func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				time.Sleep(time.Second)
				return next(ctx, nc, c)
			}
		})
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		report, err := g.Drain(within(t, time.Minute), nil)
		require.NoError(t, err)
		require.Equal(t, &lgrp.DrainReport{Finished: 1, Took: time.Second}, report)
	})
}

func TestDrainUnderRejectRejectsWhatIsSwept(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, polite, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Reject([]byte("no"), 0)})
		l, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		require.NoError(t, l.Pause())
		synctest.Wait()
		c := ln.NewConn()
		require.NoError(t, g.Shutdown(within(t, time.Minute)))
		require.EqualValues(t, 1, l.Info().Closed[lgrp.ReasonLimit])
		b := make([]byte, 2)
		_, err := c.Read(b)
		require.NoError(t, err)
		require.Equal(t, "no", string(b))
	})
}

func TestAddDuringADrain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		_, ln := adopt(t, g, spec{})
		ln.NewConn()
		synctest.Wait()
		go func() { _, _ = g.Drain(within(t, time.Minute), nil) }()
		synctest.Wait()
		_, err := g.Add(t.Context(), spec{ID: "late", Listener: testkit.Listen(t)})
		require.ErrorIs(t, err, lgrp.ErrDrained)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		adopt(t, g, spec{ID: "late"})
	})
}

func TestDrainOverridesAListenerThatIsStarting(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := newGroup(t, hold, nil)
		errs := make(chan error)
		ln := testkit.Listen(t)
		go func() {
			_, err := g.Add(t.Context(), spec{ID: "slow", Listener: ln, OnBound: func(context.Context, lgrp.ListenerInfo) error {
				time.Sleep(time.Minute)
				return nil
			}})
			errs <- err
		}()
		synctest.Wait()
		l, ok := g.Listener("slow")
		require.True(t, ok)
		requireState(t, l, lgrp.StateStarting)
		require.NoError(t, g.Shutdown(t.Context()))
		require.ErrorIs(t, <-errs, lgrp.ErrGroupClosed)
		_, err := ln.Dial()
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		requireState(t, l, lgrp.StateClosed)
	})
}

// What a listener's queue held is asked to finish before its handler starts, also while the drain still waits for another
// listener, or has a long time to ask in.
func TestHandlersOfADrainStartWithDrainingClosed(t *testing.T) {
	for name, opts := range map[string]*lgrp.DrainOptions{"at once": nil, "spread": {Spread: time.Minute}} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				asked := make(chan bool, 1)
				g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
					if c.ListenerID() == "fast" {
						asked <- c.IsDraining()
					}
					return polite(ctx, nc, c)
				}, nil)
				_, slow := adopt(t, g, spec{ID: "slow"})
				slow.SetAcceptDelay(10 * time.Second)
				slow.NewConn()
				fast, ln := adopt(t, g, spec{ID: "fast"})
				require.NoError(t, fast.Pause())
				ln.NewConn()
				synctest.Wait()
				go func() { _, _ = g.Drain(context.Background(), opts) }()
				synctest.Wait()
				require.True(t, <-asked)
			})
		})
	}
}

func TestDrainReportInALog(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	r := &lgrp.DrainReport{Finished: 2, Forced: 1, Took: time.Second}
	logger.Info("drained", "report", r)
	r.Stuck = []lgrp.ConnInfo{{ID: 7, ListenerID: "a"}, {ID: 8}}
	logger.Info("drained", "report", *r)
	require.Equal(t, `level=INFO msg=drained report.finished=2 report.forced=1 report.stuck=0 report.took=1s
level=INFO msg=drained report.finished=2 report.forced=1 report.stuck=2 report.took=1s report.first_stuck.id=7 report.first_stuck.listener=a
`, out.String())
}
