package lgrp_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
)

// The benchmarks here compare a group with the loop people write by hand,
//
//	for { c, err := ln.Accept(); …; go handle(c) }
//
// over the same connections in the same run. Times on a shared machine mean
// little; the ratios are what .ci/bench prints, from TestRatios.

// stubListener hands out connections that cost next to nothing, so that what
// is measured is the loop and the library.
type stubListener struct {
	ch   chan net.Conn
	done chan struct{}
}

func newStubListener() *stubListener {
	return &stubListener{ch: make(chan net.Conn), done: make(chan struct{})}
}

func (l *stubListener) Accept() (net.Conn, error) {
	c, ok := <-l.ch
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *stubListener) Close() error   { close(l.ch); return nil }
func (l *stubListener) Addr() net.Addr { return stubAddr }

// push has n connections served, one after the other: each is handed to
// Accept, and the next follows when it has been closed.
func (l *stubListener) push(n int) {
	for range n {
		l.ch <- &stubConn{l: l}
		<-l.done
	}
}

var stubAddr net.Addr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}

type stubConn struct{ l *stubListener }

func (c *stubConn) Read([]byte) (int, error)    { return 0, io.EOF }
func (c *stubConn) Write(b []byte) (int, error) { return len(b), nil }
func (c *stubConn) Close() error {
	c.l.done <- struct{}{}
	return nil
}
func (c *stubConn) LocalAddr() net.Addr              { return stubAddr }
func (c *stubConn) RemoteAddr() net.Addr             { return stubAddr }
func (c *stubConn) SetDeadline(time.Time) error      { return nil }
func (c *stubConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stubConn) SetWriteDeadline(time.Time) error { return nil }

// work is what the handlers of these benchmarks do: a read. deepWork and wideWork
// do it at the bottom of a call chain that needs between six and seven KiB of
// stack: that of an encoder, whose frames are as large and as full of pointers
// as those of encoding/json (132 B on average, three levels down), and one of frames of half a KiB.
// A stack that grows is moved frame by frame, so the first costs the bare loop
// more.
func work(nc net.Conn) { _, _ = nc.Read(nil) }

func deepWork(nc net.Conn) { _ = (&encoder{nc: nc}).list(nested, encoding{open: "[", shut: "]"}) }

// A list of lists.
type list []list

var nested = func() (l list) {
	for range 46 {
		l = list{l}
	}
	return l
}()

type encoder struct {
	nc   net.Conn
	size int
}

type encoding struct{ open, shut string }

func (e *encoder) list(l list, o encoding) error {
	if len(l) == 0 {
		work(e.nc)
		return nil
	}
	e.size += len(o.open)
	for _, inner := range l {
		if err := e.list(inner, o); err != nil {
			return err
		}
	}
	e.size += len(o.shut)
	return nil
}

func wideWork(nc net.Conn) { wide(nc, 12) }

//go:noinline
func wide(nc net.Conn, frames int) byte {
	var buf [512]byte
	if frames == 0 {
		work(nc)
		return 0
	}
	buf[frames] = wide(nc, frames-1)
	return buf[frames/2]
}

// bare is the loop people write by hand.
func bare(ln net.Listener, handle func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			handle(c)
		}()
	}
}

// word is a context of one word.
type word struct{ p *int }

type wordConn = lgrp.Conn[word, word]

// wordGroup serves ln with a group whose contexts are one word each.
func wordGroup(t testing.TB, ln net.Listener, opts *lgrp.Options, h func(net.Conn), setUp func(*lgrp.ListenGroup[word, word])) *lgrp.ListenGroup[word, word] {
	g := lgrp.New(func(_ context.Context, nc net.Conn, _ *wordConn) error {
		h(nc)
		return nil
	}, opts)
	if setUp != nil {
		setUp(g)
	}
	_, err := g.Add(t.Context(), lgrp.ListenerSpec[word]{Listener: ln})
	require.NoError(t, err)
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func passThrough(next lgrp.Handler) lgrp.Handler {
	return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error { return next(ctx, nc, c) }
}

func fivePassThrough(g *lgrp.ListenGroup[word, word]) {
	for range 5 {
		g.Use(passThrough)
	}
}

// fiveReal are five middlewares that do something: recover, metrics, a limit,
// a byte count, typed state.
func fiveReal(g *lgrp.ListenGroup[word, word]) {
	recoverer(g)
	threeReal(g)
	typedState(g)
}

// recoverer does what the core does by itself.
func recoverer(g *lgrp.ListenGroup[word, word]) {
	g.Use(func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			defer countPanic()
			return next(ctx, nc, c)
		}
	})
}

// threeReal are metrics, a limit and a byte count. They are written as a user's
// would be who minds the stack of idle connections: what a layer needs after
// next has returned is one word, if anything.
func threeReal(g *lgrp.ListenGroup[word, word]) {
	m := &meters{epoch: time.Now()}
	leave := m.leave // bound once: a defer that binds it does so on each stack
	g.Use(
		func(next lgrp.Handler) lgrp.Handler {
			timed := &timed{m, next}
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				timed.begin()
				return timed.end(timed.next(ctx, nc, c))
			}
		},
		func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				if m.active.Add(1) > 1<<20 {
					m.active.Add(-1)
					return &lgrp.CloseError{Reason: lgrp.ReasonLimit}
				}
				defer leave()
				return next(ctx, nc, c)
			}
		},
		func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				return next(ctx, m.count(nc), c)
			}
		},
	)
}

func typedState(g *lgrp.ListenGroup[word, word]) {
	state := new(int)
	g.UseTyped(func(next lgrp.ConnHandler[word, word]) lgrp.ConnHandler[word, word] {
		return func(ctx context.Context, nc net.Conn, c *wordConn) error {
			c.Data.p = state
			return next(ctx, nc, c)
		}
	})
}

// meters is what the five share.
type meters struct {
	epoch                       time.Time
	conns, active, bytes, nanos atomic.Int64
}

var panics atomic.Int64

func countPanic() {
	if v := recover(); v != nil {
		panics.Add(1)
		panic(v)
	}
}

func (m *meters) begin() {
	m.conns.Add(1)
	m.nanos.Add(-int64(time.Since(m.epoch)))
}

// end and count are calls of their own so that their variables are on no stack
// while a connection waits.
//
//go:noinline
func (m *meters) end(err error) error {
	m.nanos.Add(int64(time.Since(m.epoch)))
	return err
}

//go:noinline
func (m *meters) count(nc net.Conn) net.Conn { return &countedConn{Conn: nc, n: &m.bytes} }

func (m *meters) leave() { m.active.Add(-1) }

type timed struct {
	*meters
	next lgrp.Handler
}

type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// fullEvents makes the group tell of everything.
func fullEvents() *lgrp.Events {
	var opened, closed atomic.Int64
	return &lgrp.Events{
		ConnOpened: func(lgrp.ConnInfo) { opened.Add(1) },
		ConnClosed: func(lgrp.ConnInfo, lgrp.Reason, error) { closed.Add(1) },
	}
}

// contender is one of the loops that are compared.
type contender struct {
	name  string
	start func(t testing.TB, ln *stubListener)
}

func bareLoop(h func(net.Conn)) contender {
	return contender{"bare loop", func(t testing.TB, ln *stubListener) {
		go bare(ln, h)
		t.Cleanup(func() { _ = ln.Close() })
	}}
}

func groupOf(name string, opts *lgrp.Options, h func(net.Conn), setUp func(*lgrp.ListenGroup[word, word])) contender {
	return contender{name, func(t testing.TB, ln *stubListener) { wordGroup(t, ln, opts, h, setUp) }}
}

// memoryRows are the comparisons without a kernel: each of the contenders
// against the first.
var memoryRows = [][]contender{
	{
		bareLoop(work),
		groupOf("group", nil, work, nil),
		groupOf("group, five pass-through middlewares", nil, work, fivePassThrough),
		groupOf("group, five real middlewares", nil, work, fiveReal),
		groupOf("group, five real middlewares, events", &lgrp.Options{Events: fullEvents()}, work, fiveReal),
		groupOf("group, NoReuse", &lgrp.Options{NoReuse: true}, work, nil),
		groupOf("group, limits on but not reached", &lgrp.Options{MaxConns: 1 << 20}, work, nil),
	},
	{
		bareLoop(deepWork),
		groupOf("group, a handler that needs 6 KiB of stack", nil, deepWork, nil),
		groupOf("group, the same with NoReuse", &lgrp.Options{NoReuse: true}, deepWork, nil),
	},
	{
		bareLoop(wideWork),
		groupOf("group, 6 KiB of stack in a few large frames", nil, wideWork, nil),
	},
}

func BenchmarkMemory(b *testing.B) {
	for _, row := range memoryRows {
		for _, c := range row {
			b.Run(c.name, func(b *testing.B) {
				ln := newStubListener()
				c.start(b, ln)
				ln.push(100)
				b.ReportAllocs()
				b.ResetTimer()
				ln.push(b.N)
			})
		}
	}
}

// allocsPerConn returns the allocations and bytes of one connection.
func allocsPerConn(t *testing.T, c contender) (allocs, bytes float64) {
	const n = 2000
	ln := newStubListener()
	c.start(t, ln)
	ln.push(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	allocs = testing.AllocsPerRun(10, func() { ln.push(n) }) / n
	runtime.ReadMemStats(&after)
	return allocs, float64(after.TotalAlloc-before.TotalAlloc) / (11 * n)
}

func TestAllocationsPerConnection(t *testing.T) {
	rows := memoryRows[0]
	baseAllocs, baseBytes := allocsPerConn(t, rows[0])
	for i, limit := range []struct{ allocs, bytes float64 }{1: {1, 160}, 2: {1, 160}, 3: {2, 200}, 4: {2, 200}, 5: {1 + baseAllocs, 160 + baseBytes}, 6: {1, 160}} {
		if i == 0 {
			continue
		}
		allocs, bytes := allocsPerConn(t, rows[i])
		t.Logf("%s: %.2f allocations and %.0f B a connection more than the bare loop's %.2f and %.0f", rows[i].name, allocs-baseAllocs, bytes-baseBytes, baseAllocs, baseBytes)
		require.LessOrEqual(t, allocs-baseAllocs, limit.allocs+0.05, rows[i].name)
		require.LessOrEqual(t, bytes-baseBytes, limit.bytes+8, rows[i].name)
	}
}
