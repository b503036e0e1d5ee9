package prop

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// tally is what the ledger says of the connections of a listener, or of all.
type tally struct {
	active, uncounted, parked int
	accepted, closed          uint64
	reasons                   map[lgrp.Reason]uint64 // where it is known
}

func (s *State) tally(l *listener) tally {
	t := tally{reasons: map[lgrp.Reason]uint64{}}
	for _, c := range s.conns {
		if c.sock == nil || l != nil && c.l != l {
			continue
		}
		t.accepted++
		switch {
		case c.over():
			t.closed++
			if c.decided != lgrp.ReasonNone {
				t.reasons[c.decided]++
			}
		case c.rejected:
			t.closed++
			t.reasons[lgrp.ReasonLimit]++
		case c.starts == 0:
			t.parked++
		case c.uncounted:
			t.uncounted++
		default:
			t.active++
		}
	}
	return t
}

// compare checks what a group says of itself, or of a listener, against the ledger.
func (t tally) compare(active, uncounted, parked int, accepted uint64, closed map[lgrp.Reason]uint64) error {
	var sum uint64
	for _, n := range closed {
		sum += n
	}
	got := fmt.Sprintf("%d accepted, %d active, %d uncounted, %d parked, %d closed", accepted, active, uncounted, parked, sum)
	want := fmt.Sprintf("%d accepted, %d active, %d uncounted, %d parked, %d closed", t.accepted, t.active, t.uncounted, t.parked, t.closed)
	if got != want {
		return fmt.Errorf("says %s; there are %s", got, want)
	}
	for _, r := range lgrp.Reasons() {
		if closed[r] < t.reasons[r] {
			return fmt.Errorf("says %d ended as %v; there are %d", closed[r], r, t.reasons[r])
		}
	}
	return nil
}

// checkCounts compares the numbers that the system tells with those of the ledger.
func (s *State) checkCounts() error {
	t := s.tally(nil)
	if s.full == nil {
		if n, ok := s.System.Counts(); ok && n.Active+n.Uncounted != t.active+t.uncounted {
			return fmt.Errorf("the system says %d active; there are %d", n.Active+n.Uncounted, t.active+t.uncounted)
		}
		return nil
	}
	info := s.full.whole().Info()
	open := 0 // listeners that are not Closed
	if err := t.compare(info.Active, info.Uncounted, info.Parked, info.Accepted, info.Closed); err != nil {
		return fmt.Errorf("the group %w", err)
	}
	if info.MaxConns != s.max {
		return fmt.Errorf("the group says its limit is %d; it is %d", info.MaxConns, s.max)
	}
	n, _ := s.System.Counts()
	if err := t.compare(n.Active, n.Uncounted, n.Parked, n.Accepted, info.Closed); err != nil || n.Ended != t.closed {
		return fmt.Errorf("the function given to Wait is given %+v; the ledger has %d ended: %w", n, t.closed, err)
	}
	draining, ready := s.closing, false
	for _, o := range s.ops {
		draining = draining || o.drain && o.l == nil && o.only == nil && !o.done
	}
	for _, l := range s.lns {
		if l.intent == gone {
			continue
		}
		state := l.h.Info().State
		if state != lgrp.StateClosed {
			open++
		}
		ready = ready || state == lgrp.StateAccepting || state == lgrp.StateFull
	}
	ready = ready && !draining
	if info.Draining != draining || info.Ready != ready || s.full.whole().Ready() != ready {
		return fmt.Errorf("the group says draining %v, ready %v; it should be %v, %v", info.Draining, info.Ready, draining, ready)
	}
	listed := 0
	for _, l := range s.lns {
		if l.intent != gone {
			listed++
		}
	}
	if len(info.Listeners) != listed && !s.closing {
		return fmt.Errorf("the group lists %d listeners; there are %d", len(info.Listeners), listed)
	}
	if n.Listeners != open && !s.closing {
		return fmt.Errorf("the function given to Wait is given %d listeners; there are %d", n.Listeners, open)
	}
	if !slices.IsSortedFunc(info.Listeners, func(a, b lgrp.ListenerInfo) int { return cmp.Compare(a.Serial, b.Serial) }) {
		return errors.New("the group lists its listeners in another order than that of adding them")
	}
	return nil
}

// noteFailed finds out which listeners have failed, as they were told to. s.mu is held.
func (s *State) noteFailed() {
	for _, l := range s.lns {
		if l.h != nil && l.fatal && open(l) && l.h.Info().State == lgrp.StateClosed && l.h.Info().Cause != nil {
			l.intent = failed
		}
	}
}

// checkListener checks one listener. s.mu is held.
func (s *State) checkListener(l *listener) error {
	if open(l) && l.fatal && l.h != nil && l.h.Info().State == lgrp.StateClosed {
		return errors.New("has failed without a cause")
	}
	waiting, taken := l.ln.Pending(), s.taken(l)
	if l.h == nil {
		if l.intent == accepting && waiting > 0 && s.room(l) && taken == 0 && l.sticky == nil && !l.fatal && s.clock()-l.errAt > s.comeback(l) {
			return fmt.Errorf("accepts, and does not serve the %d clients that wait", waiting)
		}
		return nil
	}
	info := l.h.Info()
	t := s.tally(l)
	if err := t.compare(info.Active, info.Uncounted, info.Parked, info.Accepted, info.Closed); err != nil {
		return err
	}
	if info.MaxConns != l.max {
		return fmt.Errorf("says its limit is %d; it is %d", info.MaxConns, l.max)
	}
	if err := s.checkFailures(l, info); err != nil {
		return err
	}
	if !s.real && (info.State != l.shown && info.Since.Sub(s.begun) < s.stepAt || info.State == l.shown && !l.since.IsZero() && info.Since.Before(l.since)) {
		return fmt.Errorf("is %v since %v, and was %v at %v", info.State, info.Since.Sub(s.begun), l.shown, s.stepAt)
	}
	l.shown, l.since = info.State, info.Since
	if (l.intent == released || l.intent == gone || l.intent == failed) && !l.door.closed && s.stopped(l) {
		return fmt.Errorf("is %v, and its socket is open", info.State)
	}
	want := map[intent]lgrp.ListenerState{paused: lgrp.StatePaused, released: lgrp.StateReleased, draining: lgrp.StateDraining,
		failed: lgrp.StateClosed, gone: lgrp.StateClosed}[l.intent]
	if l.intent != accepting {
		if info.State != want && !(l.intent == draining && s.closing && info.State == lgrp.StateClosed) {
			return fmt.Errorf("is %v; it should be %v", info.State, want)
		}
		return nil
	}
	return s.checkAccepting(l, info, t, waiting, taken)
}

// checkAccepting is about a listener that should accept.
func (s *State) checkAccepting(l *listener, info lgrp.ListenerInfo, t tally, waiting, taken int) error {
	if s.real && taken > 0 && l.slowest == 0 && l.sticky == nil {
		return errors.New("has a connection on its way")
	}
	bound := l.crew // of parked connections
	if l.policy.kind == "queue" {
		bound = 16
	}
	switch info.State {
	case lgrp.StateAccepting:
		if l.mustFail {
			return errors.New("accepts, and Accept failed for good")
		}
		if waiting > 0 && taken == 0 && !(l.slowest > 0 && l.errs) {
			return fmt.Errorf("accepts, and leaves %d clients waiting", waiting)
		}
		if t.parked > 0 && !l.swept && l.policy.kind != "queue" {
			return fmt.Errorf("accepts, and has %d parked", t.parked)
		}
	case lgrp.StateFull:
		if t.parked < bound && !l.swept && l.crew == 1 {
			return fmt.Errorf("is full, and has %d parked", t.parked)
		}
		if t.parked == 0 {
			return errors.New("is full, and has nobody parked")
		}
	case lgrp.StateBackingOff:
		since := info.Since.Sub(s.begun)
		switch {
		case !l.errs:
			return errors.New("backs off, and Accept has not failed")
		case info.Cause == nil:
			return errors.New("backs off without a cause")
		case s.clock()-since > time.Second && l.crew == 1 && !s.real:
			return errors.New("backs off for more than a second")
		}
		for _, c := range s.conns {
			if c.starts > 0 && c.over() && c.endedAt > since && l.crew == 1 && !s.real {
				return errors.New("backs off, and a connection of the group was closed since")
			}
		}
	default:
		return fmt.Errorf("is %v; it should be accepting", info.State)
	}
	if t.parked > bound && !l.swept {
		return fmt.Errorf("has %d parked", t.parked)
	}
	return nil
}
