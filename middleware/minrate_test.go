package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleMinRate() {
	g, dial := serve(greet, middleware.MinRate(1000, &middleware.MinRateOptions{Window: 200 * time.Millisecond}))
	defer g.Close()
	nc := dial()
	fmt.Println(hear(nc))
	fmt.Fprint(nc, "slow") // and no more
	fmt.Println(ended(g, 1).Closed)
	// Output:
	// hello
	// map[timeout:1]
}

func ExampleRateFloor() {
	floor := middleware.NewRateFloor(0, &middleware.MinRateOptions{Window: 200 * time.Millisecond})
	g, dial := serve(greet, floor.Middleware())
	defer g.Close()
	nc := dial()
	fmt.Println(hear(nc))
	floor.SetMin(1000) // under attack, say
	_, err := nc.Read(make([]byte, 1))
	fmt.Println(err, floor.Ended(), "of less than", floor.Min())
	// Output:
	// hello
	// EOF 1 of less than 1000
}

func TestMinRate(t *testing.T) {
	const s = time.Second
	read := func(nc net.Conn, n int) error {
		_, err := io.ReadFull(nc, make([]byte, n))
		return err
	}
	type step struct {
		wait  time.Duration
		bytes int
	}
	for name, test := range map[string]struct {
		client []step
		h      func(nc net.Conn, c *lgrp.AnyConn) error // defaults to reading
		ends   time.Duration                            // 0: it is served
	}{
		"nothing":                      {ends: 10 * s},
		"a byte now and then":          {client: []step{{s, 1}, {s, 1}, {s, 1}, {s, 1}, {s, 1}}, ends: 10 * s},
		"just enough, then nothing":    {client: []step{{9 * s, 100}}, ends: 20 * s},
		"one too few":                  {client: []step{{9 * s, 99}}, ends: 10 * s},
		"enough each time":             {client: []step{{5 * s, 100}, {10 * s, 100}, {10 * s, 100}}, ends: 40 * s},
		"does not make up for another": {client: []step{{5 * s, 1000}, {10 * s, 1}}, ends: 20 * s},
		"enough and goes":              {client: []step{{5 * s, 100}, {s, 0}}},
		"the handler thinks": {client: []step{{0, 10}, {60 * s, 10}}, h: func(nc net.Conn, _ *lgrp.AnyConn) error {
			if err := read(nc, 10); err != nil {
				return err
			}
			time.Sleep(time.Minute)
			return read(nc, 10)
		}},
		"thinks, and then waits": {client: []step{{4 * s, 10}}, h: func(nc net.Conn, _ *lgrp.AnyConn) error {
			if err := read(nc, 10); err != nil { // four seconds
				return err
			}
			time.Sleep(time.Minute)
			return read(nc, 10) // the other six
		}, ends: 70 * s},
		"idle": {client: []step{{90 * s, 200}}, h: func(nc net.Conn, c *lgrp.AnyConn) error {
			c.SetIdle(true)
			err := read(nc, 200)
			c.SetIdle(false)
			return err
		}},
		"idle, then slow": {client: []step{{95 * s, 1}}, h: func(nc net.Conn, c *lgrp.AnyConn) error {
			c.SetIdle(true)
			if err := read(nc, 1); err != nil {
				return err
			}
			c.SetIdle(false)
			return read(nc, 100) // all of a window from here
		}, ends: 105 * s},
		"deadlines of its own": {h: func(nc net.Conn, _ *lgrp.AnyConn) error {
			for range 3 {
				_ = nc.SetReadDeadline(time.Now().Add(3 * s))
				if _, err := nc.Read(make([]byte, 1)); err == nil {
					return err
				}
				time.Sleep(3 * s)
			}
			_ = nc.SetReadDeadline(time.Time{})
			return read(nc, 1)
		}, ends: 19 * s},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				begun := time.Now()
				floor := middleware.NewRateFloor(100, nil)
				h := test.h
				if h == nil {
					h = func(nc net.Conn, _ *lgrp.AnyConn) error {
						_, err := io.Copy(io.Discard, nc)
						return err
					}
				}
				var cause error
				st := newStage(t, func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
					err := h(nc, c)
					cause = context.Cause(ctx)
					return err
				}, floor.Middleware())
				nc := st.dial()
				go func() {
					for _, s := range test.client {
						time.Sleep(s.wait)
						if s.bytes == 0 {
							_ = nc.CloseWrite()
						} else if _, err := nc.Write(make([]byte, s.bytes)); err != nil {
							return
						}
					}
				}()
				end := st.awaitEnds(t, 1)[0]
				if test.ends == 0 {
					require.Equal(t, lgrp.ReasonReturned, end.why)
					require.Zero(t, floor.Ended())
					return
				}
				require.Equal(t, lgrp.ReasonTimeout, end.why)
				require.ErrorContains(t, cause, "middleware: MinRate: less than 100 bytes in 10s")
				require.Equal(t, test.ends, time.Since(begun))
				require.EqualValues(t, 1, floor.Ended())
			})
		})
	}
}

// However little of a window is left when the peer's bytes come, nothing ticks
// until somebody waits for the next.
func TestMinRateRestsWhileAHandlerThinks(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		begun := time.Now()
		var thinking, waiting []bool
		var mu sync.Mutex
		s := newStage(t, func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			for range 3 {
				if _, err := io.ReadFull(nc, make([]byte, 100)); err != nil {
					return err
				}
				time.Sleep(time.Minute)
				thinking = append(thinking, middleware.Ticking(nc))
				time.AfterFunc(500*time.Nanosecond, func() {
					mu.Lock()
					defer mu.Unlock()
					waiting = append(waiting, middleware.Ticking(nc))
				})
			}
			_, err := nc.Read(make([]byte, 1))
			return err
		}, middleware.MinRate(100, nil))
		nc := s.dial()
		time.Sleep(10*time.Second - time.Microsecond)
		_, err := nc.Write(make([]byte, 100))
		require.NoError(t, err)
		time.Sleep(time.Minute + 5*time.Second)
		_, err = nc.Write(make([]byte, 200)) // of a second window, in which the third is read too
		require.NoError(t, err)
		require.Equal(t, lgrp.ReasonTimeout, s.awaitEnds(t, 1)[0].why)
		require.Equal(t, 210*time.Second, time.Since(begun))
		require.Equal(t, []bool{false, false, false}, thinking)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []bool{true, true, true}, waiting)
	})
}

func TestMinRateNone(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		floor := middleware.NewRateFloor(0, nil)
		s := newStage(t, asked, floor.Middleware())
		begun := time.Now()
		s.dial()
		time.Sleep(time.Hour + time.Second)
		require.Equal(t, 1, s.Info().Active)
		floor.SetMin(1)
		s.awaitEnds(t, 1)
		require.Equal(t, time.Hour+10*time.Second, time.Since(begun))
	})
}

func TestMinRateAllocations(t *testing.T) {
	// The layer with its state, the timer, and the timer's function.
	require.EqualValues(t, 3, allocations(t, new(lgrp.AnyConn), middleware.MinRate(1, nil)))
}

func BenchmarkMinRateRead(b *testing.B) {
	for name, mw := range map[string]lgrp.Middleware{"bare": middleware.Chain(), "MinRate": middleware.MinRate(1, nil)} {
		b.Run(name, func(b *testing.B) {
			_ = mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				buf := make([]byte, 1)
				for b.Loop() {
					_, _ = nc.Read(buf)
				}
				return nil
			})(context.Background(), nullConn{}, new(lgrp.AnyConn))
		})
	}
}
