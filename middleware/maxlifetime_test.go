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

func ExampleMaxLifetime() {
	farewell := func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		<-c.Draining()
		_, err := io.WriteString(nc, "come back later")
		return err
	}
	g, dial := serve(farewell, middleware.MaxLifetime(10*time.Millisecond, nil))
	defer g.Close()
	said, err := io.ReadAll(dial())
	fmt.Println(string(said), err, ended(g, 1).Closed)
	// Output:
	// come back later <nil> map[drained:1]
}

func ExampleLifetimeTimer() {
	timer := middleware.NewLifetimeTimer(time.Hour, &middleware.MaxLifetimeOptions{
		Jitter: 0.5, // from half of it to all
		Grace:  time.Millisecond,
	})
	g, dial := serve(greet, timer.Middleware())
	defer g.Close()
	timer.SetLifetime(time.Millisecond) // of those that come from now on
	dial()
	fmt.Println(ended(g, 1).Closed, timer.Asked(), timer.Lifetime())
	// Output:
	// map[forced:1] 1 1ms
}

func TestMaxLifetime(t *testing.T) {
	const life = time.Minute
	exact := &middleware.MaxLifetimeOptions{Jitter: -1}
	for name, test := range map[string]struct {
		opts     *middleware.MaxLifetimeOptions
		takes    time.Duration // to finish, once asked to; negative: does not listen
		from, to time.Duration
		why      lgrp.Reason
	}{
		"finishes at once":  {exact, 0, life, life, lgrp.ReasonDrained},
		"finishes":          {exact, 29 * time.Second, life + 29*time.Second, life + 29*time.Second, lgrp.ReasonDrained},
		"is forced":         {exact, -1, life + 30*time.Second, life + 30*time.Second, lgrp.ReasonForced},
		"another grace":     {&middleware.MaxLifetimeOptions{Jitter: -1, Grace: time.Second}, -1, life + time.Second, life + time.Second, lgrp.ReasonForced},
		"no grace":          {&middleware.MaxLifetimeOptions{Jitter: -1, Grace: -1}, -1, life, life, lgrp.ReasonForced},
		"jitter by default": {nil, 0, 54 * time.Second, life, lgrp.ReasonDrained},
		"much jitter":       {&middleware.MaxLifetimeOptions{Jitter: 7}, 0, 0, life, lgrp.ReasonDrained},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				const n = 50
				timer := middleware.NewLifetimeTimer(life, test.opts)
				began := time.Now()
				var lived [n]time.Duration
				s := newStage(t, func(ctx context.Context, _ net.Conn, c *lgrp.AnyConn) error {
					defer func() { lived[c.ID()-1] = time.Since(began) }()
					if test.takes < 0 {
						<-ctx.Done()
						return nil
					}
					<-c.Draining()
					time.Sleep(test.takes)
					return nil
				}, timer.Middleware())
				for range n {
					s.dial()
				}
				different := map[time.Duration]bool{}
				for _, e := range s.awaitEnds(t, n) {
					require.Equal(t, test.why, e.why)
				}
				for _, d := range lived {
					require.GreaterOrEqual(t, d, test.from)
					require.LessOrEqual(t, d, test.to)
					different[d] = true
				}
				require.Equal(t, test.from != test.to, len(different) > 1)
				require.EqualValues(t, n, timer.Asked())
			})
		})
	}
}

func TestMaxLifetimeReturnsBefore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		timer := middleware.NewLifetimeTimer(time.Minute, nil)
		s := newStage(t, nothing, timer.Middleware())
		s.dial()
		require.Equal(t, lgrp.ReasonReturned, s.awaitEnds(t, 1)[0].why)
		time.Sleep(time.Hour)
		require.Zero(t, timer.Asked())
	})
}

func TestMaxLifetimeNone(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, asked, middleware.MaxLifetime(0, nil))
		s.dial()
		time.Sleep(1000 * time.Hour)
		require.Equal(t, 1, s.Info().Active)
	})
}

func TestMaxLifetimeAllocations(t *testing.T) {
	// The timer and its function.
	require.EqualValues(t, 2, allocations(t, new(lgrp.AnyConn), middleware.MaxLifetime(time.Hour, nil)))
}
