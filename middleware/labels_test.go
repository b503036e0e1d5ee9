package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	exptrace "golang.org/x/exp/trace"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleLabels() {
	g, dial := serve(func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		conn, _ := pprof.Label(ctx, "conn")
		listener, _ := pprof.Label(ctx, "listener")
		fmt.Println(conn, listener == c.ListenerID())
		return greet(ctx, nc, c)
	}, middleware.Labels())
	nc := dial()
	hear(nc)
	nc.Close()
	g.Close()
	// Output: 1 true
}

// goroutines returns the labels of those that the profile shows.
func goroutines(t testing.TB) string {
	var b bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&b, 1))
	return b.String()
}

func TestLabels(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if c.ID() == 2 {
				panic("boom")
			}
			return echo(ctx, nc, c)
		}, middleware.Labels())
		nc := s.dial()
		time.Sleep(time.Second)
		require.Contains(t, goroutines(t), `"conn":"1"`)
		require.Contains(t, goroutines(t), `"listener":"`+s.ln.Addr().String()+`"`)
		nc.Close()
		s.dial()
		s.awaitEnds(t, 2)
		require.NotContains(t, goroutines(t), `"conn":`)
	})
}

func TestLabelsAllocations(t *testing.T) {
	h := middleware.Labels()(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, nil, c) }), 6.0)
}

func ExampleTrace() {
	g, dial := serve(func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		defer trace.StartRegion(ctx, "greeting").End()
		return greet(ctx, nc, c)
	}, middleware.Trace())
	nc := dial()
	fmt.Println(hear(nc))
	nc.Close()
	g.Close()
	// Output: hello
}

func TestTrace(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("a trace is being taken already")
	}
	var b bytes.Buffer
	require.NoError(t, trace.Start(&b))
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			defer trace.StartRegion(ctx, "inner").End()
			return nil
		}, middleware.Trace())
		s.dial()
		s.awaitEnds(t, 1)
	})
	trace.Stop()

	r, err := exptrace.NewReader(&b)
	require.NoError(t, err)
	var got []string
	tasks := make(map[exptrace.TaskID]bool)
	for {
		ev, err := r.ReadEvent()
		if err != nil {
			break
		}
		switch ev.Kind() {
		case exptrace.EventTaskBegin:
			tasks[ev.Task().ID] = true
			got = append(got, "task "+ev.Task().Type)
		case exptrace.EventTaskEnd:
			got = append(got, "end "+ev.Task().Type)
		case exptrace.EventRegionBegin:
			if tasks[ev.Region().Task] {
				got = append(got, "region "+ev.Region().Type)
			}
		case exptrace.EventLog:
			got = append(got, strings.Split(ev.Log().Message, ", peer")[0])
		}
	}
	require.Equal(t, []string{"task connection", "id 1, listener 192.0.2.1:1001", "region serve", "region inner", "end connection"}, got)
}

func TestTraceCostsNothingWhileNoneIsTaken(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("a trace is being taken")
	}
	h := middleware.Trace()(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = h(ctx, nil, c) }))
}
