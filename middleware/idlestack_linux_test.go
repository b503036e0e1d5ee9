//go:build !race

package middleware_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

// TestIdleStacks: a goroutine that waits in Read of a TCP connection, behind one
// of these or a few, keeps the 2 KiB of stack that it was born with. Twice as much
// is what most servers' connections cost for most of their time.
//
// It measures in a process of its own, for where the goroutines there are use
// more than half of 2 KiB, Go gives new ones more from the start. The race
// detector needs stack of its own.
func TestIdleStacks(t *testing.T) {
	if runtime.GOARCH != "amd64" || !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skip("how large frames are is the compiler's business: measured with Go 1.26 on amd64")
	}
	if !inOwnProcess(t) {
		return
	}
	var (
		rec      = middleware.Recover(slog.New(slog.DiscardHandler))
		metrics  = middleware.Metrics(noSink{})
		limit    = middleware.Limit(1 << 20)
		count    = middleware.Count(new(netx.Counter))
		log      = middleware.Log(slog.New(slog.DiscardHandler), nil)
		perIP    = middleware.LimitPerIP(1<<20, nil)
		rate     = middleware.RateLimit(1e6, nil)
		idle     = middleware.IdleTimeout(time.Hour)
		lifetime = middleware.MaxLifetime(time.Hour, nil)
		minRate  = middleware.MinRate(1, nil)
		throttle = middleware.Throttle(nil)
		maxBytes = middleware.MaxBytes(&middleware.MaxBytesOptions{Read: 1 << 40})
		labels   = middleware.Labels()
		allow    = middleware.AllowFrom(middleware.MustIPSet("127.0.0.0/8"))
	)
	end := t
	for _, stack := range []struct {
		name string
		mws  []lgrp.Middleware
	}{
		{"Metrics", []lgrp.Middleware{metrics}},
		{"Limit, Metrics", []lgrp.Middleware{limit, metrics}},
		{"Recover, Metrics", []lgrp.Middleware{rec, metrics}},
		{"Recover, Limit, Count", []lgrp.Middleware{rec, limit, count}},
		{"Limit, Count", []lgrp.Middleware{limit, count}},
		{"LimitPerIP, Log", []lgrp.Middleware{perIP, log}},
		{"RateLimit, LimitPerIP, Limit", []lgrp.Middleware{rate, perIP, limit}},
		{"IdleTimeout, MaxLifetime", []lgrp.Middleware{idle, lifetime}},
		{"AllowFrom, MinRate", []lgrp.Middleware{allow, minRate}},
		{"Labels, RateLimit", []lgrp.Middleware{labels, rate}},
		{"Throttle", []lgrp.Middleware{throttle}},
		{"MaxBytes", []lgrp.Middleware{maxBytes}},
	} {
		t.Run(stack.name, func(t *testing.T) {
			const n = 100
			g := lgrp.New(func(_ context.Context, nc net.Conn, _ *lgrp.Conn[struct{}, struct{}]) error {
				_, _ = nc.Read(make([]byte, 1))
				return nil
			}, nil)
			end.Cleanup(func() { _ = g.Close() }) // stacks that are given back would be used again
			g.Use(stack.mws...)
			l, err := g.Add(t.Context(), lgrp.ListenerSpec[struct{}]{Addr: addr.MustParse("127.0.0.1:0")})
			require.NoError(t, err)
			before := stackInUse()
			for range n {
				nc, err := net.Dial("tcp", l.Addr().String())
				require.NoError(t, err)
				end.Cleanup(func() { nc.Close() })
			}
			require.NoError(t, g.Wait(t.Context(), func(c lgrp.Counts) bool { return c.Active == n }))
			for range 100 {
				runtime.Gosched() // into their reads
			}
			perConn := (stackInUse() - before) / n
			t.Logf("%.0f B", perConn)
			require.Less(t, perConn, 3072.0, "the stack has grown")
		})
	}
}

func stackInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.StackInuse)
}
