package prop

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// forceWait is what groups of World.Options give to handlers that they have forced.
const forceWait = time.Second

func bindContext(l *listener) context.Context {
	return context.WithValue(context.Background(), bindKey{}, l.spec.bind)
}

// addKey is the key of a value in the context that Add is given.
type addKey struct{}

// pending tells whether something is still going on with the binding of l.
func (s *State) pending(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.l == l && !o.done {
			return true
		}
	}
	return false
}

// signal says that a connection is asked to finish, at the latest by a time. s.mu is held.
func (s *State) signal(c *conn, deadline, by, slack time.Duration) {
	c.slack = max(c.slack, slack)
	if !c.maySignal || by < c.signalBy {
		c.signalBy = by
	}
	if c.maySignal = true; c.signals == 0 {
		c.told1 = deadline
	}
	c.signals++
	if c.deadline == 0 || deadline < c.deadline {
		c.deadline = deadline
	}
}

// stops tells whether a drain stops l. In real time it may be over before anybody looks, and something else added.
// s.mu is held.
func (o *op) stops(l *listener) bool {
	return o.only == nil && (o.l == l || o.l == nil && l.intent != gone) && !(o.real && l.step > o.step)
}

// update carries on what takes its time. s.mu is held.
func (s *State) update() {
	now := s.clock()
	for _, o := range s.ops {
		if !o.drain || s.full == nil {
			continue
		}
		if d := s.slowness(o.l); !o.done || d > 0 && !o.judged {
			o.slack = max(o.slack, d)
		}
		if begins := min(o.begins, o.deadline); !o.begun && now >= begins {
			o.begun = true
			s.begin(o)
		}
		if o.begun && o.only == nil && (!o.done || !o.judged) {
			for _, c := range s.conns {
				if c.sock != nil && !o.selected[c] && !o.before[c] && c.acceptedStep >= o.step && c.acceptedAt >= o.begins && (!o.done || c.acceptedAt <= o.at) && (o.l == nil || o.l == c.l) && !c.rejected {
					o.selected[c] = true
					s.signal(c, o.deadline, now, o.slack)
				}
			}
		}
	}
}

// begin is when a drain stops its listeners and chooses its connections. s.mu is held.
func (s *State) begin(o *op) {
	o.selected, o.first = map[*conn]bool{}, map[*conn]bool{}
	for _, l := range s.lns {
		if o.stops(l) && l.intent != gone && l.fatal && l.h.Info().Cause != nil && l.h.Info().State == lgrp.StateClosed {
			l.intent = failed // before the drain began, in the same step
		}
		if o.stops(l) && l.intent != gone && l.intent != failed {
			s.sweep(l)
			if o.begins >= o.deadline || o.slack > 0 || s.real {
				s.forsake(l) // the sweep ends at the deadline, and listeners may have to wait for each other
			}
			l.intent = draining
			l.touched.Store(true)
		}
	}
	for _, c := range s.conns {
		in := o.l == nil || o.l == c.l
		if o.only != nil {
			in = in && o.only(c)
		}
		if in && c.sock != nil && c.acceptedAt <= o.begins && !o.before[c] && !(c.over() && c.endedAt < o.begins) && !c.rejected {
			o.selected[c], o.first[c] = true, c.acceptedStep < s.step // later ones are asked at once
			s.signal(c, o.deadline, o.begins+o.spread, o.slack)
		}
	}
}

// slowness is how long a stop of l, or of any listener if l is nil, may have to wait for an Accept.
func (s *State) slowness(l *listener) (d time.Duration) {
	for _, each := range s.lns {
		if (l == nil || each == l) && (each.slowest > 0 && each.intent != failed || s.taken(each) > 0 || s.clock() < each.slowUntil) {
			d = max(d, each.slowest+each.slowUntil-s.clock()+4*forceWait, 4*forceWait)
		}
	}
	return d
}

func (s *State) slow(l *listener) bool { return s.slowness(l) > 0 }

// checkOps looks at what takes its time, and at what has come of it. s.mu is held.
func (s *State) checkOps() error {
	for _, o := range s.ops {
		if o.judged {
			continue
		}
		var err error
		switch {
		case !o.drain || s.full == nil:
			err = s.checkOp(o)
		case o.done:
			err = s.judge(o)
		default:
			err = s.checkLate(o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *State) checkOp(o *op) error {
	if o.done {
		o.judged = true
		if late := s.full == nil && s.closing; o.err != nil && !o.shutdown && !late {
			return fmt.Errorf("%s of listener %s: %w", o.what, o.l.id, o.err)
		}
		return nil
	}
	if s.real {
		return fmt.Errorf("%s has not returned", o.what)
	}
	if late := s.clock() - max(o.started, o.deadline); !s.slow(o.l) && !o.drain || late > 10*time.Second {
		return fmt.Errorf("%s has not returned, %v later", o.what, late)
	}
	return nil
}

// checkLate is about a drain that goes on.
func (s *State) checkLate(o *op) error {
	now := s.clock()
	slack := o.slack
	if o.shutdown && s.turningAway() {
		slack += forceWait
	}
	if now > o.deadline+2*forceWait+slack {
		if s.real && now < o.deadline+5*time.Second {
			return nil
		}
		return fmt.Errorf("%s has not returned, though its deadline has passed", o.what)
	}
	if err := s.checkSpread(o); err != nil {
		return err
	}
	if !o.begun || slack > 0 || now < o.begins+o.spread || o.shutdown && s.turningAway() {
		return nil
	}
	for c := range o.selected {
		if !c.over() {
			return nil
		}
	}
	return fmt.Errorf("%s has not returned, though its last connection is gone", o.what)
}

// turningAway tells whether clients are being told that there is no room.
func (s *State) turningAway() bool {
	for _, c := range s.conns {
		if c.rejected && !c.over() {
			return true
		}
	}
	return false
}

// judge is about a drain that has returned.
func (s *State) judge(o *op) error {
	o.judged = true
	if !o.begun {
		o.begun = true
		s.begin(o)
	}
	if err := s.checkSpread(o); err != nil {
		return err
	}
	var forced, stuck, unsure int
	var left []uint64
	last := min(o.begins, o.deadline)
	for _, c := range s.conns {
		if !o.selected[c] {
			continue
		}
		switch {
		case c.starts == 0 && c.over() && c.decided == lgrp.ReasonNone,
			c.starts == 0 && c.l.policy.kind == "reject",
			c.gone && c.startedStep >= o.step && c.over() && c.endedAt <= o.begins,
			c.over() && c.endedAt <= o.begins && s.reason(c) == lgrp.ReasonEvicted:
			// Too late to be selected, turned away, forced, or over before it could be: nobody can tell.
			unsure++
			if c.over() && c.endedAt <= o.at {
				last = max(last, c.endedAt)
			}
			continue
		case !c.over() || c.endedAt > o.at:
			stuck++
			if c.any != nil {
				left = append(left, c.any.ID())
			}
			continue
		case s.reason(c) == lgrp.ReasonForced || c.starts == 0 && c.decided == lgrp.ReasonForced:
			forced++
		}
		last = max(last, c.endedAt)
	}
	for _, l := range s.lns {
		if o.stops(l) {
			l.intent = gone
		}
	}
	unsure += int(o.slack) // nanoseconds
	failed := forced+stuck > 0
	if o.abrupt {
		failed = stuck > 0
	}
	if (o.err != nil) != failed && !s.real && unsure == 0 {
		return fmt.Errorf("%s returned %v; of its %d connections %d were forced and %d are stuck", o.what, o.err, len(o.selected), forced, stuck)
	}
	if r := o.rep; r != nil {
		total := r.Finished + r.Forced + len(r.Stuck)
		if total > len(o.selected) || total < len(o.selected)-unsure {
			return fmt.Errorf("%s reports on %d connections (%d finished, %d forced, %d stuck), and it was about %d",
				o.what, total, r.Finished, r.Forced, len(r.Stuck), len(o.selected))
		}
		if !s.real && (r.Forced != forced || len(r.Stuck) != stuck) && unsure == 0 {
			return fmt.Errorf("%s reports %d forced and %d stuck; there were %d and %d", o.what, r.Forced, len(r.Stuck), forced, stuck)
		}
		if took := o.at - o.started; r.Took > took || r.Took < took && o.step < s.step && !o.shutdown && !s.real {
			return fmt.Errorf("%s took %v, and reports %v", o.what, took, r.Took)
		}
		slices.Sort(left)
		for i, info := range r.Stuck {
			if unsure == 0 && !s.real && info.ID != left[i] {
				return fmt.Errorf("%s reports that connection %d is stuck; it is %d", o.what, info.ID, left[i])
			}
		}
	}
	if s.real || o.slack > 0 || o.shutdown && s.turnedAway() {
		return nil
	}
	if stuck > 0 {
		last = o.deadline + forceWait
	}
	if o.at > max(last, min(o.begins+o.spread, o.deadline)) && o.at > last {
		return fmt.Errorf("%s returned %v after it could have", o.what, o.at-last)
	}
	if stuck > 0 && o.at < o.deadline+forceWait {
		return fmt.Errorf("%s returned before handlers had had their time, and some still run", o.what)
	}
	return nil
}

// checkSpread checks that no more connections have been asked to finish than should have been by now. s.mu is held.
func (s *State) checkSpread(o *op) error {
	if o.spread <= 0 || !o.begun || o.slack > 0 || s.real || o.only != nil {
		return nil
	}
	asked, now := 0, min(s.clock(), o.deadline)
	for _, c := range s.conns {
		if o.first[c] && c.signals == 1 && c.any != nil && c.any.Info().Draining && (s.reason(c) == lgrp.ReasonNone || s.reason(c) == lgrp.ReasonDrained) {
			asked++
		}
	}
	due := 1 + int(float64(now-o.begins)*float64(len(o.first))/float64(o.spread))
	if asked > due {
		return fmt.Errorf("%s is spread over %v, and has asked %d of %d connections %v later", o.what, o.spread, asked, len(o.first), now-o.begins)
	}
	return nil
}

func (s *State) turnedAway() bool {
	for _, l := range s.lns {
		if l.policy.kind == "reject" {
			return true
		}
	}
	return false
}

// reason is what a group says of a connection that has had a handler.
func (s *State) reason(c *conn) lgrp.Reason {
	if c.any == nil || s.full == nil {
		return c.decided
	}
	return c.any.Info().Reason
}
