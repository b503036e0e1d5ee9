package prop

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// errTrial is an error that no middleware knows.
var errTrial = errors.New("the handler's error")

// speak has the client send a word to a handler that echoes, so that both know that next has been reached.
func (s *trial) speak(nc net.Conn) {
	s.exchange(nc, []byte("hello"))
}

func (s *trial) exchange(nc net.Conn, p []byte) {
	done := make(chan error, 1)
	go func() {
		_, err := nc.Write(p)
		done <- err
	}()
	got := make([]byte, len(p))
	n, err := io.ReadFull(nc, got)
	if err != nil {
		s.Fatalf("the client sent %v to a handler that echoes and read %v, then: %v", Payload(p), Payload(got[:n]), err)
	}
	if string(got) != string(p) {
		s.Fatalf("the client sent %v to a handler that echoes and read %v", Payload(p), Payload(got))
	}
	if err := <-done; err != nil {
		s.Fatalf("the client's write of %v: %v", Payload(p), err)
	}
}

// reply is a handler that tells the client that it was reached, and returns what f does.
func reply(f func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error) lgrp.Handler {
	return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		if _, err := nc.Write([]byte("!")); err != nil {
			return err
		}
		return f(ctx, nc, c)
	}
}

// reach connects and waits for a handler made by reply.
func (s *trial) reach() net.Conn {
	nc := s.dial()
	limit := s.patience()
	_ = nc.SetReadDeadline(time.Now().Add(limit))
	switch _, err := io.ReadFull(nc, make([]byte, 1)); {
	case netx.IsTimeout(err):
		s.Fatalf("next was not called, or what it wrote was lost: %v after the client had connected nothing has come. (What a client has to say before is for MiddlewareSpec.Client)", limit)
	case err != nil:
		s.Fatalf("next was never called, or what it wrote was lost: the client reads %v", err)
	}
	_ = nc.SetReadDeadline(time.Time{})
	return nc
}

// visit is reach for handlers that return at once.
func (s *trial) visit() ending {
	n := len(s.endings())
	nc := s.reach()
	_ = nc.Close()
	return s.finish(n+1, "the handler has returned and the client is gone")[n]
}

func (m *MiddlewareSpec) nextOnce(tb *caseTB) {
	for _, err := range []error{nil, errTrial} {
		calls := 0
		replying := reply(func(context.Context, net.Conn, *lgrp.AnyConn) error { return err })
		s := m.start(tb, func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			calls++ // before the reply, which fails when the client has left after the first
			return replying(ctx, nc, c)
		})
		s.visit()
		if calls != 1 {
			tb.Fatalf("next was called %d times for one connection, when it returned %v", calls, err)
		}
	}
}

func (m *MiddlewareSpec) nextError(tb *caseTB) {
	returns := func(want error, when string, wait func(net.Conn, *lgrp.AnyConn), do func(*trial)) {
		s := m.start(tb, reply(func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			wait(nc, c)
			return want
		}))
		nc := s.reach()
		do(s)
		_ = nc.Close()
		e := s.finish(1, "the handler has returned and the client is gone")[0]
		if e.accident() || !errors.Is(e.err, want) {
			tb.Fatalf("next returned %v%s, and the middleware %v", want, when, e)
		}
	}
	for _, want := range []error{
		nil, errTrial, &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: errTrial},
		io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, syscall.ECONNRESET, syscall.EPIPE,
	} {
		returns(want, "", func(net.Conn, *lgrp.AnyConn) {}, func(*trial) {})
	}
	for _, want := range []error{nil, errTrial} {
		returns(want, " when a drain had begun", func(_ net.Conn, c *lgrp.AnyConn) { <-c.Draining() }, func(s *trial) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, _ = s.group.Drain(ctx, nil)
		})
		returns(want, " when the group had closed the connection", func(nc net.Conn, _ *lgrp.AnyConn) { _, _ = io.Copy(io.Discard, nc) }, func(s *trial) {
			s.group.Kill(s.only(), nil)
		})
	}
}

func (m *MiddlewareSpec) nextPanic(tb *caseTB) {
	elsewhere := false
	var s *trial
	s = m.start(tb, reply(func(context.Context, net.Conn, *lgrp.AnyConn) error {
		if elsewhere = s.elsewhere(); elsewhere {
			return errTrial // the panic would end the process
		}
		panic("a bug in the handler")
	}))
	switch e := s.visit(); {
	case elsewhere:
		tb.Fatalf("next was called on another goroutine than the middleware, where a panic ends the process unless the middleware recovers it there")
	case !e.accident() && e.err == nil:
		tb.Fatalf("next panicked, and the middleware returned nil")
	}
}

func (m *MiddlewareSpec) context(tb *caseTB) {
	var (
		inner  context.Context
		found  bool
		valued bool
		asked  = make(chan struct{})
		done   = make(chan struct{})
	)
	s := m.start(tb, reply(func(ctx context.Context, _ net.Conn, c *lgrp.AnyConn) error {
		inner = ctx
		a, ok := lgrp.AnyFromContext(ctx)
		found = ok && a == c
		valued = ctx.Value(trialKey{}) != nil
		<-c.Draining()
		close(asked)
		<-ctx.Done()
		close(done)
		return nil
	}))
	s.reach()
	draining, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	go func() { _, _ = s.group.Drain(draining, nil) }()
	select {
	case <-asked:
	case <-time.After(patience):
		tb.Fatalf("the group is being drained, and an hour later Draining is not closed")
	}
	time.Sleep(time.Second)
	if inner.Err() != nil {
		tb.Fatalf("a drain has begun, which asks the handler to finish, and the context that next was given has ended: %v", context.Cause(inner))
	}
	if !s.group.Kill(s.only(), errTrial) {
		tb.Fatalf("the connection is not in the group any more while its handler runs")
	}
	select {
	case <-done:
	case <-time.After(time.Hour):
		tb.Fatalf("the connection was closed, and an hour later the context that next was given is not done")
	}
	switch {
	case !valued:
		tb.Fatalf("the context that next was given lacks the values of the one that the middleware was given")
	case !found:
		tb.Fatalf("lgrp.AnyFromContext does not find the connection in the context that next was given")
	case context.Cause(inner) != errTrial:
		tb.Fatalf("the connection was closed because of %q, and the context that next was given says %v", errTrial, context.Cause(inner))
	}
}

// only returns the id of the only connection.
func (s *trial) only() (id uint64) {
	for info := range s.group.ConnInfos() {
		id = info.ID
	}
	return id
}

func (m *MiddlewareSpec) conn(tb *caseTB) {
	var inner *lgrp.AnyConn
	var outer *lgrp.AnyConn
	s := m.start(tb, reply(func(ctx context.Context, _ net.Conn, c *lgrp.AnyConn) error {
		inner = c
		outer, _ = lgrp.AnyFromContext(ctx)
		return nil
	}))
	s.visit()
	if inner == nil || inner.ListenerID() != "trial" || outer != nil && outer != inner {
		tb.Fatalf("next was given another *AnyConn than the middleware was")
	}
}

func (m *MiddlewareSpec) closed(tb *caseTB) {
	before := m.start(tb, echo)
	before.dialRaw() // and says nothing
	time.Sleep(time.Second)
	before.group.Kill(before.only(), nil)
	before.finish(1, "a client connected and said nothing; the group closed the connection")

	s := m.start(tb, echo)
	s.speak(s.dial())
	s.group.Kill(s.only(), nil)
	s.finish(1, "the group closed the connection while the handler read from it")
}

func (m *MiddlewareSpec) notClosed(tb *caseTB) {
	s := m.start(tb, reply(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }))
	s.visit()
	if n := s.sock(0).early.Load(); n != 0 {
		tb.Fatalf("the connection was closed %d times before the middleware had returned", n)
	}
	if n := s.sock(0).ended.Load(); n != 0 {
		tb.Fatalf("the connection was half-closed %d times, which the handler did not ask for", n)
	}
}

func (m *MiddlewareSpec) notRetained(tb *caseTB) {
	s := m.start(tb, reply(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }))
	s.visit()
	time.Sleep(time.Hour)
	if s.sock(0).late.Load() {
		tb.Fatalf("the connection was used after the middleware had returned")
	}
}

func (m *MiddlewareSpec) drain(tb *caseTB) {
	s := m.start(tb, reply(func(_ context.Context, _ net.Conn, c *lgrp.AnyConn) error {
		<-c.Draining()
		return nil
	}))
	s.reach()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if r, err := s.group.Drain(ctx, nil); err != nil {
		tb.Fatalf("the handler returned when the drain began, and a minute later the connection had to be forced: %d forced, %d stuck", r.Forced, len(r.Stuck))
	}

	silent := m.start(tb, reply(func(_ context.Context, _ net.Conn, c *lgrp.AnyConn) error {
		<-c.Draining()
		return nil
	}))
	silent.dialRaw() // and says nothing
	time.Sleep(time.Second)
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := silent.group.Drain(ctx, nil); err != nil {
		tb.Fatalf("a client connected and said nothing, then the group was drained; %v later the connection had to be forced", patience)
	}
}

func (m *MiddlewareSpec) twice(tb *caseTB) {
	mw := m.New()
	tag := func(b byte) lgrp.Handler {
		return mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			_, err := nc.Write([]byte{b})
			return err
		})
	}
	one, two := tag('1'), tag('2')
	which := func(h lgrp.Handler, want string) {
		pass := func(lgrp.Handler) lgrp.Handler { return h }
		s := newTrial(tb, testkitDefault, []lgrp.Middleware{pass}, m.Transport, echo)
		s.prefix = m.Client
		got := make([]byte, 1)
		if _, err := io.ReadFull(s.dial(), got); err != nil || string(got) != want {
			tb.Fatalf("the middleware was built around two handlers; through the one that writes %q the client reads %q, %v", want, got, err)
		}
	}
	which(one, "1")
	which(two, "2")
	which(one, "1")
}

func (m *MiddlewareSpec) zeroConn(tb *caseTB) {
	reached := false
	h := m.New()(reply(func(context.Context, net.Conn, *lgrp.AnyConn) error { reached = true; return nil }))
	pass := func(lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error { return h(ctx, nc, new(lgrp.AnyConn)) }
	}
	s := newTrial(tb, testkitDefault, []lgrp.Middleware{pass}, m.Transport, echo)
	s.prefix = m.Client
	if e := s.visit(); e.accident() || !reached {
		tb.Fatalf("called with new(lgrp.AnyConn) it did not call next: %v", e)
	}
}
