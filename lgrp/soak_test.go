package lgrp_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx/memconn"
)

// admissions is how many connections TestAdmissionsAreExact lets in. Ten
// million are done by
//
//	go test ./lgrp -run TestAdmissionsAreExact -timeout 1h -admissions 10000000
var admissions = flag.Int("admissions", 20_000, "connections of TestAdmissionsAreExact")

// TestAdmissionsAreExact changes both limits, uncounts, kills and times out
// waiters, all at once, on real threads. The handlers count themselves: more
// of them than the larger of the limits in force is an overshoot; a waiter
// that nobody wakes hangs the test.
func TestAdmissionsAreExact(t *testing.T) {
	const (
		listeners = 3
		ceiling   = 12 // no limit is ever above
	)
	var inGroup atomic.Int64
	var over atomic.Bool
	g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
		if inGroup.Add(1) > ceiling {
			over.Store(true)
		}
		defer inGroup.Add(-1)
		if c.ID()%8 == 0 {
			runtime.Gosched()
		}
		return nil
	}, &lgrp.Options{MaxConns: ceiling, OnLimit: lgrp.Queue(time.Millisecond)})
	var ls []*lgrp.Listener[lctx]
	var lns []*memconn.Listener
	for i := range listeners {
		ln := memconn.Listen(&net.TCPAddr{Port: i + 1}, nil)
		policy := []lgrp.LimitPolicy{lgrp.Queue(time.Millisecond), lgrp.Backlog(), lgrp.Queue(0)}[i]
		l, err := g.Add(t.Context(), spec{ID: fmt.Sprint(i), Listener: ln, MaxConns: ceiling / 2, OnLimit: policy, Acceptors: 1 + i%2})
		require.NoError(t, err)
		ls, lns = append(ls, l), append(lns, ln)
	}
	stop := make(chan struct{})
	var chaos, dialers sync.WaitGroup
	for seed := range 2 {
		chaos.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch rnd.IntN(4) {
				case 0:
					g.SetMaxConns(1 + rnd.IntN(ceiling))
				case 1:
					ls[rnd.IntN(listeners)].SetMaxConns(rnd.IntN(ceiling))
				case 2:
					for c := range g.ConnInfos() {
						if c.Parked {
							g.Kill(c.ID, nil)
							break
						}
					}
				case 3:
					for c := range g.Conns() {
						if rnd.IntN(4) == 0 {
							c.SetIdle(true)
							c.SetIdle(false)
						}
						break
					}
				}
				runtime.Gosched()
			}
		})
	}
	for i := range listeners {
		dialers.Go(func() {
			for range *admissions / listeners {
				nc, err := lns[i].Dial(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				_ = nc.Close()
			}
		})
	}
	dialers.Wait()
	close(stop)
	chaos.Wait()
	g.SetMaxConns(1) // enough for all to go through, one after the other
	for _, l := range ls {
		l.SetMaxConns(1)
	}
	want := uint64(*admissions / listeners * listeners)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, g.Wait(ctx, func(c lgrp.Counts) bool { return c.Ended == want }), "a lost wake-up: %+v", g.Info())
	require.False(t, over.Load(), "more handlers than any limit allowed")
	info := g.Info()
	require.Zero(t, info.Active+info.Parked+info.Uncounted)
	check(t, g)
}

// TestUncountAdmits is the same with slots that are given back early.
func TestUncountAdmits(t *testing.T) {
	release := make(chan struct{})
	g := newGroup(t, func(_ context.Context, _ net.Conn, c *conn) error {
		c.Uncount()
		<-release
		return nil
	}, &lgrp.Options{MaxConns: 2})
	ln := memconn.Listen(&net.TCPAddr{Port: 1}, nil)
	_, err := g.Add(t.Context(), spec{Listener: ln})
	require.NoError(t, err)
	for range 500 {
		_, err := ln.Dial(t.Context(), nil)
		require.NoError(t, err)
	}
	until(t, g, func(c lgrp.Counts) bool { return c.Uncounted == 500 })
	close(release)
	until(t, g, func(c lgrp.Counts) bool { return c.Ended == 500 })
	check(t, g)
}

// TestManyClientsOverThreeKindsOfListener is a thousand clients over TCP and
// unix, with kills and a removal in the middle and a shutdown at the end:
// every byte is echoed, or the connection ends with the cause given, and
// nothing is left.
func TestManyClientsOverThreeKindsOfListener(t *testing.T) {
	sockets, goroutines := openSockets(t), runtime.NumGoroutine()
	boom := errors.New("killed by the test")
	var causes sync.Map
	g := lgrp.New(func(ctx context.Context, nc net.Conn, c *conn) error {
		defer c.OnDrain(func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })()
		_, err := io.Copy(nc, nc)
		if ctx.Err() != nil {
			causes.Store(c.ID(), context.Cause(ctx))
		} else if c.IsDraining() {
			err = nil
		}
		return err
	}, &lgrp.Options{Logger: silent})
	var ls []*lgrp.Listener[lctx]
	for i, a := range []string{"127.0.0.1:0", "127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
		l, err := g.Add(t.Context(), spec{ID: fmt.Sprint(i), Addr: addr.MustParse(a)})
		require.NoError(t, err)
		ls = append(ls, l)
	}
	const clients = 1000
	var echoed, ended atomic.Int64
	var wg sync.WaitGroup
	slots := make(chan struct{}, 100)
	for i := range clients {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			l := ls[i%len(ls)]
			network, address := "tcp", l.Addr().String()
			if p := l.Addr().Path(); p != "" {
				network, address = "unix", p
			}
			nc, err := net.Dial(network, address)
			if err != nil {
				ended.Add(1) // its listener has been removed
				return
			}
			defer nc.Close()
			msg := []byte(strings.Repeat("0123456789", 100))
			buf := make([]byte, len(msg))
			for range 5 {
				_, werr := nc.Write(msg)
				_, rerr := io.ReadFull(nc, buf)
				if werr != nil || rerr != nil {
					ended.Add(1)
					return
				}
				if string(buf) != string(msg) {
					t.Errorf("client %d: other bytes came back", i)
				}
			}
			echoed.Add(1)
		})
		switch i {
		case 300:
			for c := range g.ConnInfos() {
				if c.ID%3 == 0 {
					g.Kill(c.ID, boom)
				}
			}
		case 600:
			require.NoError(t, ls[1].Remove(lgrp.KillConns))
		}
	}
	wg.Wait()
	require.NoError(t, g.Shutdown(within(t, 10*time.Second)))
	info := g.Info()
	require.EqualValues(t, clients, echoed.Load()+ended.Load())
	require.Greater(t, echoed.Load(), int64(clients/2))
	killed := info.Closed[lgrp.ReasonKilled] + info.Closed[lgrp.ReasonListenerRemoved]
	n := uint64(0)
	causes.Range(func(_, cause any) bool {
		n++
		require.True(t, cause == boom || errors.Is(cause.(error), lgrp.ErrListenerRemoved), "%v", cause)
		return true
	})
	require.LessOrEqual(t, n, killed)
	check(t, g)
	require.Empty(t, collect(g))
	// A goroutine that has said its last word to the group takes a moment to
	// be gone.
	for ctx := within(t, 5*time.Second); runtime.NumGoroutine() > goroutines || openSockets(t) > sockets; runtime.Gosched() {
		require.NoError(t, ctx.Err(), "goroutines %d, was %d; sockets %d, was %d", runtime.NumGoroutine(), goroutines, openSockets(t), sockets)
	}
}

// openSockets counts the sockets of this process. (Not its pipes: those that
// splice has used wait in a pool for the next one.)
func openSockets(t testing.TB) (n int) {
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd here")
	}
	for _, e := range es {
		if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(link, "socket:") {
			n++
		}
	}
	return n
}
