package lgrp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// greet sends a byte and waits for the peer to go.
func greet(_ context.Context, nc net.Conn, c *conn) error {
	if _, err := nc.Write([]byte{'!'}); err != nil {
		return err
	}
	_, err := nc.Read(make([]byte, 1))
	return err
}

// TestQueuedClientsAreServedWhenTheSocketCloses queues clients in the kernel
// behind a paused listener, and then ends the listener in every way that
// promises to serve them.
func TestQueuedClientsAreServedWhenTheSocketCloses(t *testing.T) {
	const clients = 50
	for _, network := range []string{"tcp", "unix"} {
		for name, end := range map[string]func(*testing.T, *group, *lgrp.Listener[lctx]) error{
			"release": func(_ *testing.T, _ *group, l *lgrp.Listener[lctx]) error { return l.Release() },
			"remove":  func(_ *testing.T, _ *group, l *lgrp.Listener[lctx]) error { return l.Remove(lgrp.KeepConns) },
			"drain": func(t *testing.T, _ *group, l *lgrp.Listener[lctx]) error {
				_, err := l.Drain(within(t, 10*time.Second), nil)
				return err
			},
			"shutdown": func(t *testing.T, g *group, _ *lgrp.Listener[lctx]) error {
				return g.Shutdown(within(t, 10*time.Second))
			},
		} {
			t.Run(network+"/"+name, func(t *testing.T) {
				t.Parallel()
				g := newGroup(t, greet, nil)
				l, err := g.Listen(t.Context(), listenOn(t, network), lctx{})
				require.NoError(t, err)
				require.NoError(t, l.Pause())
				var ncs []net.Conn
				for range clients {
					nc, err := netx.Dial(t.Context(), l.Addr())
					require.NoError(t, err)
					defer nc.Close()
					ncs = append(ncs, nc)
				}
				done := make(chan error)
				go func() { done <- end(t, g, l) }()
				for _, nc := range ncs {
					_, err := io.ReadFull(nc, make([]byte, 1))
					require.NoError(t, err, "a client that had been connected was not served")
					require.NoError(t, nc.Close())
				}
				require.NoError(t, <-done)
				until(t, g, func(c lgrp.Counts) bool { return c.Ended == clients })
			})
		}
	}
}

func listenOn(t *testing.T, network string) string {
	if network == "unix" {
		return "unix:" + filepath.Join(t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// TestCyclesUnderLoad adds, removes, pauses, releases and resumes while
// clients hammer. Over unix no client that was connected may be reset; over
// TCP the last word is the kernel's, for a handshake can complete in the
// microseconds before close(2): at most one per close.
func TestCyclesUnderLoad(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			cycles := 100
			if testing.Short() {
				cycles = 10
			}
			g := newGroup(t, greet, nil)
			address := listenOn(t, network)
			s := spec{ID: "x", Addr: addr.MustParse(address)}
			l, err := g.Add(t.Context(), s)
			require.NoError(t, err)
			s.Addr = l.Addr() // the same port each time

			var resets, served atomic.Int64
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						nc, err := netx.Dial(context.Background(), s.Addr)
						if err != nil {
							continue // refused: nothing is listening just now
						}
						_, err = io.ReadFull(nc, make([]byte, 1))
						if err == nil {
							served.Add(1)
						} else if errors.Is(err, syscall.ECONNRESET) {
							resets.Add(1)
						} else {
							t.Errorf("a connected client got %v", err)
						}
						_ = nc.Close()
					}
				})
			}
			closes := int64(0)
			for i := range cycles {
				switch i % 3 {
				case 0:
					require.NoError(t, l.Remove(lgrp.KeepConns))
					l, err = g.Add(t.Context(), s)
					require.NoError(t, err)
					closes++
				case 1:
					require.NoError(t, l.Pause())
					require.NoError(t, l.Resume(t.Context()))
				case 2:
					require.NoError(t, l.Release())
					require.NoError(t, l.Resume(t.Context()))
					closes++
				}
				n := g.Info().Accepted + 5
				require.NoError(t, g.Wait(within(t, 10*time.Second), func(c lgrp.Counts) bool { return c.Accepted >= n }), "cycle %d: it does not accept", i)
			}
			close(stop)
			wg.Wait()
			t.Logf("%d served, %d resets, %d closes", served.Load(), resets.Load(), closes)
			if network == "unix" {
				require.Zero(t, resets.Load())
			} else {
				require.LessOrEqual(t, resets.Load(), closes)
			}
			require.NoError(t, g.Shutdown(within(t, 10*time.Second)))
			check(t, g)
		})
	}
}

// TestHandedOutSocketsAreNotShrunk: a listener whose descriptor another
// process may hold keeps its backlog and its path when this group lets go.
func TestHandedOutSocketsAreNotShrunk(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			ln, err := netx.Listen(t.Context(), addr.MustParse(listenOn(t, network)), nil)
			require.NoError(t, err)
			files, err := netx.Files(ln)
			require.NoError(t, err)
			g := newGroup(t, greet, nil)
			l, err := g.Add(t.Context(), spec{Listener: ln})
			require.NoError(t, err)
			require.NoError(t, g.Shutdown(t.Context()))

			heir, err := net.FileListener(files[0])
			require.NoError(t, err)
			defer heir.Close()
			for range 3 { // more than a backlog of zero would take
				nc, err := netx.Dial(t.Context(), l.Addr())
				require.NoError(t, err)
				defer nc.Close()
			}
			for range 3 {
				nc, err := heir.Accept()
				require.NoError(t, err)
				_ = nc.Close()
			}
		})
	}
}

func TestHandlerGetsTheSocketItself(t *testing.T) {
	got := make(chan net.Conn, 1)
	g := newGroup(t, func(_ context.Context, nc net.Conn, _ *conn) error {
		got <- nc
		return nil
	}, nil)
	g.Use(func(next lgrp.Handler) lgrp.Handler { return next })
	for _, network := range []string{"tcp", "unix"} {
		l, err := g.Listen(t.Context(), listenOn(t, network), lctx{})
		require.NoError(t, err)
		nc, err := netx.Dial(t.Context(), l.Addr())
		require.NoError(t, err)
		defer nc.Close()
		if network == "tcp" {
			require.IsType(t, &net.TCPConn{}, <-got)
		} else {
			require.IsType(t, &net.UnixConn{}, <-got)
		}
	}
}

func TestSilentClientsDoNotHoldUpAShutdown(t *testing.T) {
	g := newGroup(t, func(_ context.Context, nc net.Conn, c *conn) error {
		defer c.OnDrain(func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })()
		_, err := bufio.NewReader(nc).ReadString('\n')
		return err
	}, nil)
	l, err := g.Listen(t.Context(), "127.0.0.1:0", lctx{})
	require.NoError(t, err)
	for range 10 {
		nc, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
	}
	until(t, g, active(10))
	report, err := g.Drain(within(t, time.Minute), nil)
	require.NoError(t, err, fmt.Sprint(report))
	require.Equal(t, 10, report.Finished)
}

// Pause interrupts Accept at each of the sockets.
func TestBugPauseDidNotReachShards(t *testing.T) {
	g := newGroup(t, hold, nil)
	l, err := g.Add(t.Context(), spec{Addr: addr.MustParse("127.0.0.1:0"), Net: &netx.Options{Shards: 3}, Acceptors: 2})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	dial := func(n int) {
		for range n {
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	dial(20) // until they are in Accept, but for one or another that is on its way there
	until(t, g, active(20))
	require.NoError(t, l.Pause())
	dial(20)
	err = g.Wait(within(t, 50*time.Millisecond), func(c lgrp.Counts) bool { return c.Accepted >= 26 })
	require.ErrorIs(t, err, context.DeadlineExceeded, "each acceptor took one: %d were accepted", l.Info().Accepted)
	require.NoError(t, l.Release())
	until(t, g, active(40))
	require.Zero(t, l.Info().Parked)
	require.NoError(t, l.Resume(t.Context()))
	dial(20)
	until(t, g, active(60))
	require.NoError(t, l.Remove(lgrp.KillConns))
	until(t, g, active(0))
}
