package lgrp_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
)

// TestMemoryOfIdleConnections compares idle TCP connections of a group, behind
// a recover, metrics, a limit, a byte count and typed state, with those of a bare
// loop that does none of it.
//
// The measuring is done in a process of its own, in which goroutines start with
// 2 KiB of stack: where those that there are use more than half of that, Go
// gives new ones more from the start.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has its own idea of memory")
	}
	const setting = "adaptivestackstart=0"
	if !strings.Contains(os.Getenv("GODEBUG"), setting) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryOfIdleConnections$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG="+setting)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		require.NoError(t, err)
		return
	}
	const n = 2000
	// Both ends are in this process; the clients' cost is the same in both.
	measure := func(dial func() net.Conn, settled func()) (heap, stack, goroutines float64) {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		heapAndStack := func() (float64, float64) {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return float64(m.HeapAlloc), float64(m.StackInuse)
		}
		h0, s0 := heapAndStack()
		g0 := runtime.NumGoroutine()
		var ncs []net.Conn
		for range n {
			ncs = append(ncs, dial())
		}
		settled()
		h1, s1 := heapAndStack()
		g1 := runtime.NumGoroutine()
		for _, nc := range ncs {
			_ = nc.Close()
		}
		for range 10_000 { // what still ends would be measured the next time
			if runtime.NumGoroutine() <= g0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		return (h1 - h0) / n, (s1 - s0) / n, float64(g1-g0) / n
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	accepted := make(chan struct{}, n)
	go bare(ln, func(nc net.Conn) {
		accepted <- struct{}{}
		_, _ = nc.Read(make([]byte, 1))
	})
	dialTo := func(a string) func() net.Conn {
		return func() net.Conn {
			nc, err := net.Dial("tcp", a)
			require.NoError(t, err)
			return nc
		}
	}
	waitFor := func() {
		for range n {
			<-accepted
		}
		for range 100 {
			runtime.Gosched() // into their reads
		}
	}
	_, _, _ = measure(dialTo(ln.Addr().String()), waitFor) // warm up
	baseHeap, baseStack, _ := measure(dialTo(ln.Addr().String()), waitFor)
	require.NoError(t, ln.Close())

	g := lgrp.New(func(_ context.Context, nc net.Conn, _ *wordConn) error {
		accepted <- struct{}{}
		_, _ = nc.Read(make([]byte, 1))
		return nil
	}, &lgrp.Options{Logger: silent, Events: fullEvents()})
	fiveReal(g)
	l, err := g.Add(t.Context(), lgrp.ListenerSpec[word]{Addr: addr.MustParse("127.0.0.1:0")})
	require.NoError(t, err)
	heap, stack, goroutines := measure(dialTo(l.Addr().String()), waitFor)
	t.Logf("bare loop %.0f B of heap and %.0f B of stack, group %.0f and %.0f: %.0f B of heap more; %.2f goroutines", baseHeap, baseStack, heap, stack, heap-baseHeap, goroutines)
	require.LessOrEqual(t, heap-baseHeap, 256.0)
	require.InDelta(t, 1, goroutines, 0.01)
	// How large frames are is the compiler's business, and these fill 2 KiB to
	// the last byte. StackInuse counts whole spans, so it wavers by some hundred
	// bytes a goroutine; one that has outgrown its first 2 KiB has 4.
	if runtime.GOARCH == "amd64" && strings.HasPrefix(runtime.Version(), "go1.26") {
		require.Less(t, stack, 3072.0, "the stack has grown")
	}
	require.NoError(t, g.Shutdown(within(t, time.Minute)))
}
