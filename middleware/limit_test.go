package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleLimit() {
	g, dial := serve(greet, middleware.Limit(1))
	defer g.Close()

	first := dial()
	fmt.Println(hear(first))
	fmt.Println(hear(dial()))
	first.Close()
	ended(g, 2)
	fmt.Println(hear(dial()))
	// Output:
	// hello
	// nothing
	// hello
}

func ExampleLimiter() {
	limiter := middleware.NewLimiter(1)
	g, dial := serve(greet, limiter.Middleware())
	defer g.Close()

	fmt.Println(hear(dial()), limiter.Active(), "of", limiter.Max())
	fmt.Println(hear(dial()), limiter.Refused(), "refused")
	limiter.SetMax(2)
	fmt.Println(hear(dial()), limiter.Active(), "of", limiter.Max())
	// Output:
	// hello 1 of 1
	// nothing 1 refused
	// hello 2 of 2
}

func TestLimit(t *testing.T) {
	for name, test := range map[string]struct {
		max          int
		come         int
		thenMax, go_ int
		thenCome     int
		in, refused  int
	}{
		"below":              {max: 3, come: 2, thenMax: 3, in: 2},
		"at":                 {max: 3, come: 3, thenMax: 3, in: 3},
		"above":              {max: 3, come: 5, thenMax: 3, in: 3, refused: 2},
		"none":               {max: 0, come: 9, in: 9},
		"negative":           {max: -1, come: 9, thenMax: -1, in: 9},
		"a place is free":    {max: 2, come: 3, thenMax: 2, go_: 1, thenCome: 2, in: 2, refused: 2},
		"raised":             {max: 1, come: 2, thenMax: 3, thenCome: 3, in: 3, refused: 2},
		"lowered":            {max: 3, come: 3, thenMax: 1, go_: 1, thenCome: 1, in: 2, refused: 1},
		"lowered, then room": {max: 3, come: 3, thenMax: 2, go_: 2, thenCome: 2, in: 2, refused: 1},
		"lifted":             {max: 1, come: 1, thenMax: 0, thenCome: 5, in: 6},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				limiter := middleware.NewLimiter(test.max)
				var in holder
				h := limiter.Middleware()(in.handle)
				refused := 0
				come := func(n int) {
					for range n {
						if err := in.enter(h, peer("192.0.2.1"), synctest.Wait); err != nil {
							require.Equal(t, lgrp.ReasonLimit, reasonOf(err))
							require.ErrorIs(t, err, lgrp.ErrLimit)
							refused++
						}
					}
				}
				come(test.come)
				limiter.SetMax(test.thenMax)
				in.release(test.go_)
				synctest.Wait()
				come(test.thenCome)
				require.Equal(t, test.in, in.size())
				require.Equal(t, test.in, limiter.Active())
				require.Equal(t, test.refused, refused)
				require.EqualValues(t, test.refused, limiter.Refused())
				in.release(-1)
				in.wg.Wait()
				require.Zero(t, limiter.Active())
			})
		})
	}
}

// One Limit that is given to Use is one for the whole group, and it is built
// again with every Use.
func TestLimitIsTheGroups(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := lgrp.New(lgrp.Typed[struct{}, struct{}](echo), &lgrp.Options{Logger: slog.New(slog.DiscardHandler)})
		limiter := middleware.NewLimiter(8)
		g.Use(limiter.Middleware())
		var network testkit.Network
		var lns []*testkit.Listener
		for range 3 {
			lns = append(lns, network.Listen(t))
			_, err := g.Add(t.Context(), lgrp.ListenerSpec[struct{}]{Listener: lns[len(lns)-1]})
			require.NoError(t, err)
			g.Use(func(next lgrp.Handler) lgrp.Handler { return next })
		}
		for _, ln := range lns {
			for range 5 {
				ln.NewConn()
			}
		}
		synctest.Wait()
		require.Equal(t, 8, limiter.Active())
		require.EqualValues(t, 7, g.Info().Closed[lgrp.ReasonLimit])
		require.NoError(t, g.Close())
		require.Zero(t, limiter.Active())
	})
}

func TestLimitAfterAPanic(t *testing.T) {
	limiter := middleware.NewLimiter(1)
	h := limiter.Middleware()(func(context.Context, net.Conn, *lgrp.AnyConn) error { panic("a bug") })
	for range 3 {
		require.PanicsWithValue(t, "a bug", func() { _ = h(t.Context(), nil, new(lgrp.AnyConn)) })
	}
	require.Zero(t, limiter.Active())
}

func TestLimitExactUnderConcurrency(t *testing.T) {
	const limit = 3
	var inside, most, admitted, refused atomic.Int64
	limiter := middleware.NewLimiter(limit)
	h := limiter.Middleware()(func(context.Context, net.Conn, *lgrp.AnyConn) error {
		n := inside.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		inside.Add(-1)
		admitted.Add(1)
		return nil
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := new(lgrp.AnyConn)
			for range 2000 {
				if h(context.Background(), nil, c) != nil {
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(limit))
	require.EqualValues(t, 8*2000, admitted.Load()+refused.Load())
	require.EqualValues(t, refused.Load(), limiter.Refused())
	require.Zero(t, limiter.Active())
}

func TestLimitAllocations(t *testing.T) {
	require.Zero(t, allocations(t, new(lgrp.AnyConn), middleware.Limit(1)))
}
