package middleware_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleTarpit() {
	var blocked = func(*lgrp.AnyConn) bool { return true } // a list, as a rule
	kept := middleware.NewLimiter(1000)
	g, dial := serve(greet, middleware.When(blocked, middleware.Tarpit(&middleware.TarpitOptions{
		Hold: 50 * time.Millisecond, Interval: 20 * time.Millisecond, Drip: []byte("SSH-"), Kept: kept,
	})))
	kept.SetMax(2000) // it is a bad day
	all, _ := io.ReadAll(dial())
	fmt.Println(strings.HasPrefix("SSH-SSH-", string(all))) // two bytes, or three on a slow machine
	fmt.Println(ended(g, 1).Closed, kept.Active(), kept.Refused())
	g.Close()
	// Output:
	// true
	// map[denied:1] 0 0
}

func TestTarpit(t *testing.T) {
	for name, tc := range map[string]struct {
		opts   *middleware.TarpitOptions
		client func(s *stage, nc *testkit.Conn)
		after  time.Duration
		read   string
		why    lgrp.Reason
	}{
		"silent":  {after: time.Minute},
		"drips":   {opts: &middleware.TarpitOptions{Drip: []byte("ab"), Interval: 15 * time.Second}, after: time.Minute, read: "aba"},
		"talks":   {client: func(_ *stage, nc *testkit.Conn) { nc.Write(make([]byte, 4096)) }, after: time.Minute},
		"patient": {opts: &middleware.TarpitOptions{Hold: -1}, client: func(_ *stage, nc *testkit.Conn) { time.Sleep(time.Hour); nc.Close() }, after: time.Hour},
		"leaves":  {client: func(_ *stage, nc *testkit.Conn) { time.Sleep(time.Second); nc.Close() }, after: time.Second},
		"drained": {client: func(s *stage, _ *testkit.Conn) { time.Sleep(time.Second); go s.Shutdown(context.Background()) }, after: time.Second},
		"drained, talks": {client: func(s *stage, nc *testkit.Conn) {
			nc.Write([]byte("xx"))
			time.Sleep(time.Second)
			go s.Shutdown(context.Background())
		}, after: time.Second},
		"killed": {client: func(s *stage, nc *testkit.Conn) { nc.Write([]byte("xx")); time.Sleep(time.Second); s.Kill(1, nil) }, after: time.Second, why: lgrp.ReasonKilled},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				s := newStage(t, echo, middleware.Tarpit(tc.opts))
				begun := time.Now()
				nc := s.dial()
				synctest.Wait()
				require.Equal(t, 1, s.Info().Uncounted)
				if tc.client != nil {
					tc.client(s, nc)
				}
				e := s.awaitEnds(t, 1)[0]
				require.Equal(t, tc.after, time.Since(begun))
				if tc.why == 0 {
					tc.why = lgrp.ReasonDenied
				}
				require.Equal(t, tc.why, e.why, "%v", e.err)
				if tc.read != "" {
					all, err := io.ReadAll(nc)
					require.NoError(t, err)
					require.Equal(t, tc.read, string(all))
				}
			})
		})
	}
}

func TestTarpitIsBounded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		kept := middleware.NewLimiter(2)
		s := newStage(t, echo, middleware.Tarpit(&middleware.TarpitOptions{Kept: kept}))
		for range 5 {
			s.dial()
		}
		synctest.Wait()
		require.Equal(t, 2, s.Info().Uncounted)
		require.Len(t, s.awaitEnds(t, 3), 3)
		require.Equal(t, []any{2, 2, uint64(3)}, []any{kept.Active(), kept.Max(), kept.Refused()})
		time.Sleep(time.Minute + time.Second) // the two leave after a minute
		kept.SetMax(1)
		s.dial()
		s.dial()
		synctest.Wait()
		require.Equal(t, 1, s.Info().Uncounted)

		few := newStage(t, echo, middleware.Tarpit(&middleware.TarpitOptions{MaxConns: 1}))
		few.dial()
		few.dial()
		synctest.Wait()
		require.Equal(t, 1, few.Info().Uncounted)
	})
}

func TestTarpitAllocations(t *testing.T) {
	a, b := testkit.NewConnPair(t)
	require.NoError(t, a.Close())
	h := middleware.Tarpit(nil)(nil)
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, b, c) }), 14.0) // waiting costs timers
}
