package prop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
	"github.com/listengroup/listengroup/testkit/prop"
)

func TestPassThrough(t *testing.T) {
	prop.TestMiddleware(t, func(next lgrp.Handler) lgrp.Handler { return next }, prop.MiddlewareSpec{})
}

// around makes a middleware of what it does with each connection.
func around(f func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error) lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error { return f(next, ctx, nc, c) }
	}
}

// hidden swallows half-close and everything else that a socket can do.
type hidden struct{ net.Conn }

// clumsy loses what does not fit into one Read.
type clumsy struct{ hidden }

func (c clumsy) Read(b []byte) (int, error) {
	buf := make([]byte, 64)
	n, err := c.hidden.Read(buf)
	return copy(b, buf[:n]), err
}

// boastful claims what its socket cannot do.
type boastful struct{ net.Conn }

func (boastful) CloseWrite() error { return errors.ErrUnsupported }

// timeless ignores deadlines.
type timeless struct{ hidden }

func (timeless) SetReadDeadline(time.Time) error { return nil }

// tireless and undated ignore a deadline each, and pass the others and half-close on.
type tireless struct{ *testkit.Conn }

func (tireless) SetWriteDeadline(time.Time) error { return nil }

type undated struct{ *testkit.Conn }

func (undated) SetDeadline(time.Time) error { return nil }

// altered changes one value of all, in what is written.
type altered struct{ *testkit.Conn }

func (c altered) Write(b []byte) (int, error) {
	return c.Conn.Write(bytes.ReplaceAll(b, []byte{0xfe}, []byte{0xff}))
}

// small loses what is too much for it.
type small struct{ *testkit.Conn }

func (c small) Write(b []byte) (int, error) {
	_, err := c.Conn.Write(b[:min(len(b), 1<<15)])
	return len(b), err
}

// forgetful and absent lose a byte where bytes are copied.
type forgetful struct{ *net.TCPConn }

func (c forgetful) ReadFrom(r io.Reader) (int64, error) {
	_, _ = r.Read(make([]byte, 1))
	return c.TCPConn.ReadFrom(r)
}

type absent struct{ *net.TCPConn }

func (c absent) WriteTo(w io.Writer) (int64, error) {
	_, _ = c.Read(make([]byte, 1))
	return c.TCPConn.WriteTo(w)
}

// counted and metered see nothing of what is copied.
type counted struct {
	*net.TCPConn
	n *atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.n.Add(int64(n))
	return n, err
}

type metered[T any] struct {
	*net.TCPConn
	n *atomic.Int64
}

func (c metered[T]) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// overTCP wraps TCP connections.
func overTCP(wrap func(*net.TCPConn) net.Conn) lgrp.Middleware {
	return around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		if tcp, ok := nc.(*net.TCPConn); ok {
			nc = wrap(tcp)
		}
		return next(ctx, nc, c)
	})
}

// Each middleware here breaks laws in one way, and is found out; that it keeps the others shows that the laws
// say what they mean.
func TestBrokenMiddleware(t *testing.T) {
	var shared atomic.Value // no data race, only a mistake
	for name, test := range map[string]struct {
		mw     lgrp.Middleware
		breaks []prop.Law
	}{
		"calls next twice": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			err := next(ctx, nc, c)
			if ctx.Err() == nil && err != nil {
				_ = next(ctx, nc, c)
			}
			return err
		}), []prop.Law{prop.LawNextOnce}},
		"swallows errors": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			_ = next(ctx, nc, c)
			return nil
		}), []prop.Law{prop.LawError}},
		"invents errors": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return errors.Join(errors.New("something"), next(ctx, nc, c))
		}), []prop.Law{prop.LawError}},
		"swallows what ends a stream": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			err := next(ctx, nc, c)
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}), []prop.Law{prop.LawError}},
		"returns that it was drained": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			err := next(ctx, nc, c)
			if c.IsDraining() {
				return lgrp.ErrDrained
			}
			return err
		}), []prop.Law{prop.LawError}},
		"returns that the context has ended": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if err := next(ctx, nc, c); err != nil {
				return err
			}
			return ctx.Err()
		}), []prop.Law{prop.LawError}},
		"calls next elsewhere": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			done := make(chan error)
			go func() { done <- next(ctx, nc, c) }()
			return <-done
		}), []prop.Law{prop.LawPanic}},
		"ends the context at a drain": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer c.OnDrain(cancel)()
			return next(ctx, nc, c)
		}), []prop.Law{prop.LawContext}},
		"half-closes": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			err := next(ctx, nc, c)
			if h, ok := nc.(interface{ CloseWrite() error }); ok {
				_ = h.CloseWrite()
			}
			return err
		}), []prop.Law{prop.LawNotClosed}},
		"swallows panics": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			defer func() { _ = recover() }()
			return next(ctx, nc, c)
		}), []prop.Law{prop.LawPanic}},
		"starts a new context": {around(func(next lgrp.Handler, _ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(context.Background(), nc, c)
		}), []prop.Law{prop.LawContext}},
		"detaches the context": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(context.WithoutCancel(ctx), nc, c)
		}), []prop.Law{prop.LawContext}},
		"hides half-close": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, hidden{nc}, c)
		}), []prop.Law{prop.LawHalfClose, prop.LawInterfaces}},
		"claims half-close": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if _, ok := nc.(interface{ CloseWrite() error }); ok {
				return next(ctx, nc, c)
			}
			return next(ctx, boastful{nc}, c)
		}), []prop.Law{prop.LawInterfaces}},
		"loses bytes in ReadFrom": {overTCP(func(nc *net.TCPConn) net.Conn { return forgetful{nc} }), []prop.Law{prop.LawInterfaces}},
		"loses bytes in WriteTo":  {overTCP(func(nc *net.TCPConn) net.Conn { return absent{nc} }), []prop.Law{prop.LawInterfaces}},
		"lets writes past":        {overTCP(func(nc *net.TCPConn) net.Conn { return &counted{nc, new(atomic.Int64)} }), []prop.Law{prop.LawInterfaces}},
		"lets reads past":         {overTCP(func(nc *net.TCPConn) net.Conn { return metered[int]{nc, new(atomic.Int64)} }), []prop.Law{prop.LawInterfaces}},
		"loses bytes": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, clumsy{hidden{nc}}, c)
		}), []prop.Law{prop.LawBytes, prop.LawHalfClose, prop.LawInterfaces}},
		"changes bytes": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, altered{testkit.Wrap(nc)}, c)
		}), []prop.Law{prop.LawBytes, prop.LawInterfaces}},
		"loses bytes of large writes": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, small{testkit.Wrap(nc)}, c)
		}), []prop.Law{prop.LawBytes, prop.LawInterfaces}},
		"ignores deadlines": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, timeless{hidden{nc}}, c)
		}), []prop.Law{prop.LawDeadlines, prop.LawHalfClose, prop.LawInterfaces}},
		"ignores write deadlines": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, tireless{testkit.Wrap(nc)}, c)
		}), []prop.Law{prop.LawDeadlines, prop.LawInterfaces}},
		"ignores SetDeadline": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, undated{testkit.Wrap(nc)}, c)
		}), []prop.Law{prop.LawDeadlines, prop.LawInterfaces}},
		"leaves a deadline": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			_ = nc.SetWriteDeadline(time.Now().Add(48 * time.Hour))
			return next(ctx, nc, c)
		}), []prop.Law{prop.LawNoDeadline}},
		"closes": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			defer nc.Close()
			return next(ctx, nc, c)
		}), []prop.Law{prop.LawNotClosed}},
		"comes back": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			defer time.AfterFunc(time.Minute, func() { _ = nc.SetDeadline(time.Now()) })
			return next(ctx, nc, c)
		}), []prop.Law{prop.LawNotRetained}},
		"shares": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			shared.Store(&nc)
			time.Sleep(time.Millisecond) // for one of the laws in real time, over loopback
			return next(ctx, *shared.Load().(*net.Conn), c)
		}), []prop.Law{prop.LawConcurrent}},
		"counts on an id": {around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if c.ID() == 0 {
				panic("no id")
			}
			return next(ctx, nc, c)
		}), []prop.Law{prop.LawZeroConn}},
		"keeps the last next": {func() lgrp.Middleware {
			var last lgrp.Handler
			return func(next lgrp.Handler) lgrp.Handler {
				last = next
				return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error { return last(ctx, nc, c) }
			}
		}(), []prop.Law{prop.LawTwice}},
	} {
		t.Run(name, func(t *testing.T) {
			d := map[prop.Law]string{}
			for _, l := range test.breaks {
				d[l] = "on purpose"
			}
			prop.TestMiddleware(t, test.mw, prop.MiddlewareSpec{Deviations: d})
		})
	}
}

// One that waits for a line, as a login does, keeps every law but one: a client that says nothing is waited for
// in a drain too.
func TestMiddlewareThatWaitsForALine(t *testing.T) {
	for name, wait := range map[string]func(*lgrp.AnyConn, net.Conn) (done func()){
		"for ever":    func(*lgrp.AnyConn, net.Conn) func() { return func() {} },
		"until drain": (*lgrp.AnyConn).WakeOnDrain,
	} {
		t.Run(name, func(t *testing.T) {
			spec := prop.MiddlewareSpec{Client: func(nc net.Conn) (net.Conn, error) {
				_, err := nc.Write([]byte("me\n"))
				return nc, err
			}}
			if name == "for ever" {
				spec.Deviations = map[prop.Law]string{prop.LawDrain: "on purpose"}
			}
			prop.TestMiddleware(t, around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				done := wait(c, nc)
				_, nc, err := netx.ReadLine(nc, 100)
				if done(); err != nil {
					return err
				}
				return next(ctx, nc, c)
			}), spec)
		})
	}
}

// Where what a client has to say is not given, the laws say so, in virtual time and in real.
func TestMiddlewareThatWaitsForALineThatDoesNotCome(t *testing.T) {
	if testing.Short() {
		t.Skip("one of the laws waits in real time")
	}
	broken := map[prop.Law]string{}
	prop.TestMiddleware(t, around(func(next lgrp.Handler, ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		_, nc, err := netx.ReadLine(nc, 100)
		if err != nil {
			return err
		}
		return next(ctx, nc, c)
	}), prop.MiddlewareSpec{Broken: func(l prop.Law, found string) { broken[l] = found }})
	require.Contains(t, broken[prop.LawError], "MiddlewareSpec.Client")
	require.Contains(t, broken[prop.LawInterfaces], "MiddlewareSpec.Client")
}
