package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleThrottle() {
	g, dial := serve(greet, middleware.Throttle(&middleware.ThrottleOptions{
		Write:      1 << 20, // for each connection
		TotalRead:  1 << 20, // for all of them
		TotalWrite: 8 << 20,
	}))
	defer g.Close()
	fmt.Println(hear(dial()))
	// Output:
	// hello
}

func ExampleThrottler() {
	throttler := middleware.NewThrottler(&middleware.ThrottleOptions{Read: 1000})
	g, dial := serve(greet, throttler.Middleware())
	defer g.Close()
	throttler.Set(&middleware.ThrottleOptions{Read: 2000, Burst: time.Second})
	fmt.Println(hear(dial()), throttler.Options().Read)
	// Output:
	// hello 2000
}

// bytesBy is floor(rate * (elapsed + burst)): what a throttle lets through.
func bytesBy(rate int64, elapsed, burst time.Duration) int64 {
	n := new(big.Int).Mul(big.NewInt(rate), big.NewInt(int64(elapsed+burst)))
	return n.Div(n, big.NewInt(int64(time.Second))).Int64()
}

// What passes is, at every moment, what the formula says: in single bytes to
// the byte, in larger pieces as many whole ones as fit.
func TestThrottleIsExact(t *testing.T) {
	const kB = 1000
	for name, test := range map[string]struct {
		opts  middleware.ThrottleOptions
		rate  int64 // of all together
		conns int
		write bool
		buf   int
		grid  time.Duration
	}{
		"written by the byte":         {middleware.ThrottleOptions{Write: 7, Burst: time.Second}, 7, 1, true, 1, 10 * time.Millisecond},
		"read by the byte":            {middleware.ThrottleOptions{Read: 7, Burst: time.Second}, 7, 1, false, 1, 10 * time.Millisecond},
		"written in pieces":           {middleware.ThrottleOptions{Write: 100 * kB}, 100 * kB, 1, true, 100, 7 * time.Millisecond},
		"read in pieces":              {middleware.ThrottleOptions{Read: 100 * kB}, 100 * kB, 1, false, 100, 7 * time.Millisecond},
		"written, much at once":       {middleware.ThrottleOptions{Write: 100 * kB}, 100 * kB, 1, true, 1000 * kB, 100 * time.Millisecond},
		"read, much at once":          {middleware.ThrottleOptions{Read: 100 * kB}, 100 * kB, 1, false, 1000 * kB, 100 * time.Millisecond},
		"each written":                {middleware.ThrottleOptions{Write: 9, Burst: time.Second}, 4 * 9, 4, true, 1, 13 * time.Millisecond},
		"each read":                   {middleware.ThrottleOptions{Read: 9, Burst: time.Second}, 4 * 9, 4, false, 1, 13 * time.Millisecond},
		"shared, written by the byte": {middleware.ThrottleOptions{TotalWrite: 31, Burst: time.Second}, 31, 5, true, 1, 10 * time.Millisecond},
		"shared, read by the byte":    {middleware.ThrottleOptions{TotalRead: 31, Burst: time.Second}, 31, 5, false, 1, 10 * time.Millisecond},
		"shared, written in pieces":   {middleware.ThrottleOptions{TotalWrite: 50 * kB}, 50 * kB, 5, true, 500, 10 * time.Millisecond},
		"shared, read in pieces":      {middleware.ThrottleOptions{TotalRead: 50 * kB}, 50 * kB, 5, false, 500, 10 * time.Millisecond},
		"shared is the tighter":       {middleware.ThrottleOptions{Write: 40, TotalWrite: 31, Burst: time.Second}, 31, 3, true, 1, 10 * time.Millisecond},
		"each is the tighter":         {middleware.ThrottleOptions{Read: 10, TotalRead: 1000, Burst: time.Second}, 30, 3, false, 1, 10 * time.Millisecond},
		"the other direction":         {middleware.ThrottleOptions{Read: 1, TotalRead: 1, Write: 1000}, 1000, 1, true, 1, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var passed atomic.Int64
				s := newStage(t, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					buf := make([]byte, test.buf)
					for {
						var n int
						var err error
						if test.write {
							_, err = nc.Write(buf)
						} else if n, err = nc.Read(buf); err == nil {
							passed.Add(int64(n))
						}
						if err != nil {
							return err
						}
					}
				}, middleware.Throttle(&test.opts))
				burst := test.opts.Burst
				if burst == 0 {
					burst = 100 * time.Millisecond
				}
				for range test.conns {
					nc := s.dial()
					go func() {
						buf := make([]byte, 32<<10)
						for {
							var n int
							var err error
							if test.write {
								n, err = nc.Read(buf)
								passed.Add(int64(n))
							} else {
								_, err = nc.Write(buf)
							}
							if err != nil {
								return
							}
						}
					}()
				}
				each := test.rate
				if test.opts.Read+test.opts.Write > 0 && test.rate%int64(test.conns) == 0 {
					each /= int64(test.conns)
				}
				// Off the grid by a nanosecond, so that what is due has passed.
				time.Sleep(1 * time.Nanosecond)
				for elapsed := time.Duration(0); elapsed < 3*time.Second; elapsed += test.grid {
					piece := min(int64(test.buf), bytesBy(each, 0, burst))
					want := bytesBy(each, elapsed, burst) / piece * piece * (test.rate / each)
					require.Equal(t, want, passed.Load(), "after %v", elapsed)
					time.Sleep(test.grid)
				}
			})
		})
	}
}

// However it is written, each Write returns at the nanosecond at which a token
// bucket of rational numbers has paid for it.
func TestThrottleWritesTakeAsLongAsTheyShould(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			rate := rapid.Int64Range(1, 5000).Draw(rt, "rate")
			burst := time.Duration(rapid.IntRange(1, 3000).Draw(rt, "burst ms")) * time.Millisecond
			throttler := middleware.NewThrottler(&middleware.ThrottleOptions{Write: rate, Burst: burst})
			size := max(bytesBy(rate, 0, burst), 1)
			bucket := rationalBucket{rate: big.NewRat(rate, int64(time.Second)), size: new(big.Rat).SetInt64(size)}
			bucket.tokens = new(big.Rat).Set(bucket.size)
			_ = throttler.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				for range rapid.IntRange(1, 12).Draw(rt, "writes") {
					pause := time.Duration(rapid.Int64Range(0, int64(2*burst)).Draw(rt, "pause"))
					time.Sleep(pause)
					bucket.pass(pause)
					n := rapid.IntRange(1, 4*int(size)).Draw(rt, "bytes")
					begun := time.Now()
					if k, err := nc.Write(make([]byte, n)); k != n || err != nil {
						rt.Fatalf("Write of %d: %d, %v", n, k, err)
					}
					took, want := time.Since(begun), bucket.take(int64(n), size)
					if took != want {
						rt.Fatalf("a Write of %d bytes took %v, should take %v", n, took, want)
					}
				}
				return nil
			})(rt.Context(), nullConn{}, new(lgrp.AnyConn))
		})
	})
}

type rationalBucket struct{ rate, size, tokens *big.Rat }

func (b *rationalBucket) pass(d time.Duration) {
	b.tokens.Add(b.tokens, new(big.Rat).Mul(b.rate, new(big.Rat).SetInt64(int64(d))))
	if b.tokens.Cmp(b.size) > 0 {
		b.tokens.Set(b.size)
	}
}

// take takes n in pieces, each when there is enough for it.
func (b *rationalBucket) take(n, piece int64) (took time.Duration) {
	for n > 0 {
		k := min(n, piece)
		n -= k
		b.tokens.Sub(b.tokens, new(big.Rat).SetInt64(k))
		if b.tokens.Sign() < 0 {
			wait := new(big.Rat).Quo(new(big.Rat).Neg(b.tokens), b.rate)
			ns := new(big.Int).Div(new(big.Int).Add(wait.Num(), new(big.Int).Sub(wait.Denom(), big.NewInt(1))), wait.Denom())
			took += time.Duration(ns.Int64())
			b.tokens.Add(b.tokens, new(big.Rat).Mul(b.rate, new(big.Rat).SetInt(ns)))
		}
	}
	return took
}

func TestThrottleWaitEnds(t *testing.T) {
	slow := &middleware.ThrottleOptions{Read: 1, Write: 1, Burst: 10 * time.Second}
	for name, test := range map[string]struct {
		early func(nc, server net.Conn, cancel func()) // after two seconds
		do    func(nc net.Conn) error
		takes time.Duration
		want  error
	}{
		"write deadline, set before": {do: func(nc net.Conn) error {
			_ = nc.SetWriteDeadline(time.Now().Add(3 * time.Second))
			return second(nc.Write(make([]byte, 100)))
		}, takes: 3 * time.Second, want: os.ErrDeadlineExceeded},
		"write deadline, set meanwhile": {do: func(nc net.Conn) error { return second(nc.Write(make([]byte, 100))) },
			early: func(nc, _ net.Conn, _ func()) { _ = nc.SetWriteDeadline(time.Now()) },
			takes: 2 * time.Second, want: os.ErrDeadlineExceeded},
		"both deadlines": {do: func(nc net.Conn) error { return second(nc.Write(make([]byte, 100))) },
			early: func(nc, _ net.Conn, _ func()) { _ = nc.SetDeadline(time.Now().Add(time.Second / 2)) },
			takes: 2500 * time.Millisecond, want: os.ErrDeadlineExceeded},
		"read deadline": {do: func(nc net.Conn) error {
			_ = nc.SetReadDeadline(time.Now().Add(2500 * time.Millisecond))
			return second(io.ReadFull(nc, make([]byte, 100)))
		}, takes: 2500 * time.Millisecond, want: os.ErrDeadlineExceeded},
		"the read deadline is not the writer's": {do: func(nc net.Conn) error {
			_ = nc.SetReadDeadline(time.Now())
			return second(nc.Write(make([]byte, 14)))
		}, takes: 4 * time.Second},
		"closed by the handler": {do: func(nc net.Conn) error { return second(nc.Write(make([]byte, 100))) },
			early: func(nc, _ net.Conn, _ func()) { nc.Close() },
			takes: 2 * time.Second, want: net.ErrClosed},
		"killed": {do: func(nc net.Conn) error { return second(nc.Write(make([]byte, 100))) },
			early: func(_, server net.Conn, cancel func()) { cancel(); server.Close() },
			takes: 2 * time.Second, want: net.ErrClosed},
		"killed, the socket is not closed yet": {do: func(nc net.Conn) error { return second(nc.Write(make([]byte, 100))) },
			early: func(_, _ net.Conn, cancel func()) { cancel() },
			takes: 2 * time.Second, want: net.ErrClosed},
		"in time": {do: func(nc net.Conn) error {
			_ = nc.SetDeadline(time.Now().Add(time.Minute))
			return second(nc.Write(make([]byte, 14)))
		}, takes: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				client, server := testkit.NewConnPair(t)
				_, err := client.Write(make([]byte, 200))
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var took time.Duration
				err = middleware.Throttle(slow)(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					begun := time.Now()
					if test.early != nil {
						time.AfterFunc(2*time.Second, func() { test.early(nc, server, cancel) })
					}
					err := test.do(nc)
					took = time.Since(begun)
					return err
				})(ctx, server, new(lgrp.AnyConn))
				require.Equal(t, test.takes, took)
				if test.want == nil {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, test.want)
				var ne net.Error
				require.Equal(t, test.want == os.ErrDeadlineExceeded, errors.As(err, &ne) && ne.Timeout())
			})
		})
	}
}

// What was taken for a Write that did not come about is given back.
func TestThrottleGivesBack(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		_, server := testkit.NewConnPair(t)
		throttler := middleware.NewThrottler(&middleware.ThrottleOptions{TotalWrite: 1, Burst: 10 * time.Second})
		require.NoError(t, throttler.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			begun := time.Now()
			_, err := nc.Write(make([]byte, 10))
			require.NoError(t, err)
			_ = nc.SetWriteDeadline(begun.Add(time.Second))
			_, err = nc.Write(make([]byte, 10))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			_ = nc.SetWriteDeadline(time.Time{})
			_, err = nc.Write(make([]byte, 5))
			require.Equal(t, 5*time.Second, time.Since(begun))
			return err
		})(t.Context(), server, new(lgrp.AnyConn)))
	})
}

func TestThrottleChanged(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		throttler := middleware.NewThrottler(&middleware.ThrottleOptions{Write: 10, Burst: time.Second})
		require.NoError(t, throttler.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			write := func(n int, takes time.Duration) {
				t.Helper()
				begun := time.Now()
				_, err := nc.Write(make([]byte, n))
				require.NoError(t, err)
				require.Equal(t, takes, time.Since(begun))
			}
			write(30, 2*time.Second)
			throttler.Set(&middleware.ThrottleOptions{Write: 100, Burst: time.Second})
			write(50, 500*time.Millisecond)
			throttler.Set(&middleware.ThrottleOptions{TotalWrite: 10, Burst: time.Second})
			write(20, time.Second) // a burst of ten first
			throttler.Set(nil)
			write(1<<20, 0)
			require.Equal(t, middleware.ThrottleOptions{Burst: 100 * time.Millisecond}, throttler.Options())
			return nil
		})(t.Context(), nullConn{}, new(lgrp.AnyConn)))
		var zero middleware.Throttler
		require.Zero(t, zero.Options())
		require.NoError(t, zero.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			return second(nc.Write(make([]byte, 1<<20)))
		})(t.Context(), nullConn{}, new(lgrp.AnyConn)))
	})
}

func TestThrottleAllocations(t *testing.T) {
	require.EqualValues(t, 1, allocations(t, new(lgrp.AnyConn), middleware.Throttle(nil)))
}
