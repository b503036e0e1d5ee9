package lgrp

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// socket is one binding of a listener: what netx.Listen returned or the
// application handed over, and the accept goroutines on it. A listener that is
// released and resumed has a new one each time.
//
// Whoever is first to set stop, under core.mu, closes it; others wait for
// gone. A socket that nobody will ever stop does not exist: failed loops stop
// it themselves.
type socket struct {
	l       *listener
	ln      net.Listener
	addr    addr.Addr      // as bound
	shards  []net.Listener // to accept from: more than one only for netx's Shards
	idle    chan struct{}  // closed when the last accept goroutine has left
	closing chan struct{}  // closed when ln is about to be closed
	gone    chan struct{}  // closed when ln is closed
	halt    atomic.Bool    // accepting must wait or end: look under core.mu for which

	deadlines atomic.Uint64 // how often interrupt has set one, counted when it has

	// guarded by core.mu
	started bool
	loops   int
	stop    bool // somebody closes it; accept goroutines are to leave
	shut    bool // what comes in now comes too late
	setting bool // a goroutine is at setting a deadline
	past    bool // the deadline that is in force, or is being set, is in the past
}

// newSocket asks ln what there is to ask before any lock is held. Who puts the
// socket where others find it counts it in l.socks at the same time.
func newSocket(l *listener, ln net.Listener) *socket {
	s := &socket{
		l: l, ln: ln, addr: addr.FromNet(ln.Addr()), shards: []net.Listener{ln},
		idle: make(chan struct{}), closing: make(chan struct{}), gone: make(chan struct{}),
	}
	if sh, ok := ln.(interface{ Shards() []net.Listener }); ok {
		s.shards = sh.Shards()
	}
	return s
}

// start starts the accept goroutines. mu is held.
func (s *socket) start() {
	s.started = true
	for _, ln := range s.shards {
		for range max(s.l.spec.acceptors, 1) {
			s.loops++
			s.l.g.taskStarts()
			go s.acceptLoop(ln)
		}
	}
}

// loopEnds is the end of an accept goroutine. With a failure it closes the
// listener: the group and its other listeners live on.
func (s *socket) loopEnds(failure error) {
	l, g := s.l, s.l.g
	g.mu.Lock()
	fail := failure != nil && !s.stop
	if fail {
		s.stop = true
		g.stopping[s] = struct{}{}
		s.halt.Store(true)
		l.sock = nil
		l.intent = intendClose
		l.refresh(failure)
		l.wake()
	}
	s.loops--
	if s.loops == 0 {
		close(s.idle)
	}
	next := g.handOut() // what a pause had parked
	g.mu.Unlock()
	g.do(next)
	if fail {
		s.closeAside()
	}
	g.taskEnds()
}

// finish marks the socket closed.
func (s *socket) finish() {
	s.l.g.mu.Lock()
	s.shut = true
	delete(s.l.g.stopping, s)
	s.l.socks--
	s.l.settleClosed()
	s.l.g.mu.Unlock()
	close(s.gone)
}

// stopsSoon has a drain that begins now find the socket, which its listener has
// given up and which nobody has come to close yet. s may be nil. mu is held.
func (s *socket) stopsSoon() {
	if s != nil && !s.stop {
		s.l.g.stopping[s] = struct{}{}
	}
}

// close stops accepting for good and closes the socket. With sweep it first
// serves what the kernel has queued, for closing resets those clients: it has
// the kernel queue no more where that concerns nobody else, lets the accept
// goroutines leave, takes what waits until there is none, and closes at once.
//
// It returns when that is done, or when the listener's Close has not returned
// in ForceWait; if another is at it, ctx ends the waiting for that too.
func (s *socket) close(ctx context.Context, sweep bool) {
	l, g := s.l, s.l.g
	g.mu.Lock()
	if s.stop {
		g.mu.Unlock()
		select {
		case <-s.closing:
			s.awaitGone(ctx)
		case <-ctx.Done():
		}
		return
	}
	s.stop = true
	g.taskStarts() // Shutdown waits for it, be its time up
	g.stopping[s] = struct{}{}
	l.wake()
	if !s.started {
		close(s.idle)
	}
	s.halt.Store(true)
	g.mu.Unlock()

	defer func() { // also when a method of the application's listener calls Goexit
		s.closeAside()
		g.taskEnds()
		s.awaitGone(context.Background())
	}()
	if sweep && ctx.Err() == nil {
		if err := netx.StopQueue(s.ln); err != nil {
			g.logAside(slog.LevelWarn, "lgrp: the kernel's queue could not be stopped before closing",
				slog.String("listener", l.id), slog.Any("error", err))
		}
	}
	interruptible := s.interrupt() && s.awaitIdle(ctx)
	if sweep {
		s.sweep(ctx, interruptible)
	}
}

// awaitGone returns when the listener is closed, or has had the time to be.
func (s *socket) awaitGone(ctx context.Context) {
	t := time.NewTimer(s.patience())
	defer t.Stop()
	select {
	case <-s.gone:
	case <-ctx.Done():
	case <-t.C:
	}
}

// closeAside closes the listener on a goroutine of its own, since a Close of
// the application's making may block, panic or call Goexit. The accept
// goroutines that are still there come back from Accept then, and what they
// bring is served.
func (s *socket) closeAside() {
	close(s.closing)
	s.l.g.task(func() {
		defer s.finish()
		defer s.awaitIdle(context.Background())
		_ = s.l.g.closeRaw(s.ln)
	})
}

// awaitIdle returns true when the accept goroutines have left. It does not wait
// for ever: a listener whose Accept outlives its deadline or its Close is
// broken, and what that still yields comes too late and is closed.
func (s *socket) awaitIdle(ctx context.Context) bool {
	t := time.NewTimer(s.patience())
	defer t.Stop()
	select {
	case <-s.idle:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// patience is how long a listener is given to do what it has been told.
func (s *socket) patience() time.Duration { return max(s.l.g.opts.ForceWait, minJoin) }
