package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleChaos() {
	g, dial := serve(greet, middleware.Chaos(&middleware.ChaosOptions{
		DelayChance: 0.1, Delay: time.Second,
		StallChance: 1, // of each read and write
		ResetChance: 0, // would send a RST
		Seed:        7, // for the same faults the next time
		Enabled:     func() bool { return os.Getenv("STAGE") != "production" },
	}))
	nc := dial()
	nc.SetDeadline(time.Now().Add(50 * time.Millisecond))
	fmt.Println(hear(nc))
	nc.Close()
	g.Close()
	// Output: nothing
}

func TestChaos(t *testing.T) {
	for name, tc := range map[string]struct {
		opts     *middleware.ChaosOptions
		deadline time.Duration
		end      func(s *stage, nc *testkit.Conn)
		is       error
		least    time.Duration // that the exchange takes
		most     time.Duration
	}{
		"none":               {},
		"delays":             {opts: &middleware.ChaosOptions{DelayChance: 1, Delay: time.Second}, least: 1, most: 2 * time.Second},
		"resets":             {opts: &middleware.ChaosOptions{ResetChance: 1}, is: syscall.ECONNRESET},
		"stalls to deadline": {opts: &middleware.ChaosOptions{StallChance: 1}, deadline: time.Minute, is: os.ErrDeadlineExceeded, least: time.Minute, most: time.Minute},
		"stalls till killed": {opts: &middleware.ChaosOptions{StallChance: 1}, end: func(s *stage, _ *testkit.Conn) { time.Sleep(time.Hour); s.Kill(1, nil) }, is: net.ErrClosed, least: time.Hour, most: time.Hour},
		"not while disabled": {opts: &middleware.ChaosOptions{ResetChance: 1, Enabled: func() bool { return false }}},
		"delays to deadline": {opts: &middleware.ChaosOptions{DelayChance: 1, Delay: 1000 * time.Hour}, deadline: time.Second, is: os.ErrDeadlineExceeded, least: time.Second, most: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				result := make(chan error, 1)
				s := newStage(t, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					if tc.deadline > 0 {
						nc.SetDeadline(time.Now().Add(tc.deadline))
					}
					_, err := io.ReadFull(nc, make([]byte, 1))
					if err == nil {
						_, err = io.WriteString(nc, "y")
					}
					result <- err
					return err
				}, middleware.Chaos(tc.opts))
				begun := time.Now()
				nc := s.dial()
				io.WriteString(nc, "x")
				if tc.end != nil {
					tc.end(s, nc)
				}
				require.ErrorIs(t, <-result, tc.is)
				took := time.Since(begun)
				require.GreaterOrEqual(t, took, tc.least)
				require.LessOrEqual(t, took, tc.most)
			})
		})
	}
}

// With a seed, the same connections fail in the same way.
func TestChaosIsRepeatable(t *testing.T) {
	run := func(seed uint64) (pattern string) {
		testkit.Bubble(t, func(t *testing.T) {
			s := newStage(t, echo, middleware.Chaos(&middleware.ChaosOptions{
				Seed: seed, DelayChance: 0.3, Delay: time.Second, ResetChance: 0.1,
			}))
			for range 10 {
				nc := s.dial()
				n, begun := 0, time.Now()
				for ; n < 20; n++ {
					if _, err := io.WriteString(nc, "x"); err != nil {
						break
					}
					if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
						break
					}
				}
				pattern += fmt.Sprintf("%d in %v\n", n, time.Since(begun))
				nc.Close()
			}
		})
		return pattern
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}

func TestChaosPanicsOnMisuse(t *testing.T) {
	for _, p := range []float64{-0.1, 1.1} {
		require.Panics(t, func() { middleware.Chaos(&middleware.ChaosOptions{StallChance: p}) })
	}
}

func TestChaosAllocations(t *testing.T) {
	a, _ := testkit.NewConnPair(t)
	h := middleware.Chaos(nil)(func(context.Context, net.Conn, *lgrp.AnyConn) error { return errors.ErrUnsupported })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, a, c) }), 2.0) // one of them for the seeds
}
