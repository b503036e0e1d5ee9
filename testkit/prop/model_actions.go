package prop

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// builtin is an Action with the share of the wheel that it has.
type builtin struct {
	Action
	weight int
	group  bool // it is done to groups only
	limits bool // it is done to systems with limits only
}

// ActionNames returns the names of the actions that are built into a Model, for Model.Without.
func ActionNames() []string {
	var names []string
	for _, a := range (&State{}).builtins() {
		names = append(names, a.Name)
	}
	return names
}

func (s *State) actions() (as []builtin) {
	for _, a := range s.builtins() {
		if !slices.Contains(s.model.Without, a.Name) {
			as = append(as, a)
		}
	}
	for _, a := range s.model.Actions {
		as = append(as, builtin{Action: a, weight: 2})
	}
	return as
}

// builtins are in the order from plain to strange, which is how cases shrink.
func (s *State) builtins() []builtin {
	always := func(*State) bool { return true }
	any := func(f func(l *listener) bool) func(*State) bool {
		return func(s *State) bool { return len(s.those(f)) > 0 }
	}
	some := func(f func(c *conn) bool) func(*State) bool {
		return func(s *State) bool { return len(s.which(f)) > 0 }
	}
	// for groups, and for systems with limits; others never do these.
	whole := func(name string, when func(*State) bool, do func(*State), weight int) builtin {
		return builtin{Action: Action{name, when, do}, weight: weight, group: true}
	}
	limited := func(name string, when func(*State) bool, do func(*State), weight int) builtin {
		return builtin{Action: Action{name, when, do}, weight: weight, limits: true}
	}
	plain := func(name string, when func(*State) bool, do func(*State), weight int) builtin {
		return builtin{Action: Action{name, when, do}, weight: weight}
	}
	return []builtin{
		plain("dial", any(open), (*State).doDial, 10),
		plain("add", func(s *State) bool { return len(s.lns) < 6 && !(s.real && s.stopping()) }, (*State).doAdd, 4),
		plain("time goes by:", always, (*State).doAdvance, 5),
		plain("say", some(s.served), (*State).doSay, 6),
		whole("handshake", some(func(c *conn) bool { return c.shaking && s.served(c) }), (*State).doHandshake, 3),
		whole("idle", some(s.served), (*State).doIdle, 4),
		plain("end", some(s.served), (*State).doEnd, 6),
		plain("close client", some(present), (*State).doClose, 3),
		plain("reset client", some(present), (*State).doReset, 2),
		whole("kill", some(s.present), (*State).doKill, 4),
		limited("limit all to", always, (*State).doLimitAll, 3),
		limited("limit", any(open), (*State).doLimit, 2),
		whole("pause", any(open), (*State).doPause, 2),
		whole("release", any(open), (*State).doRelease, 2),
		whole("resume", any(stopped), (*State).doResume, 4),
		plain("remove", any(s.removable), (*State).doRemove, 3),
		plain("accept errors", any(open), (*State).doErrors, 4),
		plain("accept recovers", any(func(l *listener) bool { return l.sticky != nil }), (*State).doRecover, 4),
		plain("slow accept", any(open), (*State).doSlow, 3),
		whole("drain listener", any(drainable), (*State).doDrain, 2),
		whole("drain all", always, (*State).doDrainAll, 1),
		whole("drain some", some(s.present), (*State).doDrainSome, 1),
		whole("drain connection", some(s.served), (*State).doDrainOne, 3),
		plain("handler returns to life", some(func(c *conn) bool { return c.stuck }), (*State).doUnstick, 2),
		whole("give up on", func(s *State) bool { return len(s.patient()) > 0 }, (*State).doGiveUp, 2),
		whole("wait for", always, (*State).doWait, 2),
		limited("crowd", any(crowded), (*State).doCrowd, 1),
		whole("misuse", any(drainable), (*State).doMisuse, 1),
		whole("events panic from now on", always, (*State).doBreak, 1),
		plain("shutdown", func(s *State) bool { return !s.closing || s.full != nil }, (*State).doShutdown, 1),
		plain("late dial", func(s *State) bool { return len(s.lns) > 0 }, (*State).doLateDial, 1),
	}
}

func stopped(l *listener) bool { return l.intent == paused || l.intent == released }
func (s *State) removable(l *listener) bool {
	return l.intent != draining && (l.intent != gone || s.full != nil && l.h != nil && !l.killed)
}
func drainable(l *listener) bool { return l.h != nil }

func present(c *conn) bool { return !c.gone && c.readErr == nil }

// present and served also ask for what is in the ledger.
func (s *State) present(c *conn) bool {
	return c.sock != nil && !c.over() && c.decided == lgrp.ReasonNone
}
func (s *State) served(c *conn) bool {
	return c.running && !c.stuck && !c.gone && c.decided == lgrp.ReasonNone && c.readErr == nil
}

func (s *State) which(f func(c *conn) bool) (cs []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if f(c) {
			cs = append(cs, c)
		}
	}
	return cs
}

// number draws small numbers; small ones are plainer.
func (s *State) number(what string, max int) int { return rapid.IntRange(0, max).Draw(s.T, what) }

func (s *State) aListener(f func(l *listener) bool) *listener {
	ls := s.those(f)
	if len(ls) == 0 {
		s.T.SkipNow()
	}
	return ls[s.number("listener", len(ls)-1)]
}

func (s *State) aConn(f func(c *conn) bool) *conn {
	cs := s.which(f)
	if len(cs) == 0 { // over sockets, the last one may have ended since When
		s.T.SkipNow()
	}
	c := cs[s.number("connection", len(cs)-1)]
	s.more("%d", c.n)
	return c
}

func (s *State) doDial() {
	l := s.aListener(open)
	n, k := 1, s.number("how many", 9)
	if k == 8 {
		n = 2
	}
	s.more("%s", l.id)
	for range n {
		c := s.dial(l)
		if k == 9 && c != nil && !c.mayRefuse {
			s.more("(says hello)")
			c.sent++
			s.command(c, 'e')
		}
	}
}

// crowded tells whether it matters that many come at once.
func crowded(l *listener) bool {
	return open(l) && l.ln.Pending() < mostPending/4 && (l.policy.kind == "queue" || l.policy.kind == "reject")
}

func (s *State) doCrowd() {
	l := s.aListener(crowded)
	n := 20
	if l.policy.kind == "reject" {
		n = 70
	}
	s.more("of %d at %s", n, l.id)
	for range n {
		if s.dial(l) == nil {
			return
		}
	}
}

// mostPending is how many clients may wait in a kernel's queue: a Dial waits when the queue is full, as it does with TCP.
const mostPending = 100

// dial connects to a listener, which may turn the client away if it is not open, or about to be closed.
func (s *State) dial(l *listener) *conn {
	if l.ln.Pending() >= mostPending {
		return nil
	}
	client, err := l.ln.Dial()
	expected := open(l) && !s.drainDue(l)
	if err != nil {
		s.more("(refused)")
		if expected && !l.fatal {
			s.Fatalf("listener %s is %v and refuses a client: %v", l.id, l.intent, err)
		}
		return nil
	}
	c := s.connected(l, client)
	if !expected {
		c.mayRefuse = true
		c.allow(lgrp.ReasonDrained)
	}
	return c
}

func (s *State) connected(l *listener, client *testkit.Conn) *conn {
	s.mu.Lock()
	c := s.register(l, l.ln, client)
	s.mu.Unlock()
	s.more("(%d)", c.n)
	return c
}

func (s *State) doLateDial() {
	l := s.aListener(func(*listener) bool { return true })
	s.more("%s", l.id)
	s.dial(l)
}

func (s *State) doAdvance() {
	d := s.span("for", time.Millisecond, 100*time.Millisecond, 700*time.Millisecond, 1500*time.Millisecond, 10*time.Second)
	if s.real {
		d = min(d, 20*time.Millisecond)
	}
	<-time.After(d)
}

func (s *State) command(c *conn, b byte) {
	if _, err := c.client.Write([]byte{b}); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		// One that has just come may have been turned away, and one that has ended has a reason that is looked at.
		if c.running && c.decided == lgrp.ReasonNone && !c.must && s.reason(c) == lgrp.ReasonNone {
			s.broken = append(s.broken, fmt.Sprintf("%v is being served, and its client cannot write: %v", c, err))
		}
	}
}

func (s *State) doSay() {
	c := s.aConn(s.served)
	words := []string{"hello", "be idle", "be busy", "ignore drains", "hang", "give your slot back", "be slow when drained", "panic when drained"}
	most := len(words) - 1
	if s.full == nil {
		most = 0
	}
	what := s.number("what", most)
	s.more("%q", words[what])
	c.sent++
	if what == 4 {
		c.stuck = true
	}
	s.command(c, "eibkzuof"[what])
}

// doIdle has all connections of a listener become idle, one after the other.
func (s *State) doIdle() {
	l := s.aConn(s.served).l
	s.more("and all others of %s", l.id)
	for _, c := range s.which(func(c *conn) bool { return c.l == l && c.idle == 0 && s.served(c) }) {
		c.sent++
		s.command(c, 'i')
		s.settled()
	}
}

func (s *State) doEnd() {
	c := s.aConn(s.served)
	how := s.number("how", 8)
	s.more("%s", []string{"return nil", "return an error", "panic", "Goexit", "return a CloseError", "return a timeout",
		"return an EOF", "return EPIPE", "return ECONNRESET"}[how])
	reason := []lgrp.Reason{lgrp.ReasonReturned, lgrp.ReasonError, lgrp.ReasonPanic, lgrp.ReasonPanic, lgrp.ReasonDenied, lgrp.ReasonTimeout,
		lgrp.ReasonPeerClosed, lgrp.ReasonPeerClosed, lgrp.ReasonPeerClosed}[how]
	err := []error{0: nil, 1: errHandler, 4: errHandler, 5: os.ErrDeadlineExceeded, 6: io.EOF, 7: syscall.EPIPE, 8: syscall.ECONNRESET}[how]
	if c.any.Info().Draining && how == 0 {
		reason = lgrp.ReasonDrained
	}
	s.mu.Lock()
	if s.hurried(c) {
		c.allow(reason, lgrp.ReasonReturned)
	} else {
		c.decide(reason, nil)
		c.wantErr = err
	}
	s.mu.Unlock()
	c.must = true
	s.command(c, "qxpgdtEPR"[how])
}

// hurried tells whether something else may end c first, in real time.
func (s *State) hurried(c *conn) bool { return s.real && (len(s.ops) > 0 || c.wasIdle) }

func (s *State) doClose() { s.leave(s.aConn(present), false) }
func (s *State) doReset() { s.leave(s.aConn(present), true) }

// leave has the client go. A handler that reads sees it now, the others when they read.
func (s *State) leave(c *conn, reset bool) {
	c.gone = true
	s.mu.Lock()
	c.allow(lgrp.ReasonPeerClosed)
	if c.running && !c.stuck {
		c.must = true
		if !c.maySignal && !s.hurried(c) {
			c.decide(lgrp.ReasonPeerClosed, nil)
		}
	}
	s.mu.Unlock()
	if reset {
		_ = c.client.Reset()
	} else {
		_ = c.client.Close()
	}
}

func (s *State) doKill() {
	c := s.aConn(s.present)
	var id uint64
	for info := range s.full.whole().ConnInfos() {
		if ends(info.Local, info.Remote) == c.ends {
			id = info.ID
		}
	}
	cause, reason := errKill, lgrp.ReasonKilled
	switch s.number("cause", 6) {
	case 1:
		cause, reason = nil, lgrp.ReasonKilled
	case 2:
		cause, reason = &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: errKill}, lgrp.ReasonDenied
	case 3:
		cause, reason = lgrp.ErrEvicted, lgrp.ReasonEvicted
	case 4:
		cause, reason = lgrp.ErrDrained, lgrp.ReasonDrained
	case 5:
		cause, reason = lgrp.ErrListenerRemoved, lgrp.ReasonListenerRemoved
	case 6:
		cause, reason = lgrp.ErrLimit, lgrp.ReasonLimit
	}
	s.more("because of %v", cause)
	want := cause
	if cause == nil {
		want = lgrp.ErrKilled
	}
	if s.real { // it may be over before anybody can know
		if s.full.whole().Kill(id, cause) {
			s.mu.Lock()
			c.decided, c.wantCause, c.must = reason, want, true
			s.mu.Unlock()
		}
		return
	}
	s.mu.Lock()
	rejected := c.rejected
	if !rejected {
		c.decide(reason, want)
		c.must = true
	}
	s.mu.Unlock()
	if got := s.full.whole().Kill(id, cause); got == rejected {
		s.Fatalf("Kill of %v, which had not ended, reports %v", c, got)
	}
}

// setMax changes what the model allows before or after the system does, whichever is the higher.
func (s *State) doUnstick() {
	c := s.aConn(func(c *conn) bool { return c.stuck })
	c.stuck = false
	if c.gone {
		c.must = true
	}
	c.unstick()
}
