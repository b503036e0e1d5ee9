package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleIdleTimeout() {
	g, dial := serve(greet, middleware.IdleTimeout(200*time.Millisecond))
	defer g.Close()
	nc := dial()
	fmt.Println(hear(nc))
	_, err := nc.Read(make([]byte, 1)) // and say nothing
	fmt.Println(err, ended(g, 1).Closed)
	// Output:
	// hello
	// EOF map[timeout:1]
}

func ExampleIdleTimer() {
	timer := middleware.NewIdleTimer(time.Hour)
	g, dial := serve(greet, timer.Middleware())
	defer g.Close()
	timer.SetTimeout(200 * time.Millisecond) // for those that come from now on
	nc := dial()
	fmt.Println(hear(nc))
	_, err := nc.Read(make([]byte, 1))
	fmt.Println(err, timer.Ended(), timer.Timeout())
	// Output:
	// hello
	// EOF 1 200ms
}

func TestIdleTimeout(t *testing.T) {
	const idle = 10 * time.Second
	at := func(seconds ...float64) (ds []time.Duration) {
		for _, s := range seconds {
			ds = append(ds, time.Duration(s*float64(time.Second)))
		}
		return ds
	}
	for name, test := range map[string]struct {
		client, server []time.Duration // when each writes a byte
		change         time.Duration   // the timeout, after a second
		ends           time.Duration
	}{
		"nothing":                     {ends: idle},
		"the client speaks":           {client: at(3), ends: 13 * time.Second},
		"in the last moment":          {client: at(9.999999999), ends: 19999999999},
		"on and on":                   {client: at(6, 12, 18, 24, 33.5), ends: 43500 * time.Millisecond},
		"the server speaks":           {server: at(1, 8, 15), ends: 25 * time.Second},
		"both":                        {client: at(5, 21), server: at(12, 29), ends: 39 * time.Second},
		"long pause":                  {client: at(2, 12.5), ends: 12 * time.Second},
		"lowered":                     {client: at(2), change: 3 * time.Second, ends: 10 * time.Second},
		"lowered, and it goes on":     {client: at(2, 9), change: 3 * time.Second, ends: 12 * time.Second},
		"raised":                      {client: at(2), change: 20 * time.Second, ends: 22 * time.Second},
		"raised, and the client goes": {client: at(2, 21), change: 20 * time.Second, ends: 41 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				begun := time.Now()
				timer := middleware.NewIdleTimer(idle)
				speak := func(nc net.Conn, when []time.Duration) {
					for _, d := range when {
						time.Sleep(time.Until(begun.Add(d)))
						if _, err := nc.Write([]byte{1}); err != nil {
							return
						}
					}
				}
				var cause error
				s := newStage(t, func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					go speak(nc, test.server)
					_, err := io.Copy(io.Discard, nc)
					cause = context.Cause(ctx)
					return err
				}, timer.Middleware())
				nc := s.dial()
				go func() { _, _ = io.Copy(io.Discard, nc) }()
				go speak(nc, test.client)
				if test.change > 0 {
					time.Sleep(time.Second)
					timer.SetTimeout(test.change)
				}
				ends := s.awaitEnds(t, 1)
				require.Equal(t, test.ends, time.Since(begun))
				require.Equal(t, lgrp.ReasonTimeout, ends[0].why)
				require.ErrorContains(t, cause, "middleware: IdleTimeout: no byte for ")
				require.EqualValues(t, 1, timer.Ended())
			})
		})
	}
}

func TestIdleTimeoutNone(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		timer := middleware.NewIdleTimer(0)
		s := newStage(t, asked, timer.Middleware())
		s.dial()
		time.Sleep(1000 * time.Hour)
		require.Equal(t, 1, s.Info().Active)
		timer.SetTimeout(time.Minute) // one that had a timeout when it came
		s.dial()
		timer.SetTimeout(0)
		time.Sleep(1000 * time.Hour)
		require.Equal(t, 2, s.Info().Active)
		require.Zero(t, timer.Ended())
	})
}

// A connection that is over in time is not ended, nor anything done to it.
func TestIdleTimeoutReturns(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		timer := middleware.NewIdleTimer(time.Minute)
		s := newStage(t, nothing, timer.Middleware())
		s.dial()
		require.Equal(t, lgrp.ReasonReturned, s.awaitEnds(t, 1)[0].why)
		time.Sleep(time.Hour)
		require.Zero(t, timer.Ended())
	})
}

func TestIdleTimeoutAllocations(t *testing.T) {
	// The layer with its state, the timer, and the timer's function.
	require.EqualValues(t, 3, allocations(t, new(lgrp.AnyConn), middleware.IdleTimeout(time.Hour)))
}

// What a Read costs under an idle timeout, and with a deadline set before each.
func BenchmarkIdleTimeoutRead(b *testing.B) {
	run := func(name string, before func(nc net.Conn), mw lgrp.Middleware, under net.Conn) {
		b.Run(name, func(b *testing.B) {
			_ = mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				buf := make([]byte, 1)
				for b.Loop() {
					before(nc)
					_, _ = nc.Read(buf)
				}
				return nil
			})(context.Background(), under, new(lgrp.AnyConn))
		})
	}
	plain := func(next lgrp.Handler) lgrp.Handler { return next }
	none := func(net.Conn) {}
	run("bare", none, plain, nullConn{})
	run("IdleTimeout", none, middleware.IdleTimeout(time.Hour), nullConn{})

	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	client := must(net.Dial("tcp", ln.Addr().String()))
	defer client.Close()
	server := must(ln.Accept())
	defer server.Close()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := client.Write(buf); err != nil {
				return
			}
		}
	}()
	run("TCP bare", none, plain, server)
	run("TCP IdleTimeout", none, middleware.IdleTimeout(time.Hour), server)
	run("TCP deadline before each", func(nc net.Conn) { _ = nc.SetReadDeadline(time.Now().Add(time.Hour)) }, plain, server)
}
