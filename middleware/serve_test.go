package middleware_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

// Arith is a service of net/rpc.
type Arith struct{}

// Double answers twice n.
func (Arith) Double(n int, answer *int) error { *answer = 2 * n; return nil }

// A server that knows nothing of groups, and accepts by itself.
func ExampleServe() {
	srv := rpc.NewServer()
	if err := srv.Register(Arith{}); err != nil {
		fmt.Println(err)
		return
	}
	g := lgrp.New(lgrp.Typed[struct{}, struct{}](middleware.Serve(func(ln net.Listener) error {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return err
			}
			ctx, _ := netx.ServeContext(nc)
			c, _ := lgrp.AnyFromContext(ctx)
			c.SetNote("rpc")
			go srv.ServeConn(nc)
		}
	})), &lgrp.Options{MaxConns: 100})
	l, err := g.Listen(context.Background(), "127.0.0.1:0", struct{}{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	client, err := rpc.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	var answer int
	err = client.Call("Arith.Double", 21, &answer)
	fmt.Println(answer, err)
	for c := range g.ConnInfos() {
		fmt.Println(c.ID, c.Note)
	}
	client.Close()
	// Output:
	// 42 <nil>
	// 1 rpc
}

// acceptAndEcho is a server written against net.Listener.
func acceptAndEcho(ln net.Listener) error {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			io.Copy(nc, nc)
		}()
	}
}

func TestServeFeedsAServer(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var calls, running atomic.Int32
		s := newStage(t, middleware.Serve(func(ln net.Listener) error {
			calls.Add(1)
			if running.Add(1) != 1 {
				t.Error("two calls at a time")
			}
			defer running.Add(-1)
			return acceptAndEcho(ln)
		}))
		talk := func() *testkit.Conn {
			nc := s.dial()
			_, err := io.WriteString(nc, "x")
			require.NoError(t, err)
			_, err = io.ReadFull(nc, make([]byte, 1))
			require.NoError(t, err)
			return nc
		}
		a, b := talk(), talk()
		require.Equal(t, 2, s.Info().Active)
		require.EqualValues(t, 1, calls.Load())
		a.Close()
		require.Equal(t, lgrp.ReasonReturned, s.awaitEnds(t, 1)[0].why)
		require.EqualValues(t, 1, running.Load())

		b.Close()
		s.awaitEnds(t, 2)
		require.Zero(t, running.Load(), "serves on without a connection")

		for range 3 {
			talk().Close()
		}
		s.awaitEnds(t, 5)
		require.Greater(t, calls.Load(), int32(1))

		boom := errors.New("boom")
		talk()
		require.True(t, s.Kill(6, boom))
		require.ErrorIs(t, s.awaitEnds(t, 6)[5].err, boom)
		require.Zero(t, running.Load())
	})
}

func TestServeServerThatEnds(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		serve func(net.Listener) error
		why   lgrp.Reason
		check func(t *testing.T, err error)
	}{
		"at once": {
			serve: func(net.Listener) error { return boom }, why: lgrp.ReasonError,
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, boom) },
		},
		"by a panic": {
			serve: func(net.Listener) error { panic(boom) }, why: lgrp.ReasonPanic,
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, boom) },
		},
		"without accepting": {
			serve: func(ln net.Listener) error { time.Sleep(time.Minute); return ln.Close() }, why: lgrp.ReasonError,
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, net.ErrClosed) },
		},
		"after accepting": {
			serve: func(ln net.Listener) error {
				nc, err := ln.Accept()
				if err == nil {
					time.AfterFunc(time.Minute, func() { nc.Close() })
				}
				return boom
			},
			why: lgrp.ReasonReturned, check: func(t *testing.T, err error) { require.NoError(t, err) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				s := newStage(t, middleware.Serve(tc.serve))
				for n := 1; n <= 2; n++ { // the second makes it serve again
					s.dial()
					synctest.Wait()
					e := s.awaitEnds(t, n)[n-1]
					require.Equal(t, tc.why, e.why, "%v", e.err)
					tc.check(t, e.err)
				}
			})
		})
	}
}

// A server that is slow to end is not called again before it has.
func TestServeOneCallAtATime(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var running atomic.Int32
		s := newStage(t, middleware.Serve(func(ln net.Listener) error {
			if running.Add(1) != 1 {
				t.Error("two calls at a time")
			}
			defer running.Add(-1)
			err := acceptAndEcho(ln)
			time.Sleep(time.Minute)
			return err
		}))
		begun := time.Now()
		s.dial().Close()
		time.Sleep(time.Second)
		nc := s.dial()
		_, err := io.WriteString(nc, "x")
		require.NoError(t, err)
		_, err = io.ReadFull(nc, make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(begun))
		nc.Close()
		s.awaitEnds(t, 2)
	})
}

func TestServeBehindTLS(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, middleware.Serve(func(ln net.Listener) error {
			nc, err := ln.Accept()
			if err != nil {
				return err
			}
			_, isTLS := nc.(*tls.Conn)
			fmt.Fprint(nc, isTLS)
			return nc.Close()
		}), middleware.TLS(serverTLS()))
		all, err := io.ReadAll(tls.Client(s.dial(), clientTLS()))
		require.NoError(t, err)
		require.Equal(t, "true", string(all))
	})
}

func TestServeAllocations(t *testing.T) {
	h := middleware.Serve(func(ln net.Listener) error {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return err
			}
			nc.Close()
		}
	})
	nc, _ := testkit.NewConnPair(t)
	c := &lgrp.AnyConn{}
	// A listener, a goroutine, and a connection's notifier.
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(context.Background(), nc, c) }), 12.0)
}
