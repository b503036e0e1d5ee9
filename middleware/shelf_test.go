package middleware_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// serve is a group at a port of the loopback interface for the examples, and how
// to connect to it. The clients' ends stay open, whether or not the example keeps
// them, until the listener closes: the garbage collector must not hang up.
func serve(h lgrp.Handler, mws ...lgrp.Middleware) (g *lgrp.ListenGroup[struct{}, struct{}], dial func() net.Conn) {
	var mu sync.Mutex
	var clients []net.Conn
	g = lgrp.New(lgrp.Typed[struct{}, struct{}](h), &lgrp.Options{
		Logger: slog.New(slog.DiscardHandler),
		Events: &lgrp.Events{ListenerState: func(info lgrp.ListenerInfo, _ lgrp.ListenerState) {
			if info.State != lgrp.StateClosed {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, nc := range clients {
				_ = nc.Close()
			}
		}},
	})
	g.Use(mws...)
	l, err := g.Listen(context.Background(), "127.0.0.1:0", struct{}{})
	if err != nil {
		panic(err)
	}
	return g, func() net.Conn {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			panic(err)
		}
		mu.Lock()
		defer mu.Unlock()
		clients = append(clients, nc)
		return nc
	}
}

// greet is the handler of most examples: it says hello, and reads to the end.
func greet(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
	if _, err := io.WriteString(nc, "hello"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, nc)
	return err
}

// hear returns the greeting, or says that there was none.
func hear(nc net.Conn) string {
	b := make([]byte, 5)
	if _, err := io.ReadFull(nc, b); err != nil {
		return "nothing"
	}
	return string(b)
}

// ended waits for the first n connections of g to end.
func ended[L, C any](g *lgrp.ListenGroup[L, C], n uint64) lgrp.GroupInfo {
	_ = g.Wait(context.Background(), func(c lgrp.Counts) bool { return c.Ended >= n })
	return g.Info()
}

// peer is a connection of which nothing is known but who is at the other end.
func peer(ip string) *lgrp.AnyConn {
	c := new(lgrp.AnyConn)
	c.SetRemoteAddr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1)))
	return c
}

// from is a middleware that says who the real peer is.
func from(ip string) lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			c.SetRemoteAddr(peer(ip).RemoteAddr())
			return next(ctx, nc, c)
		}
	}
}

// reasonOf is the reason in what a middleware returned.
func reasonOf(err error) lgrp.Reason {
	if ce, ok := err.(*lgrp.CloseError); ok {
		return ce.Reason
	}
	return lgrp.ReasonNone
}

func nothing(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }

// holder is a handler that keeps its connections until it is told.
type holder struct {
	mu   sync.Mutex
	held []chan struct{}
	wg   sync.WaitGroup
}

func (h *holder) handle(context.Context, net.Conn, *lgrp.AnyConn) error {
	ch := make(chan struct{})
	h.mu.Lock()
	h.held = append(h.held, ch)
	h.mu.Unlock()
	<-ch
	return nil
}

// enter calls the middleware for c, and returns when c is held, or what it was
// refused with.
func (h *holder) enter(handler lgrp.Handler, c *lgrp.AnyConn, settle func()) error {
	refused := make(chan error, 1)
	h.wg.Go(func() { refused <- handler(context.Background(), nil, c) })
	settle()
	select {
	case err := <-refused:
		return err
	default:
		return nil
	}
}

func (h *holder) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

// release lets the oldest n go, and all for n < 0.
func (h *holder) release(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n < 0 {
		n = len(h.held)
	}
	for _, ch := range h.held[:n] {
		close(ch)
	}
	h.held = h.held[n:]
}

// allocations returns how often a connection through mw allocates.
func allocations(t *testing.T, c *lgrp.AnyConn, mw lgrp.Middleware) float64 {
	t.Helper()
	_, nc := testkit.NewConnPair(t)
	h := mw(nothing)
	var err error
	n := testing.AllocsPerRun(1000, func() {
		if e := h(t.Context(), nc, c); e != nil {
			err = e
		}
	})
	require.NoError(t, err)
	return n
}

// nullConn is a connection that costs nothing: it reads zeros and writes to
// nowhere.
type nullConn struct{ net.Conn }

func (nullConn) Read(p []byte) (int, error)  { return len(p), nil }
func (nullConn) Write(p []byte) (int, error) { return len(p), nil }

func second(_ int, err error) error { return err }

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return v
}
