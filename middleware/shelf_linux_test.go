package middleware_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

// five is a stack of five that only watch or limit.
func five() lgrp.Middleware {
	return middleware.Chain(
		middleware.AllowFrom(middleware.MustIPSet("0.0.0.0/0", "::/0")),
		middleware.Limit(100),
		middleware.RateLimit(rate.Inf, &middleware.RateLimitOptions{Key: middleware.ByIP(nil)}),
		middleware.LimitPerIP(100, nil),
		middleware.Count(new(netx.Counter)),
	)
}

// fiveWatching has two layers over the connection.
func fiveWatching() lgrp.Middleware {
	return middleware.Chain(
		middleware.Recover(nil),
		middleware.Metrics(noSink{}),
		middleware.Limit(100),
		middleware.LimitPerIP(100, nil),
		middleware.Count(new(netx.Counter)),
	)
}

func TestFiveStackedAllocateAtMostTwice(t *testing.T) {
	require.LessOrEqual(t, allocations(t, peer("192.0.2.1"), five()), 2.0)
	require.LessOrEqual(t, allocations(t, peer("192.0.2.1"), fiveWatching()), 2.0)
}

// io.Copy through five layers still moves the bytes inside the kernel: this
// process reads and writes nothing but what the test's own ends do.
func TestFiveStackedKeepSplice(t *testing.T) {
	for name, test := range map[string]struct {
		mw      lgrp.Middleware
		spliced bool
	}{
		"admission": {five(), true},
		"watching":  {fiveWatching(), true},
		"time and flow": {middleware.Chain(
			middleware.IdleTimeout(3600e9), middleware.MaxLifetime(3600e9, nil), middleware.MinRate(1, nil),
			middleware.Throttle(&middleware.ThrottleOptions{Read: 1 << 40, Write: 1 << 40}),
			middleware.MaxBytes(&middleware.MaxBytesOptions{Read: 1 << 40, Written: 1 << 40}),
			middleware.Log(slog.New(slog.DiscardHandler), nil)), true},
		"one that hides it": {func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				return next(ctx, struct{ net.Conn }{nc}, c)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 16 << 20
			feeder, in := tcpPair(t)
			out, drain := tcpPair(t)
			go func() {
				buf := make([]byte, 64<<10)
				for range size / len(buf) {
					if _, err := feeder.Write(buf); err != nil {
						return
					}
				}
				feeder.CloseWrite()
			}()
			drained := make(chan int64, 1)
			go func() {
				n, _ := io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{drain})
				drained <- n
			}()
			before := bytesRead(t)
			inner := test.mw(func(_ context.Context, dst net.Conn, _ *lgrp.AnyConn) error {
				return test.mw(func(_ context.Context, src net.Conn, _ *lgrp.AnyConn) error {
					_, err := io.Copy(dst, src)
					return err
				})(t.Context(), in, peer("192.0.2.1"))
			})
			require.NoError(t, inner(t.Context(), out, peer("192.0.2.1")))
			require.NoError(t, out.CloseWrite())
			require.EqualValues(t, size, <-drained)
			require.Equal(t, test.spliced, bytesRead(t)-before < size*3/2)
		})
	}
}

// What a connection costs that goes through five middlewares and does nothing.
func BenchmarkFiveStacked(b *testing.B) {
	plain := func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error { return next(ctx, nc, c) }
	}
	_, nc := tcpPair(b)
	c := peer("192.0.2.1")
	for _, stack := range []struct {
		name string
		mw   lgrp.Middleware
	}{
		{"bare chain", middleware.Chain()},
		{"five that pass on", middleware.Chain(plain, plain, plain, plain, plain)},
		{"AllowFrom, Limit, RateLimit, LimitPerIP, Count", five()},
		{"Recover, Metrics, Limit, LimitPerIP, Count", fiveWatching()},
	} {
		b.Run(stack.name, func(b *testing.B) {
			h := stack.mw(nothing)
			b.ReportAllocs()
			begun := cpuTime()
			others := stack.mw(func(ctx context.Context, _ net.Conn, _ *lgrp.AnyConn) error {
				for b.Loop() {
					if err := h(ctx, nc, c); err != nil {
						return err
					}
				}
				return nil
			})
			if err := others(context.Background(), nc, peer("192.0.2.2")); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuTime()-begun)/float64(b.N), "cpu-ns/op") // the machine may be busy
		})
	}
}

// A megabyte through io.Copy between sockets, bare and through five layers.
func BenchmarkFiveStackedCopy(b *testing.B) {
	for _, stack := range []struct {
		name string
		mw   lgrp.Middleware
	}{
		{"bare chain", middleware.Chain()},
		{"five", fiveWatching()},
		{"splice lost", func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				return next(ctx, struct{ net.Conn }{nc}, c)
			}
		}},
	} {
		b.Run(stack.name, func(b *testing.B) {
			feeder, in := tcpPair(b)
			out, drain := tcpPair(b)
			go func() { _, _ = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{drain}) }()
			go func() {
				buf := make([]byte, 256<<10)
				for {
					if _, err := feeder.Write(buf); err != nil {
						return
					}
				}
			}()
			b.SetBytes(1 << 20)
			begun := cpuTime()
			inner := stack.mw(func(_ context.Context, dst net.Conn, _ *lgrp.AnyConn) error {
				return stack.mw(func(_ context.Context, src net.Conn, _ *lgrp.AnyConn) error {
					for b.Loop() {
						if _, err := io.CopyN(dst, src, 1<<20); err != nil {
							return err
						}
					}
					return nil
				})(context.Background(), in, peer("192.0.2.1"))
			})
			if err := inner(context.Background(), out, peer("192.0.2.1")); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuTime()-begun)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has used, in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
