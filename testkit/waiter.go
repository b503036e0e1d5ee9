package testkit

import (
	"sync"
	"time"
)

// waiter is a condition with a time limit. sync.Cond is durably blocking, so a wait does not stop a
// bubble's clock, and no lock is held during it.
type waiter struct {
	cond  sync.Cond
	timer *time.Timer
}

// wait waits for a Broadcast, or until the given time if it is not zero. It may return early.
func (w *waiter) wait(until time.Time) {
	if !until.IsZero() {
		d := time.Until(until)
		if w.timer == nil {
			w.timer = time.AfterFunc(d, w.wake)
		} else {
			w.timer.Reset(d)
		}
	}
	w.cond.Wait()
}

// wake is for callers that do not hold the lock.
func (w *waiter) wake() {
	w.cond.L.Lock()
	defer w.cond.L.Unlock()
	w.cond.Broadcast()
}

// expired tells whether a deadline has passed.
func expired(deadline time.Time) bool { return !deadline.IsZero() && time.Until(deadline) <= 0 }

// monotonic ties t to the monotonic clock, so that setting the wall clock moves no deadline.
func monotonic(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	now := time.Now()
	return now.Add(t.Sub(now))
}
