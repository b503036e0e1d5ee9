package prop

import (
	"context"
	"fmt"

	"github.com/listengroup/listengroup/lgrp"
)

// waiter is a call of Wait.
type waiter struct {
	what string
	cond func(n lgrp.Counts) bool

	// guarded by State.mu
	done bool
	err  error
}

// doWait has somebody wait for something that is not so yet, or is.
func (s *State) doWait() {
	n, _ := s.System.Counts()
	all := []waiter{
		{what: "the next end", cond: func(m lgrp.Counts) bool { return m.Ended > n.Ended }},
		{what: "the next arrival", cond: func(m lgrp.Counts) bool { return m.Accepted > n.Accepted }},
		{what: "a change of who is served", cond: func(m lgrp.Counts) bool { return m.Active != n.Active || m.Uncounted != n.Uncounted }},
		{what: "a change of who waits", cond: func(m lgrp.Counts) bool { return m.Parked != n.Parked }},
		{what: "a change of listeners", cond: func(m lgrp.Counts) bool { return m.Listeners != n.Listeners }},
		{what: "rest", cond: func(m lgrp.Counts) bool { return m.Active+m.Uncounted+m.Parked == 0 }},
	}
	w := &all[s.number("what", len(all)-1)]
	s.more("%s", w.what)
	ctx, cancel := context.WithCancel(context.Background())
	s.Cleanup(cancel)
	s.waiters = append(s.waiters, w)
	go func() {
		err := s.full.whole().Wait(ctx, w.cond)
		s.mu.Lock()
		defer s.mu.Unlock()
		w.done, w.err = true, err
	}()
}

// checkWaiters checks that nobody waits for what has come. s.mu is held.
func (s *State) checkWaiters() error {
	n, _ := s.System.Counts()
	for _, w := range s.waiters {
		switch {
		case !w.done && w.cond(n):
			return fmt.Errorf("somebody waits for %s, which is there, and was not woken", w.what)
		case w.done && w.err != nil:
			return fmt.Errorf("somebody waited for %s: %w", w.what, w.err)
		}
	}
	return nil
}
