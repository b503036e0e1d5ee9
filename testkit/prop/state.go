package prop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// State is what a Model knows while a case goes on. Actions and invariants get it.
type State struct {
	*World

	// System is what is tested.
	System System

	full   full // System, if it is a ListenGroup
	model  Model
	begun  time.Time
	step   int
	stepAt time.Duration

	evictions, evictedStep int
	wired                  bool // the group's events are heard, for certain
	waiters                []*waiter
	hooks                  *hooks // of a GroupHandler, if the group has one

	stepsMu sync.Mutex // accident tells the story on whatever goroutine, and a case that hangs is told while it goes on
	steps   []string
	drawn   int         // of them
	lns     []*listener // in the order in which they were added
	conns   []*conn     // in the order in which they were dialed
	ops     []*op
	limits  bool // the system has them
	counts  bool // the system counts
	closing bool // Shutdown was called
	final   bool // everything should be over

	mu       sync.Mutex // guards what follows, and the ledger of each connection
	max      int        // the system's limit; 0: none
	accepted int
	idles    int
	over     bool          // Shutdown has returned
	freedAt  time.Duration // when a connection was last over, which cuts back-offs short
	broken   []string
}

// newState makes the system, a plain group with a GroupHandler if grouped.
func newState(m Model, w *World, grouped bool) *State {
	s := &State{World: w, model: m, begun: time.Now().Add(-time.Microsecond)} // so that 0 is no time
	w.real, s.wired = m.Loopback, m.New == nil
	switch {
	case m.New != nil:
		s.System = m.New(w, s.serve)
	case grouped:
		s.did("a group with a GroupHandler")
		s.System = hooked(s, s.serve)
	default:
		s.System = Adapt(lgrp.New(lgrp.Typed[untyped, untyped](s.serve), w.Options()))
	}
	s.full, _ = s.System.(full)
	s.limits = !errors.Is(s.System.SetMaxConns("", 0), errors.ErrUnsupported)
	_, s.counts = s.System.Counts()
	s.Recorder.Limit("", 0)
	w.Cleanup(s.tearDown)
	return s
}

// tearDown sees to it that a case which failed half-way leaves nothing that waits for ever.
func (s *State) tearDown() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	go func() { _ = s.System.Shutdown(ctx) }()
	for _, c := range s.which(func(*conn) bool { return true }) {
		c.unstick()
		_ = c.client.Close()
		s.mu.Lock()
		k := c.sock
		s.mu.Unlock()
		if k != nil {
			_ = k.Conn.Close()
		}
	}
	for _, l := range s.lns {
		_ = l.ln.Close()
	}
}

// clock is the time since the case began.
func (s *State) clock() time.Duration { return time.Since(s.begun) }

// scaled is how long d is over sockets, where time is real.
func (s *State) scaled(d time.Duration) time.Duration {
	if s.real {
		return d / 50
	}
	return d
}

func (s *State) sleep(d time.Duration) {
	if s.real {
		d = min(d/50, 20*time.Millisecond)
	}
	<-time.After(d)
}

// did adds a line to the story of the case; more adds to the last one.
func (s *State) did(what string) {
	s.stepsMu.Lock()
	s.steps = append(s.steps, what)
	s.stepsMu.Unlock()
	s.save()
}

func (s *State) more(format string, args ...any) {
	text := " " + fmt.Sprintf(format, args...)
	s.stepsMu.Lock()
	s.steps[len(s.steps)-1] += text
	s.stepsMu.Unlock()
	s.save()
}

// save keeps the story where a crash of the process does not reach it, if the user asks for that.
func (s *State) save() {
	if storyFile != "" {
		_ = os.WriteFile(storyFile, []byte(s.story()), 0o644)
	}
}

var storyFile = os.Getenv("PROP_STORY")

func (s *State) story() string {
	s.stepsMu.Lock()
	defer s.stepsMu.Unlock()
	return story(s.steps)
}

// told returns the story so far.
func (s *State) told() (steps []string, drawn int) {
	s.stepsMu.Lock()
	defer s.stepsMu.Unlock()
	return slices.Clone(s.steps), s.drawn
}

func story(steps []string) string {
	var b strings.Builder
	b.WriteString("what was done:\n")
	for i, line := range steps {
		fmt.Fprintf(&b, "  %2d. %s\n", i+1, line)
	}
	return b.String()
}

// violation is for goroutines of the system. s.mu is not held.
func (s *State) violation(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = append(s.broken, fmt.Sprintf(format, args...))
}

// settled waits until nothing moves and checks everything. Over sockets nobody can tell when that is, so it
// looks again until all is well.
func (s *State) settled() {
	if !s.real {
		synctest.Wait()
		if err := s.check(); err != nil {
			s.Fatalf("%v", err)
		}
		return
	}
	giveUp := time.After(10 * time.Second)
	for wait := 10 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		err := s.check()
		if err == nil {
			return
		}
		select {
		case <-giveUp:
			s.Fatalf("%v", err)
		case <-time.After(wait):
		}
	}
}

// Conns returns the clients of the case, in the order in which they connected.
func (s *State) Conns() []*testkit.Conn {
	var cs []*testkit.Conn
	for _, c := range s.which(func(*conn) bool { return true }) {
		cs = append(cs, c.client)
	}
	return cs
}

// Listeners returns the ids of the listeners that the system should have now.
func (s *State) Listeners() (ids []string) {
	for _, l := range s.lns {
		if l.intent != gone {
			ids = append(ids, l.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// next begins a step.
func (s *State) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step++
	s.stepAt = s.clock()
}

// end shuts the system down, and has everything end that still can.
func (s *State) end() {
	if !s.closing {
		s.next()
		s.did("shutdown within 1s")
		s.shutdown(s.scaled(time.Second), false)
		s.settled()
	}
	s.next()
	s.did("a minute goes by")
	s.sleep(time.Minute)
	s.settled()
	s.did("handlers that hang return, and another minute goes by")
	for _, c := range s.which(func(*conn) bool { return true }) {
		c.unstick()
	}
	s.sleep(time.Minute)
	s.settled()
	s.final = true
	s.settled()
}
