package middleware_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleCount() {
	var total netx.Counter
	g, dial := serve(greet, middleware.Count(&total))
	defer g.Close()

	for range 3 {
		nc := dial()
		hear(nc)
		fmt.Fprint(nc, "bye")
		nc.Close()
	}
	ended(g, 3)
	n := total.Counts()
	fmt.Println(n.BytesRead, "bytes read,", n.BytesWritten, "written in", n.Writes, "writes")
	// Output:
	// 9 bytes read, 15 written in 3 writes
}

func ExampleConnCounter() {
	var counter middleware.ConnCounter
	greeted := make(chan bool)
	g, dial := serve(func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, err := io.WriteString(nc, "hello")
		greeted <- true // now it is counted; the client may have it sooner
		<-ctx.Done()
		return err
	}, counter.Middleware())
	defer g.Close()

	fmt.Println(hear(dial()), <-greeted)
	n, ok := counter.Conn(1)
	fmt.Println(n.BytesWritten, ok)
	for id, n := range counter.Conns() {
		fmt.Println("connection", id, "has been written", n.BytesWritten)
	}
	fmt.Println(counter.Total().BytesWritten)
	// Output:
	// hello true
	// 5 true
	// connection 1 has been written 5
	// 5
}

func TestCount(t *testing.T) {
	for name, test := range map[string]struct {
		h    lgrp.Handler
		sent string
		want netx.Counts
	}{
		"nothing": {h: nothing},
		"reads and writes": {sent: "abcdef", h: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			_, err := io.ReadFull(nc, make([]byte, 4))
			fmt.Fprint(nc, "12")
			fmt.Fprint(nc, "345")
			return err
		}, want: netx.Counts{BytesRead: 4, BytesWritten: 5, Reads: 1, Writes: 2}},
		"a copy": {sent: "abcdef", h: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			n, err := io.Copy(io.Discard, struct{ io.Reader }{nc})
			_, _ = io.Copy(nc, strings.NewReader(fmt.Sprint(n)))
			return err
		}, want: netx.Counts{BytesRead: 6, BytesWritten: 1, Reads: 1, Writes: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var total netx.Counter
				var each middleware.ConnCounter
				s := newStage(t, test.h, middleware.Count(&total), each.Middleware())
				for range 3 {
					nc := s.dial()
					if test.sent != "" {
						_, err := io.WriteString(nc, test.sent)
						require.NoError(t, err)
					}
					_ = nc.CloseWrite() // the handler may have returned
				}
				s.awaitEnds(t, 3)
				want := netx.Counts{BytesRead: 3 * test.want.BytesRead, BytesWritten: 3 * test.want.BytesWritten,
					Reads: 3 * test.want.Reads, Writes: 3 * test.want.Writes}
				require.Equal(t, want, total.Counts())
				require.Equal(t, want, each.Total())
				require.Empty(t, maps.Collect(each.Conns()))
			})
		})
	}
}

func TestConnCounterKnowsOpenConnections(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var counter middleware.ConnCounter
		s := newStage(t, echo, counter.Middleware())
		want := map[uint64]netx.Counts{}
		for i := range 4 {
			nc := s.dial()
			synctest.Wait() // ids in this order
			_, err := nc.Write(make([]byte, i))
			require.NoError(t, err)
			n := netx.Counts{BytesRead: int64(i), BytesWritten: int64(i)}
			if i > 0 { // the read that brought them, and the write
				n.Reads, n.Writes = 1, 1
			}
			want[uint64(i+1)] = n
		}
		synctest.Wait()
		require.Equal(t, want, maps.Collect(counter.Conns()))
		for id := range counter.Conns() { // stops early
			_, ok := counter.Conn(id)
			require.True(t, ok)
			break
		}
		_, ok := counter.Conn(5)
		require.False(t, ok)
		require.NoError(t, s.Close())
		require.Empty(t, maps.Collect(counter.Conns()))
		require.EqualValues(t, 6, counter.Total().BytesRead)
	})
}

func TestCountPanicsOnMisuse(t *testing.T) {
	require.Panics(t, func() { middleware.Count(nil) })
}

func TestCountAllocations(t *testing.T) {
	require.EqualValues(t, 1, allocations(t, new(lgrp.AnyConn), middleware.Count(new(netx.Counter))))
	require.EqualValues(t, 1, allocations(t, new(lgrp.AnyConn), new(middleware.ConnCounter).Middleware()))
}
