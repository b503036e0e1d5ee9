package prop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// failures are the errors that Accept has returned at one binding, and how long lgrp.DefaultAcceptBackoff waits
// after each.
type failures struct {
	row   int // since the last connection
	last  time.Duration
	waits []wait
}

// wait is what may be said of a wait; negative: there is no other try.
type wait struct{ least, most time.Duration }

// add notes what Accept has answered.
func (f *failures) add(err error, now time.Duration) {
	switch {
	case err == nil:
		f.row = 0
		return
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), errors.Is(err, errPanic):
		return // it was told to return, or does not
	}
	f.row++
	f.last = now
	f.waits = append(f.waits, waitAfter(err, f.row))
}

func waitAfter(err error, row int) wait {
	is := func(e error) bool { return errors.Is(err, e) }
	switch {
	case slices.ContainsFunc(capacity, is):
	case slices.ContainsFunc(transient, is):
		if row--; row == 0 {
			return wait{}
		}
	default:
		return wait{-1, -1}
	}
	d := time.Second
	if row < 9 {
		d = min(5*time.Millisecond<<(row-1), d)
	}
	return wait{d - d/5, d}
}

// early returns what is wrong with an Accept that begins now; connections of the group were last closed at freed.
func (f *failures) early(now, freed time.Duration) string {
	if f.row == 0 || len(f.waits) == 0 {
		return ""
	}
	if w := f.waits[len(f.waits)-1]; freed < f.last && now-f.last < w.least {
		return fmt.Sprintf("Accept was tried again %v after its error number %d in a row, and should wait for %v at least", now-f.last, f.row, w.least)
	}
	return ""
}

// checkFailures compares what the group has told of failed Accepts, and of the states of a listener, with what there was.
// s.mu is held.
func (s *State) checkFailures(l *listener, info lgrp.ListenerInfo) error {
	heard := s.heard.listener(info.Serial)
	if !s.wired && !heard.any {
		return nil // the events go elsewhere
	}
	if heard.state != info.State {
		return fmt.Errorf("is %v, and the last that was told of it is %v", info.State, heard.state)
	}
	if l.touched.Load() || l.crew > 1 || s.model.New != nil || s.real {
		return nil // some errors mean nothing then, or mean something else, and each acceptor counts its own
	}
	waits := l.door.failures.waits
	if len(waits) > 20 {
		return nil // at most 64 things wait to be told, and each failure may be three, with the moves to and fro
	}
	if len(heard.retries) != len(waits) {
		return fmt.Errorf("has failed to accept %d times, and told of %d", len(waits), len(heard.retries))
	}
	for i, w := range waits {
		if d := heard.retries[i]; max(d, -1) < w.least || d > w.most {
			return fmt.Errorf("said of its failed Accept number %d that it %s; it should be that it %s", i+1, planned(d), expected(w.least, w.most))
		}
	}
	return nil
}

// planned says what was told, without what is left to chance.
func planned(d time.Duration) string {
	switch {
	case d < 0:
		return "closes the listener"
	case d == 0:
		return "tries again at once"
	case d < 40*time.Millisecond:
		return "tries again in some milliseconds"
	case d < 800*time.Millisecond:
		return "tries again in many milliseconds"
	}
	return "tries again in about a second or more"
}

func expected(least, most time.Duration) string {
	if most <= 0 {
		return planned(most)
	}
	return fmt.Sprintf("tries again in %v to %v", least, most)
}
