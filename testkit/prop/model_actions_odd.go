package prop

import (
	"strings"
	"testing/synctest"

	"github.com/listengroup/listengroup/lgrp"
)

func (s *State) doHandshake() {
	c := s.aConn(func(c *conn) bool { return c.shaking && s.served(c) })
	c.sent++
	s.command(c, 'n')
}

// patient are the drains that can be given up.
func (s *State) patient() (ops []*op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.drain && !o.done && !o.abrupt && s.clock() < o.deadline && s.full != nil && !s.real {
			ops = append(ops, o)
		}
	}
	return ops
}

// doGiveUp cancels the context of a drain, which forces what is left at once.
func (s *State) doGiveUp() {
	ops := s.patient()
	o := ops[s.number("drain", len(ops)-1)]
	s.more("%s number %d", o.what, o.step)
	s.mu.Lock()
	now := s.clock()
	if s.update(); !o.begun {
		o.begins = now
		for _, c := range s.conns {
			o.before[c] = c.over()
		}
	}
	o.deadline = now
	for c := range o.selected {
		c.deadline = min(c.deadline, now)
	}
	s.mu.Unlock()
	o.cancel()
}

// doMisuse does what leads nowhere, or changes nothing.
func (s *State) doMisuse() {
	l := s.aListener(drainable)
	state := l.h.Info().State
	calls := []struct {
		what string
		f    func() error
		ok   bool
	}{
		{"pause", l.h.Pause, l.intent == paused},
		{"release", l.h.Release, l.intent == released},
		{"resume", func() error { return l.h.Resume(s.Context()) }, l.intent == accepting && state != lgrp.StateClosed},
	}
	call := calls[s.number("what", len(calls)-1)]
	s.more("%s: %s while %v", l.id, call.what, state)
	leads := map[lgrp.ListenerState]bool{lgrp.StateDraining: true, lgrp.StateClosed: true, lgrp.StateReleased: call.what == "pause"}
	if s.pending(l) || s.real || !call.ok && !leads[state] {
		s.more("(not now)")
		return
	}
	err := call.f()
	switch {
	case call.ok && err != nil:
		s.Fatalf("to %s a listener that is %v: %v", call.what, l.intent, err)
	case !call.ok && err == nil:
		s.Fatalf("to %s a listener that is %v succeeds", call.what, state)
	case err != nil && !strings.Contains(err.Error(), state.String()):
		s.Fatalf("to %s a listener that is %v fails with a text that does not say so: %v", call.what, state, err)
	}
}

// doBreak has the receivers of events panic, which must change nothing.
func (s *State) doBreak() { s.heard.breakDown() }

// prelude has happen what ends the process where a group does not contain it, so that a small story of that is shown.
// What else may be wrong is left to the cases.
func (s *State) prelude() {
	if s.full == nil || len(s.model.Without) > 0 {
		return
	}
	begin := func(what string) {
		s.next()
		s.did(what)
	}
	begin("add a")
	s.add("a", 0, policy{kind: "backlog"}, false, false, false, 1)
	l := s.byID("a")
	begin("dial a")
	c := s.dial(l)
	synctest.Wait()
	begin("say 1 \"panic when drained\"")
	s.command(c, 'f')
	synctest.Wait()
	begin("drain connection 1")
	c.any.Drain(s.begun)
	synctest.Wait()
	begin("dial a")
	c = s.dial(l)
	synctest.Wait()
	begin("end 2 panic")
	s.command(c, 'p')
	synctest.Wait()
	begin("accept errors a: " + errPanic.Error())
	l.fatal = true
	l.ln.InjectAcceptError(errPanic)
	synctest.Wait()
}
