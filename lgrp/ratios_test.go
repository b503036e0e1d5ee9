package lgrp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/exp/stats"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
)

// TestRatios prints the tables of .ci/bench, which sets LGRP_RATIOS to how many
// rounds it wants. Rounds are short and interleaved, and the median of the
// ratios of neighbours is what counts: the machine's speed drifts, but not
// between two rounds.
func TestRatios(t *testing.T) {
	rounds := 0
	if _, err := fmt.Sscan(os.Getenv("LGRP_RATIOS"), &rounds); err != nil {
		t.Skip("LGRP_RATIOS is not set")
	}
	t.Run("memory", func(t *testing.T) { memoryRatios(t, rounds) })
	t.Run("scale", func(t *testing.T) { scaleRatios(t, rounds) })
	t.Run("inspection", func(t *testing.T) { inspectionRatios(t, rounds) })
	t.Run("end", func(t *testing.T) { endRatios(t, max(rounds/10, 3)) })
	t.Run("drain returns", func(t *testing.T) { drainLatency(t, rounds) })
}

// compare runs the contenders in turn and logs the median of each one's ratio
// to the first.
func compare(t *testing.T, rounds int, names []string, run []func() time.Duration, per int) {
	ratios := make([][]float64, len(run))
	var base []float64
	for range rounds {
		var first time.Duration
		for i, f := range run {
			took := f()
			if i == 0 {
				first = took
				base = append(base, float64(took)/float64(per))
			}
			ratios[i] = append(ratios[i], float64(took)/float64(first))
		}
	}
	t.Logf("%-52s %8.0f ns", names[0], stats.Median(base))
	for i := range run[1:] {
		q := stats.Quantiles(ratios[i+1], 0.25, 0.5, 0.75)
		t.Logf("%-52s %8.2f×  (quartiles %.2f to %.2f)", names[i+1], q[1], q[0], q[2])
	}
}

// onCPU returns a round that is measured by the processor time it takes.
func onCPU(f func()) func() time.Duration {
	return func() time.Duration {
		begun := cpuTime()
		f()
		return cpuTime() - begun
	}
}

// memoryRatios compares connections that cost next to nothing. On one thread:
// the time is then the work, not how well two goroutines overlap.
func memoryRatios(t *testing.T, rounds int) {
	const conns = 5000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, row := range memoryRows {
		var names []string
		var run []func() time.Duration
		for _, c := range row {
			ln := newStubListener()
			c.start(t, ln)
			ln.push(conns)
			names = append(names, c.name)
			run = append(run, onCPU(func() { ln.push(conns) }))
		}
		compare(t, rounds, names, run, conns)
	}
}

// heldConn stays until its peer, the test, lets it go.
type heldConn struct {
	stubConn
	release <-chan struct{}
}

func (c *heldConn) Read([]byte) (int, error) { <-c.release; return 0, io.EOF }
func (c *heldConn) Close() error             { return nil }

// crowd makes a group that holds n connections beside those that ln pushes.
func crowd(t *testing.T, n int) (*lgrp.ListenGroup[word, word], *stubListener) {
	ln := newStubListener()
	g := wordGroup(t, ln, nil, work, nil)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // before the group is closed
	for range n {
		ln.ch <- &heldConn{stubConn{ln}, release}
	}
	require.NoError(t, g.Wait(t.Context(), func(c lgrp.Counts) bool { return c.Active == n }))
	ln.push(100)
	return g, ln
}

// scaleRatios compares connections beside 100,000 live ones with connections
// beside 100.
func scaleRatios(t *testing.T, rounds int) {
	const conns = 5000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	_, few := crowd(t, 100)
	_, many := crowd(t, 100_000)
	compare(t, rounds, []string{"a connection beside 100", "beside 100,000"},
		[]func() time.Duration{onCPU(func() { few.push(conns) }), onCPU(func() { many.push(conns) })}, conns)
}

// inspectionRatios compares connections that come and go while somebody
// walks over 100,000 others, again and again, with those that do while
// somebody is as busy with memory of his own.
func inspectionRatios(t *testing.T, rounds int) {
	const conns = 5000
	g, ln := crowd(t, 100_000)
	own := make([]*int, 100_000)
	beside := func(busy func()) func() time.Duration {
		return func() time.Duration {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						busy()
					}
				}
			})
			begun := time.Now()
			ln.push(conns)
			took := time.Since(begun)
			close(stop)
			wg.Wait()
			return took
		}
	}
	seen := 0
	compare(t, rounds, []string{"a connection beside a busy loop", "beside a loop over Conns", "beside a loop over Info"}, []func() time.Duration{
		beside(func() {
			for range 10 {
				own = append(own[:0:0], own...)
			}
		}),
		beside(func() {
			for range g.Conns() {
				seen++
			}
		}),
		beside(func() { seen += g.Info().Active }),
	}, conns)
}

// endRatios compares the ending of many TCP connections with closing a plain
// slice of them. It is as many as the file table allows, at most 10,000.
func endRatios(t *testing.T, rounds int) {
	n := tcpConns(t)
	dialAll := func(address string) (clients []net.Conn) {
		for range n {
			nc, err := net.Dial("tcp", address)
			require.NoError(t, err)
			clients = append(clients, nc)
		}
		return clients
	}
	closeAll := func(ncs []net.Conn) {
		for _, nc := range ncs {
			_ = nc.Close()
		}
	}
	plain := func() time.Duration {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var wg sync.WaitGroup
		served := make(chan net.Conn, n)
		go func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				wg.Add(1)
				go func() {
					defer wg.Done()
					served <- nc
					_, _ = nc.Read(make([]byte, 1))
				}()
			}
		}()
		clients := dialAll(ln.Addr().String())
		defer closeAll(clients)
		var ncs []net.Conn
		for range n {
			ncs = append(ncs, <-served)
		}
		begun := cpuTime()
		_ = ln.Close()
		closeAll(ncs)
		wg.Wait()
		return cpuTime() - begun
	}
	group := func(end func(*lgrp.ListenGroup[word, word])) func() time.Duration {
		return func() time.Duration {
			g := lgrp.New(func(_ context.Context, nc net.Conn, c *wordConn) error {
				defer c.OnDrain(func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })()
				_, _ = nc.Read(make([]byte, 1))
				return nil
			}, nil)
			l, err := g.Add(t.Context(), lgrp.ListenerSpec[word]{Addr: addr.MustParse("127.0.0.1:0")})
			require.NoError(t, err)
			clients := dialAll(l.Addr().String())
			defer closeAll(clients)
			require.NoError(t, g.Wait(t.Context(), func(c lgrp.Counts) bool { return c.Active == n }))
			begun := cpuTime()
			end(g)
			return cpuTime() - begun
		}
	}
	compare(t, rounds, []string{fmt.Sprintf("closing a slice of %d TCP connections, each", n), "Shutdown, polite handlers", "Close"}, []func() time.Duration{
		plain,
		group(func(g *lgrp.ListenGroup[word, word]) { _ = g.Shutdown(t.Context()) }),
		group(func(g *lgrp.ListenGroup[word, word]) { _ = g.Close() }),
	}, n)
}

// drainLatency logs how long after the last handler's return Drain returns.
func drainLatency(t *testing.T, rounds int) {
	var took []float64
	for range rounds {
		var last time.Time
		ln := newStubListener()
		g := lgrp.New(func(_ context.Context, _ net.Conn, c *wordConn) error {
			<-c.Draining()
			last = time.Now()
			return nil
		}, nil)
		_, err := g.Add(t.Context(), lgrp.ListenerSpec[word]{Listener: ln})
		require.NoError(t, err)
		ln.ch <- &heldConn{stubConn: stubConn{ln}}
		require.NoError(t, g.Wait(t.Context(), func(c lgrp.Counts) bool { return c.Active == 1 }))
		_, err = g.Drain(t.Context(), nil)
		require.NoError(t, err)
		took = append(took, float64(time.Since(last))/float64(time.Millisecond))
	}
	q := stats.Quantiles(took, 0.5, 0.99)
	t.Logf("from the last handler's return to Drain's: median %.3f ms, 99th percentile %.3f ms", q[0], q[1])
}
