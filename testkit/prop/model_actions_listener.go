package prop

import (
	"errors"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// span draws a time of a scale that matters, off everybody's grid.
func (s *State) span(what string, spans ...time.Duration) time.Duration {
	d := spans[s.number(what, len(spans)-1)]
	s.more("%v", d)
	return s.scaled(d) + time.Duration(37*s.step+11)*time.Microsecond
}

func (s *State) doAdd() {
	id := string(rune('a' + s.number("id", 2)))
	max := 0
	p := policy{kind: "backlog"}
	if s.limits {
		max = s.number("limit", 3)
		p.kind = []string{"backlog", "queue", "reject", "evict"}[s.number("policy", 3)]
	}
	s.more("%s, limit %d, %s", id, max, p.kind)
	if p.kind == "queue" {
		p.timeout = s.span("timeout", 0, 500*time.Millisecond, 5*time.Second)
		if p.timeout < time.Millisecond {
			p.timeout = 0
		}
	}
	bound, bare := false, false
	if s.full != nil {
		switch s.number("kind", 5) {
		case 1, 2, 3:
			bound = true
			s.more("(opened by the group)")
		case 4:
			bare = true
			s.more("(no deadlines)")
		}
	}
	handshake := s.full != nil && s.number("handshake", 3) == 3
	if handshake {
		s.more("(with a handshake)")
	}
	crew := 1
	if s.full != nil && s.number("acceptors", 4) == 4 {
		crew = 2
		s.more("(two acceptors)")
	}
	s.add(id, max, p, bare, bound, handshake, crew)
}

func (s *State) doLimitAll() {
	n := s.number("limit", 3)
	s.more("%d", n)
	s.setMax(&s.max, n, "")
}

func (s *State) doLimit() {
	l := s.aListener(open)
	n := s.number("limit", 3)
	s.more("%s to %d", l.id, n)
	l.most = max(l.most, n)
	s.setMax(&l.max, n, l.id)
}

func (s *State) setMax(limit *int, n int, id string) {
	set := func() {
		s.mu.Lock()
		*limit = n
		s.mu.Unlock()
	}
	name := id
	if l := s.byID(id); l != nil && l.h != nil {
		name = listenerName(id, l.h.Serial())
	}
	s.Recorder.Limit(name, n)
	if lower := n > 0 && (*limit == 0 || n < *limit); lower {
		defer set()
	} else {
		set()
	}
	if err := s.System.SetMaxConns(id, n); err != nil {
		s.Fatalf("SetMaxConns(%q, %d): %v", id, n, err)
	}
}

func (s *State) doPause() {
	l := s.aListener(open)
	s.more("%s", l.id)
	l.touched.Store(true)
	if err := l.h.Pause(); err != nil && !l.fatal {
		s.Fatalf("Pause: %v", err)
	} else if err == nil {
		if l.intent != paused {
			l.pausedAt = s.clock()
		}
		l.intent = paused
	}
}

func (s *State) doRelease() {
	l := s.aListener(open)
	s.more("%s", l.id)
	if l.fatal && l.h.Info().State == lgrp.StateClosed {
		return
	}
	s.mu.Lock()
	l.intent = released
	l.touched.Store(true)
	s.sweep(l)
	s.mu.Unlock()
	s.launch(&op{what: "Release", l: l}, func() (*lgrp.DrainReport, error) { return nil, l.h.Release() })
}

func (s *State) doResume() {
	l := s.aListener(stopped)
	s.more("%s", l.id)
	if l.intent == paused {
		if err := l.h.Resume(s.Context()); err != nil {
			s.Fatalf("Resume: %v", err)
		}
		l.intent = accepting
		return
	}
	if s.pending(l) || s.fenced() {
		s.more("(not now)")
		return
	}
	if l.spec.bind == nil {
		if err := l.h.Resume(s.Context()); !errors.Is(err, errors.ErrUnsupported) {
			s.Fatalf("Resume of an adopted listener that was released: %v", err)
		}
		return
	}
	ctx := bindContext(l)
	if s.number("bind fails", 4) == 4 {
		s.more("(cannot bind)")
		l.bindErr = syscall.EADDRINUSE
		var be *lgrp.BindError
		if err := l.h.Resume(ctx); !errors.As(err, &be) || !errors.Is(err, syscall.EADDRINUSE) {
			s.Fatalf("Resume of a listener that cannot be bound: %v", err)
		}
		return
	}
	if err := l.h.Resume(ctx); err != nil {
		s.Fatalf("Resume: %v", err)
	}
	if l.asked != l.again {
		s.Fatalf("Resume of a listener that was bound to %v: binds %v", l.again, l.asked)
	}
	l.intent = accepting
}

func (s *State) doRemove() {
	l := s.aListener(s.removable)
	mode := []lgrp.RemoveMode{lgrp.KeepConns, lgrp.KillConns}[s.number("mode", 1)]
	l.touched.Store(true)
	s.more("%s, %v", l.id, mode)
	s.mu.Lock()
	if mode == lgrp.KillConns {
		s.forsake(l)
		for _, c := range s.conns {
			if c.l == l && c.sock != nil && !c.over() {
				c.allow(lgrp.ReasonListenerRemoved)
			}
		}
		l.killed = true
	} else {
		s.sweep(l)
	}
	l.intent = gone
	s.mu.Unlock()
	id, h := l.id, l.h
	s.launch(&op{what: "Remove", l: l}, func() (*lgrp.DrainReport, error) {
		if h != nil {
			return nil, h.Remove(mode)
		}
		return nil, s.System.Remove(id, mode)
	})
}

func (s *State) doErrors() {
	l := s.aListener(open)
	l.errs, l.errAt = true, s.clock()
	l.injected += 3 // at most
	s.more("%s:", l.id)
	switch kind := s.number("class", 5); kind {
	case 0, 1:
		err := transient[s.number("error", len(transient)-1)]
		n := 1 + 2*kind
		s.more("%d times %v", n, err)
		for range n {
			l.ln.InjectAcceptError(err)
		}
	case 2:
		err := capacity[s.number("error", len(capacity)-1)]
		s.more("%v", err)
		l.short = true
		l.ln.InjectAcceptError(err)
	case 3:
		err := capacity[s.number("error", len(capacity)-1)]
		s.more("%v until it recovers", err)
		l.sticky = err
		l.ln.SetAcceptError(err)
	case 4:
		err := transient[s.number("error", len(transient)-1)]
		s.more("%v until it recovers", err)
		l.sticky = err
		l.ln.SetAcceptError(err)
	case 5:
		most := len(fatal) - 1
		if s.full == nil {
			most-- // a panic is asked of groups only
		}
		err := fatal[s.number("error", most)]
		s.more("%v", err)
		l.fatal = true
		l.mustFail = l.intent == accepting && l.delay == 0 && l.sticky == nil && l.h != nil && l.h.Info().State == lgrp.StateAccepting
		s.mu.Lock()
		s.forsake(l)
		s.mu.Unlock()
		l.ln.InjectAcceptError(err)
	}
}

func (s *State) doRecover() {
	l := s.aListener(func(l *listener) bool { return l.sticky != nil })
	s.more("%s", l.id)
	l.sticky, l.errAt = nil, s.clock() // the last one was a moment ago, and is waited for
	l.ln.SetAcceptError(nil)
}

func (s *State) doSlow() {
	l := s.aListener(open)
	s.more("%s", l.id)
	l.delay = s.span("by", 0, 10*time.Millisecond, 700*time.Millisecond, 3*time.Second)
	l.slowest = max(l.slowest, l.delay)
	l.ln.SetAcceptDelay(l.delay)
	if s.number("deadlines", 2) == 2 {
		s.more("(and deadlines by %v)", tardiness)
		l.slowest = max(l.slowest, tardiness)
		s.mu.Lock()
		l.door.tardy = true
		s.mu.Unlock()
	}
}

var graces = []time.Duration{time.Second, 0, 10 * time.Second}

func (s *State) doDrain() {
	l := s.aListener(drainable)
	s.more("%s within", l.id)
	s.drain(l, s.span("grace", graces...), 0, s.spread(), nil)
}

func (s *State) doDrainAll() {
	s.more("within")
	grace := s.span("grace", graces...)
	var notReady time.Duration
	if s.number("announced", 3) == 3 {
		s.more("announced for")
		notReady = s.span("announced", 2*time.Second)
	}
	s.drain(nil, grace, notReady, s.spread(), nil)
}

func (s *State) spread() time.Duration {
	if s.number("spread", 3) < 3 {
		return 0
	}
	s.more("spread over")
	return s.span("spread", 500*time.Millisecond)
}

func (s *State) doDrainSome() {
	odd := s.number("odd", 1)
	s.more("with numbers %% 2 = %d within", odd)
	s.drain(nil, s.span("grace", graces...), 0, 0, func(c *conn) bool { return c.n%2 == odd })
}

func (s *State) doDrainOne() {
	c := s.aConn(s.served)
	if s.number("ignored", 2) == 2 {
		s.more("(which ignores that)")
		c.sent++
		s.command(c, 'k')
		s.settled()
	}
	s.more("within")
	grace := s.span("grace", time.Second, 10*time.Second)
	deadline, until := time.Now().Add(grace), s.clock()+grace
	if s.number("deadline", 2) == 2 {
		s.more("(or never)")
		deadline, until = time.Time{}, never
	}
	s.mu.Lock()
	s.signal(c, until, s.clock(), 0)
	a := c.any
	s.mu.Unlock()
	a.Drain(deadline)
	if s.number("again", 2) == 2 { // the earlier deadline stays
		s.more("and then within")
		later := s.span("later", 10*time.Second)
		s.mu.Lock()
		s.signal(c, s.clock()+later, s.clock(), 0)
		s.mu.Unlock()
		a.Drain(time.Now().Add(later))
	}
}

func (s *State) doShutdown() {
	if s.full != nil && s.number("abrupt", 3) == 3 {
		s.more("(Close)")
		s.shutdown(0, true)
		return
	}
	s.more("within")
	s.shutdown(s.span("grace", graces...), false)
}
