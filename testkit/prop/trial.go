package prop

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// trial is a group with one middleware, or one handler, under test in a case: what the listener accepts is
// spied upon, and what comes out of the middleware is kept.
type trial struct {
	*caseTB
	ln     *testkit.Listener
	group  group
	prefix func(net.Conn) (net.Conn, error)

	mu    sync.Mutex
	socks []*spy
	ended []ending
	on    string // the goroutine that the latest connection is handled on
}

// group is what a trial needs of a ListenGroup, whatever its contexts are.
type group interface {
	Wait(ctx context.Context, cond func(lgrp.Counts) bool) error
	Kill(id uint64, cause error) bool
	ConnInfos() iter.Seq[lgrp.ConnInfo]
	Drain(ctx context.Context, opts *lgrp.DrainOptions) (*lgrp.DrainReport, error)
	Close() error
}

// ending is how a call of what is under test ended.
type ending struct {
	err      error
	panicked any
	gone     bool // by runtime.Goexit
}

// accident tells whether it ended by a panic or by Goexit.
func (e ending) accident() bool { return e.panicked != nil || e.gone }

// newTrial serves h behind stage on a listener, and shuts the group down when the case ends.
func newTrial(tb *caseTB, tr testkit.Transport, stage []lgrp.Middleware, transport bool, h lgrp.Handler) *trial {
	return newTypedTrial(tb, tr, stage, transport, lgrp.Typed[struct{}, struct{}](h), struct{}{})
}

func newTypedTrial[L, C any](tb *caseTB, tr testkit.Transport, stage []lgrp.Middleware, transport bool, h lgrp.ConnHandler[L, C], lctx L) *trial {
	s := &trial{caseTB: tb, ln: testkit.Listen(tb, tr)}
	g := lgrp.New(h, &lgrp.Options{Logger: slog.New(slog.DiscardHandler), ForceWait: time.Hour})
	s.group = g
	spec := lgrp.ListenerSpec[L]{ID: "trial", Listener: spyListener{s.ln, s}, Context: lctx, Transport: []lgrp.Middleware{s.watch}}
	if transport {
		spec.Transport = append(spec.Transport, stage...)
	} else {
		spec.Use = stage
	}
	if _, err := g.Add(context.Background(), spec); err != nil {
		tb.Fatalf("add the listener: %v", err)
	}
	tb.Cleanup(func() { _ = g.Close() })
	return s
}

// watch stands outside of everything and keeps how each connection ended.
func (s *trial) watch(next lgrp.Handler) lgrp.Handler {
	return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) (err error) {
		e := ending{gone: true}
		s.mu.Lock()
		s.on = goroutine()
		s.mu.Unlock()
		defer func() {
			if e.gone {
				if v := recover(); v != nil {
					e.panicked, e.gone = v, false
				}
			}
			nc.(*spy).over.Store(true)
			s.mu.Lock()
			s.ended = append(s.ended, e)
			s.mu.Unlock()
			if e.gone {
				runtime.Goexit()
			}
			err = e.err
		}()
		e.err = next(context.WithValue(ctx, trialKey{}, s), nc, c)
		e.gone = false
		return e.err
	}
}

type trialKey struct{}

// elsewhere tells whether the caller is on another goroutine than the one that the latest connection is handled on.
func (s *trial) elsewhere() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on != goroutine()
}

// goroutine is the name of the caller's, "goroutine 12".
func goroutine() string {
	buf := make([]byte, 64)
	name, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), " [")
	return name
}

// endings returns how the calls ended that have.
func (s *trial) endings() []ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]ending(nil), s.ended...)
}

// dial connects, and has the client do what the handler's side of what is under test wants first.
func (s *trial) dial() net.Conn {
	c := s.dialRaw()
	if s.prefix == nil {
		return c
	}
	nc, err := s.prefix(c)
	if err != nil {
		s.Fatalf("the spec's Client failed: %v", err)
	}
	return nc
}

func (s *trial) dialRaw() *testkit.Conn {
	c, err := s.ln.Dial()
	if err != nil {
		s.Fatalf("dial: %v", err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// finish waits for n connections to be over, an hour of virtual time at most.
func (s *trial) finish(n int, what string) []ending {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if s.group.Wait(ctx, func(c lgrp.Counts) bool { return int(c.Ended) >= n }) != nil {
		s.Fatalf("%s, and an hour later the connection is not over", what)
	}
	return s.endings()
}

// spyListener accepts spies.
type spyListener struct {
	*testkit.Listener
	s *trial
}

func (l spyListener) Accept() (net.Conn, error)       { return l.spy(l.Listener.Accept()) }
func (l spyListener) AcceptQueued() (net.Conn, error) { return l.spy(l.Listener.AcceptQueued()) }

func (l spyListener) spy(nc net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	c := &spy{Conn: nc.(*testkit.Conn)}
	l.s.mu.Lock()
	l.s.socks = append(l.s.socks, c)
	l.s.mu.Unlock()
	return c, nil
}

// sock returns the server's end of the nth connection.
func (s *trial) sock(n int) *spy {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.socks) {
		return nil
	}
	return s.socks[n]
}

// spy is a connection that remembers what was done to it.
type spy struct {
	*testkit.Conn
	over   atomic.Bool  // the outermost layer has returned
	late   atomic.Bool  // used after that, for anything but closing
	early  atomic.Int32 // calls of Close before that
	ended  atomic.Int32 // calls of CloseWrite
	mu     sync.Mutex
	rd, wd time.Time
}

func (c *spy) Read(b []byte) (int, error) {
	c.use()
	return c.Conn.Read(b)
}

func (c *spy) Write(b []byte) (int, error) {
	c.use()
	return c.Conn.Write(b)
}

func (c *spy) Close() error {
	if !c.over.Load() {
		c.early.Add(1)
	}
	return c.Conn.Close()
}

func (c *spy) CloseWrite() error {
	c.use()
	c.ended.Add(1)
	return c.Conn.CloseWrite()
}

func (c *spy) use() {
	if c.over.Load() {
		c.late.Store(true)
	}
}

func (c *spy) SetDeadline(t time.Time) error {
	c.note(&c.rd, t)
	c.note(&c.wd, t)
	return c.Conn.SetDeadline(t)
}

func (c *spy) SetReadDeadline(t time.Time) error {
	c.note(&c.rd, t)
	return c.Conn.SetReadDeadline(t)
}

func (c *spy) SetWriteDeadline(t time.Time) error {
	c.note(&c.wd, t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *spy) note(d *time.Time, t time.Time) {
	c.use()
	c.mu.Lock()
	defer c.mu.Unlock()
	*d = t
}

// deadlines returns those in force.
func (c *spy) deadlines() (rd, wd time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rd, c.wd
}

// echo is the handler that most laws put behind a middleware.
func echo(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
	buf := make([]byte, 512)
	for {
		n, err := nc.Read(buf)
		if n > 0 {
			if _, werr := nc.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
