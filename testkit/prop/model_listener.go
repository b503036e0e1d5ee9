package prop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// intent is what the model has told a listener to do.
type intent uint8

const (
	accepting intent = iota
	paused
	released
	draining
	failed // by itself
	gone
)

// listener is one listener of the system, in all of its bindings.
type listener struct {
	id     string
	spec   ListenerSpec
	policy policy
	bare   bool // hides SetDeadline and AcceptQueued
	crew   int  // its accept goroutines
	step   int  // in which it was added
	max    int  // guarded by State.mu
	intent intent
	ln     *testkit.Listener
	door   *door
	h      handle // of a ListenGroup

	delay     time.Duration // of Accept
	slowest   time.Duration // delay of this binding
	slowUntil time.Duration // an Accept of an earlier one may go on
	sticky    error
	fatal     bool // an error that ends it was injected
	errs      bool // any error was
	short     bool // one of those was of capacity
	swept     bool // may have parked more than one
	killed    bool // removed with KillConns
	most      int  // the highest limit so far, for the length of its queue
	bindErr   error
	errAt     time.Duration // when Accept could last fail
	injected  int           // how often it may have failed
	mustFail  bool
	pausedAt  time.Duration
	handshake bool               // has a Transport stage
	touched   atomic.Bool        // was told to do anything but accept
	asked     addr.Addr          // what this binding was to bind; adopted ones have none
	again     addr.Addr          // what the next one is to bind
	shown     lgrp.ListenerState // when last looked at, as since is
	since     time.Time
}

// comeback is how long a listener may take to accept again after errors, if its server waits for a second after
// each, and its clients are accepted slowly. s.mu is held.
func (s *State) comeback(l *listener) time.Duration {
	return 2*time.Second + time.Duration(l.injected)*time.Second + time.Duration(l.injected+len(s.conns))*l.slowest
}

// policy is a LimitPolicy that the model understands.
type policy struct {
	kind    string
	timeout time.Duration
}

func (p policy) limit() lgrp.LimitPolicy {
	switch p.kind {
	case "queue":
		return lgrp.Queue(p.timeout)
	case "reject":
		return lgrp.Reject([]byte("full\n"), time.Second)
	case "evict":
		return lgrp.EvictIdle()
	}
	return lgrp.Backlog()
}

func (p policy) String() string {
	if p.kind == "queue" {
		return fmt.Sprintf("queue for %v", p.timeout)
	}
	return p.kind
}

// open makes a new binding of the listener.
func (s *State) open(l *listener) net.Listener {
	tr := testkit.Buffered(0, 0)
	if s.real {
		tr = testkit.Loopback()
	}
	ln := s.Net.Listen(s, tr)
	l.slowUntil = s.clock() + l.slowest
	l.ln, l.sticky, l.delay, l.fatal, l.errs, l.mustFail = ln, nil, 0, false, false, false
	l.slowest, l.short, l.injected = 0, false, 0
	d := &door{Listener: ln, s: s, l: l}
	l.door = d
	if l.bare {
		return shut{d}
	}
	return d
}

// add adds a listener, and expects that to go well or not.
func (s *State) add(id string, max int, p policy, bare, bound, handshake bool, crew int) {
	l := &listener{id: id, shown: lgrp.StateClosed, policy: p, bare: bare, crew: crew, step: s.step, max: max, most: max, handshake: handshake}
	l.spec = ListenerSpec{ID: id, MaxConns: max, OnLimit: p.limit(), acceptors: crew}
	if handshake {
		l.spec.transport = []lgrp.Middleware{s.handshake}
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), addKey{}, l))
	if bound && s.full != nil {
		l.spec.bind = func(a addr.Addr) (net.Listener, error) {
			l.asked = a
			if l.bindErr != nil {
				err := l.bindErr
				l.bindErr = nil
				return nil, err
			}
			ln := s.open(l)
			return ln, nil
		}
	} else {
		l.spec.Listener = s.open(l)
	}
	old := s.byID(id)
	s.mu.Lock()
	s.lns = append(s.lns, l)
	s.mu.Unlock()
	err := s.System.Add(ctx, l.spec)
	cancel() // which ends nothing
	if s.closing || s.fenced() {
		want := lgrp.ErrDrained
		if s.closing {
			want = lgrp.ErrGroupClosed
		}
		if err == nil || s.full != nil && !errors.Is(err, want) {
			s.Fatalf("Add while the system is stopped: %v; want %v", err, want)
		}
		s.more("(refused)")
		s.drop(l)
		return
	}
	if old != nil && old.intent != failed && !(s.real && err == nil && old.intent == draining) {
		if !errors.Is(err, lgrp.ErrDuplicateID) {
			s.Fatalf("Add of an id that is taken: %v", err)
		}
		s.more("(refused)")
		s.drop(l)
		return
	}
	if err != nil {
		s.Fatalf("Add of listener %s: %v", id, err)
	}
	if old != nil {
		old.intent = gone
	}
	if s.full != nil {
		l.again = l.asked
		if at, ok := l.ln.Addr().(*net.TCPAddr); ok && bound {
			l.again = l.asked.WithPort(at.Port)
		}
		l.h = s.full.handle(id)
		s.Recorder.Limit(listenerName(id, l.h.Serial()), max)
	}
}

// drop forgets a listener that was refused; it must have been closed, if it was opened.
func (s *State) drop(l *listener) {
	s.mu.Lock()
	s.lns = s.lns[:len(s.lns)-1]
	s.mu.Unlock()
	if l.ln == nil {
		return
	}
	if c, err := l.ln.Dial(); err == nil {
		_ = c.Close()
		s.Fatalf("Add refused a listener and left it open")
	}
}

// byID returns the listener that has the id now.
func (s *State) byID(id string) *listener {
	for _, l := range s.lns {
		if l.id == id && l.intent != gone {
			return l
		}
	}
	return nil
}

// those returns the listeners that f likes.
func (s *State) those(f func(l *listener) bool) (ls []*listener) {
	for _, l := range s.lns {
		if f(l) {
			ls = append(ls, l)
		}
	}
	return ls
}

func open(l *listener) bool { return l.intent == accepting || l.intent == paused }

// taken are the connections of a binding that Accept has taken and not returned. State.mu is held.
func (s *State) taken(l *listener) int {
	if l.door.closed && s.clock() > l.door.closedAt+l.slowest {
		return 0
	}
	n := 0
	for _, c := range s.conns {
		if c.ln == l.ln && c.sock == nil && (c.readErr == nil || c.gone) {
			n++
		}
	}
	return n - min(n, l.ln.Pending())
}

// op is something that takes its time.
type op struct {
	what     string
	l        *listener // nil: the system
	step     int
	drain    bool
	shutdown bool
	only     func(c *conn) bool // with drain
	started  time.Duration
	begins   time.Duration // when it stops listeners and signals
	spread   time.Duration
	deadline time.Duration // 0: none
	begun    bool
	selected map[*conn]bool
	first    map[*conn]bool // of those, the ones that were there when it began
	abrupt   bool           // Close: only stuck ones make it fail
	real     bool
	before   map[*conn]bool // was over already
	slack    time.Duration  // it may have to wait for a slow Accept
	cancel   context.CancelFunc
	judged   bool

	// guarded by State.mu
	done bool
	at   time.Duration
	err  error
	rep  *lgrp.DrainReport
}

// start does f on a goroutine of its own.
func (s *State) launch(o *op, f func() (*lgrp.DrainReport, error)) *op {
	o.real, o.step, o.started, o.before = s.real, s.step, s.clock(), map[*conn]bool{}
	s.mu.Lock()
	for _, c := range s.conns {
		o.before[c] = c.over()
	}
	s.mu.Unlock()
	s.ops = append(s.ops, o)
	go func() {
		rep, err := f()
		s.mu.Lock()
		defer s.mu.Unlock()
		o.done, o.at, o.rep, o.err = true, s.clock(), rep, err
		if o.shutdown {
			s.over = true
		}
	}()
	return o
}

// fenced tells whether the whole group is being drained, so that nothing may be added.
func (s *State) fenced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.drain && !o.shutdown && o.l == nil && o.only == nil && o.begun && !o.done {
			return true
		}
	}
	return false
}

// stopping tells whether the system, or all of its listeners, may be stopped now or soon.
func (s *State) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.drain && o.l == nil && o.only == nil && !o.done {
			return true
		}
	}
	return s.closing
}

// drainDue tells whether l is about to be stopped by a drain, if that has not happened already.
func (s *State) drainDue(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.drain && o.only == nil && (o.l == nil || o.l == l) && (!o.done || !o.begun) && o.begins <= s.clock() {
			return true
		}
	}
	return false
}

// sweep says, with s.mu held, what becomes of connections that wait in the kernel when a listener stops: they are served,
// but for those that could not be told from an error, or that nobody can take without waiting.
func (s *State) sweep(l *listener) {
	l.swept = true
	for _, c := range s.conns {
		if c.l == l && c.sock == nil && (s.full == nil || l.bare || l.short || l.fatal || l.sticky != nil || l.slowest > 0) {
			c.mayRefuse = true
		}
	}
}

// forsake says, with s.mu held, that connections in the queue of l are lost.
func (s *State) forsake(l *listener) {
	for _, c := range s.conns {
		if c.l == l && c.sock == nil {
			c.mayRefuse = true
			c.allow(lgrp.ReasonListenerRemoved, lgrp.ReasonDrained)
		}
	}
}

// shutdown shuts the system down with so much grace.
func (s *State) shutdown(grace time.Duration, abrupt bool) {
	s.closing = true
	for _, l := range s.lns {
		l.touched.Store(true)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	s.Cleanup(cancel)
	o := &op{what: "Shutdown", drain: true, shutdown: true, begins: s.clock(), deadline: s.clock() + grace, cancel: cancel}
	stop := s.System.Shutdown
	if abrupt {
		o.what, o.abrupt, o.deadline = "Close", true, s.clock()
		stop = func(context.Context) error { return s.full.whole().Close() }
	}
	s.launch(o, func() (*lgrp.DrainReport, error) {
		err := stop(ctx)
		var de *lgrp.DrainError
		if errors.As(err, &de) {
			return de.Report, err
		}
		return nil, err
	})
	if s.full == nil {
		for _, c := range s.conns {
			c.must, c.mayRefuse = true, true
		}
	}
}

// drain drains a listener, or everything.
func (s *State) drain(l *listener, grace, notReady, spread time.Duration, only func(c *conn) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	s.Cleanup(cancel)
	o := &op{what: "Drain", drain: true, l: l, only: only, begins: s.clock() + min(notReady, grace), spread: spread,
		deadline: s.clock() + grace, cancel: cancel}
	for _, each := range s.lns {
		if o.stops(each) {
			each.touched.Store(true)
		}
	}
	opts := &lgrp.DrainOptions{NotReadyFor: notReady, Spread: spread}
	if only != nil {
		chosen := map[uint64]bool{}
		s.mu.Lock()
		for _, c := range s.conns {
			if c.any != nil && only(c) {
				chosen[c.any.ID()] = true
			}
		}
		s.mu.Unlock()
		opts.Only = func(info lgrp.ConnInfo) bool { return chosen[info.ID] }
		inner := o.only
		o.only = func(c *conn) bool { return c.any != nil && chosen[c.any.ID()] && inner(c) }
		o.begins = s.clock() // Only chooses at once
		o.spread += notReady // and signals later
	}
	s.launch(o, func() (*lgrp.DrainReport, error) {
		if l != nil {
			return l.h.Drain(ctx, opts)
		}
		return s.full.whole().Drain(ctx, opts)
	})
}

func (i intent) String() string {
	return [...]string{"accepting", "paused", "released", "draining", "failed", "gone"}[i]
}
