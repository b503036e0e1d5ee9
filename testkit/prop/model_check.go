package prop

import (
	"errors"
	"fmt"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// check looks at everything, when nothing moves.
func (s *State) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.broken) > 0 {
		return errors.New(s.broken[0])
	}
	s.noteFailed()
	infos := map[string]lgrp.ConnInfo{}
	if s.full != nil {
		for info := range s.full.whole().ConnInfos() {
			infos[ends(info.Local, info.Remote)] = info
		}
	}
	for _, c := range s.conns {
		info, listed := infos[c.ends]
		if s.full != nil && !(s.real && c.over()) {
			if !c.rejected && c.waiting() && listed && !info.Parked && info.Reason == lgrp.ReasonLimit {
				c.rejected, c.refusedAt = true, c.acceptedAt
				if c.waited {
					c.refusedAt = s.clock()
				}
			}
			if want := c.sock != nil && !c.over(); listed != want {
				return fmt.Errorf("%v: listed by the group: %v; it should be: %v", c, listed, want)
			}
			if c.waiting() && listed && !info.Parked && !(c.rejected && c.l.policy.kind == "reject") {
				return fmt.Errorf("%v: is not parked, and has no handler", c)
			}
		}
	}
	s.update()
	for _, c := range s.conns {
		err := s.checkConn(c)
		if info, listed := infos[c.ends]; listed && err == nil && !s.real {
			err = s.inspect(c, info)
		}
		if err != nil {
			return fmt.Errorf("%v %w", c, err)
		}
	}
	if err := s.checkOps(); err != nil {
		return err
	}
	for _, l := range s.lns {
		if err := s.checkListener(l); err != nil {
			return fmt.Errorf("listener %s %w", l.id, err)
		}
	}
	if err := s.checkCounts(); err != nil {
		return err
	}
	if err := s.checkWaiters(); err != nil {
		return err
	}
	if err := s.checkHooks(); err != nil {
		return err
	}
	return s.checkUsers()
}

func (s *State) checkUsers() error {
	for _, i := range s.model.Invariants {
		s.mu.Unlock()
		err := i.Check(s)
		s.mu.Lock()
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	return nil
}

// checkConn checks one connection from all sides.
func (s *State) checkConn(c *conn) error {
	if c.sock == nil {
		if c.readErr != nil && !c.gone && !c.mayRefuse && !(c.l.fatal && c.ln == c.l.ln) {
			return fmt.Errorf("was lost while it waited in the kernel: %w", c.readErr)
		}
		return nil
	}
	if c.sock.closes > 1 && s.full != nil {
		return fmt.Errorf("was closed %d times", c.sock.closes)
	}
	if c.returned && c.sock.closes == 0 {
		return errors.New("was not closed when its handler returned")
	}
	if c.over() && !c.gone && c.readErr == nil {
		return errors.New("is over, and its client does not see that")
	}
	if s.final && !c.over() {
		return errors.New("is still there after the shutdown")
	}
	if s.full == nil {
		return s.checkPlain(c)
	}
	check := s.checkServed
	if c.starts == 0 {
		check = s.checkUnserved
	}
	if err := check(c); err != nil {
		return err
	}
	return s.checkEvents(c)
}

// checkPlain is for systems that give no reasons.
func (s *State) checkPlain(c *conn) error {
	switch {
	case c.over() && !c.gone && !c.must && !c.l.killed && c.l.intent != gone:
		return errors.New("was ended, and nobody asked for it")
	case c.running && c.must && !c.stuck && !s.closing:
		return errors.New("should be over, and goes on")
	case c.running && !c.gone && !c.must && !c.stuck && c.replies != c.sent:
		return fmt.Errorf("answered %d of %d commands", c.replies, c.sent)
	case c.running && c.readErr != nil && !c.gone && !c.must:
		return fmt.Errorf("is being served, and its client sees: %w", c.readErr)
	}
	return nil
}

// checkServed is about a connection that has, or had, a handler.
func (s *State) checkServed(c *conn) error {
	now, info := s.clock(), c.any.Info()
	r := info.Reason
	switch {
	case c.decided != lgrp.ReasonNone && r != c.decided:
		return fmt.Errorf("has the reason %v, and the first to be given was %v", r, c.decided)
	case c.l.intent == paused && c.acceptedAt > c.l.pausedAt:
		return errors.New("is served, and its listener is paused")
	case r == lgrp.ReasonNone && c.over():
		return errors.New("is over without a reason")
	case r == lgrp.ReasonNone && c.must && !c.stuck:
		return errors.New("should be over, and goes on")
	case r == lgrp.ReasonNone && c.sock.closes > 0:
		return errors.New("was closed without a reason")
	case r == lgrp.ReasonNone && c.l.killed && s.stopped(c.l):
		return errors.New("goes on, and its listener was removed with KillConns")
	case r != lgrp.ReasonNone && !c.over() && !c.stuck && c.ears == 0:
		return fmt.Errorf("has ended as %v, and its handler or socket has not", r)
	case info.Draining && !c.maySignal:
		return errors.New("was asked to finish, and nobody asked for that")
	case r == lgrp.ReasonNone && c.maySignal && now > c.signalBy+c.slack && !info.Draining:
		return errors.New("is being drained, and was not told so")
	case r == lgrp.ReasonNone && c.maySignal && now > c.signalBy+c.slack && (!c.stubborn && !c.stuck || c.fragile):
		return errors.New("was asked to finish, and its OnDrain function has not run")
	case r == lgrp.ReasonNone && c.maySignal && now > c.deadline+c.slack:
		return errors.New("was not forced at the deadline of its drain")
	case r == lgrp.ReasonNone && !c.gone && c.readErr != nil:
		return fmt.Errorf("is being served, and its client sees: %w", c.readErr)
	case r == lgrp.ReasonNone && !c.gone && !c.stuck && c.replies != c.sent:
		return fmt.Errorf("answered %d of %d commands", c.replies, c.sent)
	}
	if r == lgrp.ReasonNone {
		return nil
	}
	if c.decided == lgrp.ReasonNone && !s.mayEnd(c, r, now) {
		return fmt.Errorf("ended as %v, for which there was no cause", r)
	}
	c.decided = r
	if c.wantCause == nil && c.wantErr == nil {
		c.wantCause = ownCause[r]
	}
	if c.returned && c.cause != nil && c.wantErr == nil && c.wantCause != nil && !errors.Is(c.cause, c.wantCause) {
		return fmt.Errorf("was ended because of %v, and its context says %v", c.wantCause, c.cause)
	}
	return nil
}

// mayEnd tells whether a connection may have ended for a reason by itself.
func (s *State) mayEnd(c *conn, r lgrp.Reason, now time.Duration) bool {
	switch r {
	case lgrp.ReasonDrained:
		return c.allowed[r] || c.maySignal && (!c.stubborn || s.real) // who is told to ignore it may have heard of it before
	case lgrp.ReasonPanic:
		return c.allowed[r] || c.maySignal && c.fragile
	case lgrp.ReasonForced:
		return c.maySignal && now >= c.deadline
	case lgrp.ReasonEvicted:
		return c.allowed[r] || s.evicted(c)
	case lgrp.ReasonListenerRemoved:
		return c.l.killed
	}
	return c.allowed[r]
}

// evicted tells whether an idle connection may have been ended to let another in: the one that has been idle for
// longest, and one for each arrival that has had to wait.
func (s *State) evicted(c *conn) bool {
	if c.idle == 0 && !(s.real && c.wasIdle) { // in real time it may have been, and not be any more
		return false
	}
	for _, d := range s.conns {
		if d != c && d.l == c.l && d.idle > 0 && d.idle < c.idle && d.running && d.decided == lgrp.ReasonNone && s.reason(d) == lgrp.ReasonNone {
			return false // that one has been idle for longer
		}
	}
	// For whom it was cannot always be told, since the slot goes to whoever is first in line.
	arrivals := 0
	for _, w := range s.conns {
		if w.sock != nil && w.l.policy.kind == "evict" && (s.real || w.mayEvict || w.l.intent != paused && (w.waited || w.acceptedStep == s.step)) {
			w.waited, w.mayEvict = true, true
			arrivals++
		}
	}
	if !s.real && !s.useful(c) { // in real time the step in which it was is not known
		return false
	}
	s.evictions++
	s.evictedStep = s.step
	return s.evictions <= arrivals
}

// useful tells whether there is, or was in this step, somebody whom the slot of c can help.
func (s *State) useful(c *conn) bool {
	for _, w := range s.conns {
		if w.sock == nil || w.l.policy.kind != "evict" || !w.mayEvict && w.acceptedStep != s.step {
			continue
		}
		if w.l == c.l || w.l.max <= 0 || s.active(w.l) < w.l.max || w.startedStep == s.step {
			return true
		}
	}
	return false
}

// checkUnserved is about a connection that was accepted and has, or had, no handler.
func (s *State) checkUnserved(c *conn) error {
	now := s.clock()
	timeout := c.l.policy.timeout
	queues := c.l.policy.kind == "queue" && timeout > 0
	if c.over() {
		if c.seen {
			return nil
		}
		c.seen = true
		switch {
		case c.decided != lgrp.ReasonNone:
		case c.rejected:
			c.decided = lgrp.ReasonLimit
		case s.hasty(c):
			return errors.New("was turned away, and given no time to read why")
		case c.l.policy.kind == "reject":
			// Turned away, or too late.
		case c.slack > 0 && (c.maySignal || queues), c.maySignal && c.l.killed, s.real && (c.maySignal || c.l.killed || queues):
			// Ended in one of several ways, and in real time nobody can tell in which.
		case c.maySignal && c.endedAt >= c.deadline && c.acceptedAt < c.deadline:
			c.decided = lgrp.ReasonForced
		case queues && c.endedAt-c.acceptedAt >= timeout:
			c.decided = lgrp.ReasonLimit
		case c.l.killed, c.ln != c.l.ln, c.l.intent != accepting && c.l.intent != paused:
			// With its listener, or too late.
		default:
			return errors.New("was closed while it waited for a slot, and nobody asked for it")
		}
		return nil
	}
	if c.rejected {
		if c.acceptedStep == s.step && s.room(c.l) && !s.ended() {
			return errors.New("was turned away, and there was room")
		}
		if now-c.refusedAt > 2*time.Second {
			return errors.New("was turned away, and its socket is still open")
		}
		return s.checkTurnedAway(c)
	}
	c.waited = true
	switch {
	case c.must:
		return errors.New("should be over, and still waits for a slot")
	case queues && now-c.acceptedAt > timeout:
		return fmt.Errorf("waits for a slot for longer than %v", timeout)
	case c.maySignal && now > c.deadline+c.slack:
		return errors.New("waits for a slot, and was not forced at the deadline of its drain")
	case c.l.killed && s.stopped(c.l):
		return errors.New("waits for a slot, and its listener was removed with KillConns")
	case c.l.intent != paused && s.room(c.l):
		return errors.New("waits for a slot, and there is one")
	case c.l.intent == paused:
		return nil
	}
	return s.checkTurn(c)
}

// hasty tells whether a connection was turned away without a word, and should not have been. What a slow Accept of an
// earlier binding still brings comes too late.
func (s *State) hasty(c *conn) bool {
	if s.real || c.l.policy.kind != "reject" || c.ln != c.l.ln || c.gone || c.acceptedStep != s.step || c.endedAt != c.acceptedAt || c.l.intent != accepting || c.l.fatal || s.closing {
		return false
	}
	telling := 0
	for _, d := range s.conns {
		if d.l.policy.kind == "reject" && d.sock != nil && d.starts == 0 {
			telling++
		}
	}
	for _, o := range s.ops {
		if !o.done || o.at >= s.stepAt {
			return false
		}
	}
	return telling < 64
}

// checkTurn checks that nobody passed c in the queue, and that somebody was evicted for it.
func (s *State) checkTurn(c *conn) error {
	own := c.l.max > 0 && s.active(c.l) >= c.l.max
	ending := false // a slot of an idle one is about to be freed
	for _, d := range s.conns {
		ending = ending || d.idle > 0 && d.holds() && s.reason(d) != lgrp.ReasonNone
	}
	for _, d := range s.conns {
		later := d.acceptedStep > c.acceptedStep && !own && !s.ended() || d.l == c.l && d.order > c.order && (c.l.crew == 1 || d.acceptedAt > c.acceptedAt)
		if d.startedStep == s.step && d.starts > 0 && later {
			return fmt.Errorf("waits for a slot, and %v, which came later, got one", d)
		}
		if c.l.policy.kind == "evict" && s.evictedStep != s.step && d.idle > 0 && d.holds() && d.running && d.decided == lgrp.ReasonNone &&
			(!own || d.l == c.l) && c.acceptedStep == s.step && !s.ended() && !ending {
			return fmt.Errorf("waits for a slot, and %v, which is idle, was not evicted", d)
		}
	}
	return nil
}

// ended tells whether a connection ended in this step.
func (s *State) ended() bool {
	for _, c := range s.conns {
		if c.over() && c.endedAt >= s.stepAt {
			return true
		}
	}
	return false
}

// active counts the slots that are taken, of one listener or of all.
func (s *State) active(l *listener) (n int) {
	for _, c := range s.conns {
		if (l == nil || c.l == l) && c.holds() {
			n++
		}
	}
	return n
}

func (s *State) room(l *listener) bool {
	return (s.max <= 0 || s.active(nil) < s.max) && (l.max <= 0 || s.active(l) < l.max)
}

// stopped tells whether nothing is going on with l any more.
func (s *State) stopped(l *listener) bool {
	for _, o := range s.ops {
		if !o.done && (o.l == l || o.l == nil) {
			return false
		}
	}
	return s.taken(l) == 0
}
