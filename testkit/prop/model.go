package prop

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
)

// Model tests a System by doing random things to it, one after the other, and checking after each, when
// nothing moves any more, that what can be seen from all sides fits together: what clients see, what was
// accepted and closed, which handlers run, what the system says of itself and which events it sent. The zero
// value tests a plain ListenGroup.
//
// It adds, removes, pauses, resumes, releases, drains and shuts down listeners, kills connections, sets
// limits, dials alone and in crowds, shakes hands, speaks, closes and resets connections, has Accept fail with
// errors of every class or be slow, has handlers return, fail, panic, idle, ignore drains or hang, has event
// functions panic, waits for counts, gives drains up, asks for moves that are impossible, and lets time go by.
// Each case ends with a shutdown. Only what is possible is drawn.
//
// What is checked are the promises of package lgrp:
//
//   - the numbers add up, and are those of the connections that there are;
//   - nothing is admitted above a limit, and first come is first served;
//   - whoever could be served is served: no wake-up is lost;
//   - every socket is closed exactly once, by the system, after its handler has returned or its context ended;
//   - a connection ends for a reason that it was given, the first one, and not otherwise;
//   - draining is told to those who are meant, and to nobody else; drains end as soon as they can, and no later
//     than they must, and their reports add up;
//   - events tell each beginning, end and move once, and inspection and Wait say what the events say;
//   - contexts, and those derived from them, end with the cause, before the socket does;
//   - the methods of a GroupHandler are called in order and in pairs;
//   - after a shutdown there is nothing left, but for the handlers that were reported as stuck.
type Model struct {
	// New makes the system; h is the handler that its connections must have. For a group:
	//
	//	func(w *prop.World, h lgrp.Handler) prop.System {
	//		g := lgrp.New(lgrp.Typed[Port, Session](h), w.Options())
	//		g.Use(…)
	//		return prop.Adapt(g)
	//	}
	//
	// Systems that are no groups may pass h a new(lgrp.AnyConn). Defaults to a plain group.
	New func(w *World, h lgrp.Handler) System

	// Actions are done beside the built-in ones.
	Actions []Action

	// Invariants are checked beside the built-in ones.
	Invariants []Invariant

	// Without are the names of built-in actions that are not to be done; see ActionNames.
	Without []string

	// Loopback has the clients connect over TCP, without a bubble. What depends on exact times is not
	// checked then. It is for runs with -race.
	Loopback bool
}

// Action is something that a Model may do.
type Action struct {
	// Name is shown in failures.
	Name string

	// When tells whether it can be done now. Defaults to always.
	When func(s *State) bool

	// Do does it. It draws what it needs from s.T, and must not block for long.
	Do func(s *State)
}

// Invariant is something that always holds when nothing moves.
type Invariant struct {
	// Name is shown in failures.
	Name string

	// Check returns what is wrong. It must return the same text for the same case.
	Check func(s *State) error
}

// Check tries the model on random cases and shows the smallest that fails, as a list of what was done.
// RAPID_CHECKS is the number of cases, 100 if it is not set, and RAPID_STEPS the average number of steps
// in each, 30 if it is not set.
func (m Model) Check(t *testing.T) {
	t.Helper()
	if f := m.Find(t); f != nil {
		again := ""
		if f.Seed != 0 {
			again = fmt.Sprintf("; RAPID_SEED=%d begins with it", f.Seed)
		}
		t.Fatalf("case %d failed%s. The smallest that fails:\n%v", f.Cases, again, f)
	}
}

// Fuzz is Check for native fuzzing.
func (m Model) Fuzz(f *testing.F) {
	f.Helper()
	f.Fuzz(func(t *testing.T, input []byte) {
		rapid.MakeFuzz(func(rt *rapid.T) {
			if s, failure := m.run(t, rt); failure != "" {
				var steps []string
				if s != nil {
					steps, _ = s.told()
				}
				rt.Fatalf("%v", &Failure{Steps: steps, What: failure})
			}
		})(t, input)
	})
}

// Failure is the smallest case that Find has found.
type Failure struct {
	Steps []string      // what was done; the last ones may be those with which every case ends
	Drawn int           // how many of them were drawn
	What  string        // what was wrong then
	Cases int           // how many were tried until the first failed
	Found time.Duration // how long that took
	Seed  uint64        // of that one; 0 if it is not known
}

// String shows the steps, a line each, and what was wrong.
func (f *Failure) String() string { return story(f.Steps) + f.What }

// Find is Check for those who expect a failure. It marks nothing as failed and returns nil if it finds none.
func (m Model) Find(t *testing.T) *Failure {
	t.Helper()
	best, flaky := m.find(t)
	// What depends on how goroutines are scheduled within an instant may not fail again, and rapid gives up, or it is
	// content with a case that no single change makes smaller. Another case as a rule does better, if one is found as soon.
	for try := 0; best != nil && (flaky || best.Drawn > 6) && best.Found < soon && !m.Loopback && !strings.HasPrefix(best.What, hung) && try < 4; try++ {
		var other *Failure
		if other, flaky = m.find(t); other != nil && other.Drawn < best.Drawn {
			best.Steps, best.Drawn, best.What, best.Seed = other.Steps, other.Drawn, other.What, other.Seed
		}
	}
	return best
}

// soon is how quickly a failure must have been found for another one to be looked for.
const soon = 10 * time.Second

func (m Model) find(t *testing.T) (found *Failure, flaky bool) {
	begun, cases := time.Now(), 0
	_, q := smallest(t, m.Loopback, func(rt *rapid.T) string {
		if cases == 0 && !m.Loopback {
			inBubble(t, func(tb *caseTB) { newState(m, &World{caseTB: tb, T: rt}, false).prelude() })
		}
		s, failure := m.run(t, rt)
		if found == nil {
			cases++
		}
		if failure == "" {
			return ""
		}
		if found == nil {
			found = &Failure{Cases: cases, Found: time.Since(begun)}
		}
		// The last one to fail is the smallest, but where shrinking was given up.
		if s == nil {
			found.What = failure
			return failure
		}
		if steps, drawn := s.told(); found.Steps == nil || drawn <= found.Drawn {
			found.What, found.Steps, found.Drawn = failure, steps, drawn
		}
		return failure
	})
	if found != nil {
		found.Seed = q.seed
	}
	return found, q.flaky
}

// run is one case.
func (m Model) run(t *testing.T, rt *rapid.T) (*State, string) {
	run := inBubble
	if m.Loopback {
		run = outside
	}
	grouped := m.New == nil && rapid.Bool().Draw(rt, "GroupHandler")
	var state atomic.Pointer[State] // nil if there is no system
	failure := run(t, func(tb *caseTB) {
		s := newState(m, &World{caseTB: tb, T: rt}, grouped)
		state.Store(s)
		s.play()
	})
	s := state.Load()
	if failure == "" && !m.Loopback {
		if err := s.Recorder.Check(); err != nil {
			failure = err.Error()
		}
	}
	return s, failure
}

// play does random things, and in the end shuts the system down.
func (s *State) play() {
	var steps []Step
	for _, a := range s.actions() {
		if a.group && s.full == nil || a.limits && !s.limits {
			continue // not in this case, nor in any other of this system
		}
		when := func() bool { return a.When == nil || a.When(s) }
		steps = append(steps, Step{Name: a.Name, Weight: a.weight, When: when, Do: func() { s.now(a.Action) }})
	}
	Steps(s.World, nil, steps...)
	s.end()
}

// now does a and checks.
func (s *State) now(a Action) {
	s.stepsMu.Lock()
	s.drawn++
	s.stepsMu.Unlock()
	s.next()
	s.did(a.Name)
	a.Do(s)
	s.settled()
}
