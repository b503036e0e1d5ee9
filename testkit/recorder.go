package testkit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Recorder writes down what happens to listeners and connections, as text that is the same from run to
// run, and checks it against the promises that every group of listeners keeps. The zero value is
// ready for use; its methods may be called by several goroutines at once and never block.
//
// It knows no particular server. For a ListenGroup, prop.Events makes the Events that feed it.
type Recorder struct {
	mu     sync.Mutex
	start  time.Time
	events []event
}

type eventKind uint8

const (
	kindState eventKind = iota
	kindOpened
	kindUncounted
	kindClosed
	kindLimit
	kindAcceptError
	kindStopped
	kindNote
)

type event struct {
	at       time.Duration // since the first event
	kind     eventKind
	conn     uint64
	listener string
	text     string
	from, to string // kindState
	limit    int    // kindLimit
	stuck    []uint64
}

func (r *Recorder) add(e event) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.start.IsZero() {
		r.start = now
	}
	e.at = now.Sub(r.start)
	r.events = append(r.events, e)
}

// ListenerState records that a listener went from one state to another. The id must be a different
// one for every listener, so give a listener that took over an id a suffix.
func (r *Recorder) ListenerState(id, from, to string) {
	r.add(event{kind: kindState, listener: id, from: from, to: to, text: fmt.Sprintf("listener %s: %s -> %s", id, from, to)})
}

// ConnOpened records that a connection of a listener was admitted.
func (r *Recorder) ConnOpened(id uint64, listener string) {
	r.add(event{kind: kindOpened, conn: id, listener: listener, text: fmt.Sprintf("conn %d on %s: opened", id, listener)})
}

// ConnClosed records that a connection ended, why, and with which error, which may be nil.
func (r *Recorder) ConnClosed(id uint64, listener, reason string, err error) {
	text := fmt.Sprintf("conn %d on %s: closed, %s", id, listener, reason)
	if err != nil {
		text += ": " + err.Error()
	}
	r.add(event{kind: kindClosed, conn: id, listener: listener, text: text})
}

// ConnUncounted records that a connection gave its slot back before its end.
func (r *Recorder) ConnUncounted(id uint64) {
	r.add(event{kind: kindUncounted, conn: id, text: fmt.Sprintf("conn %d: uncounted", id)})
}

// AcceptError records that accepting failed and is tried again after retryIn; below 0: never. The text has
// retryIn rounded up to 1, 2 or 5 times a power of ten, since servers shorten such waits by chance, up to a
// fifth as a rule, so that several do not go in step. When a server tries again is not rounded: where
// something is recorded at that time, give it a policy without chance.
func (r *Recorder) AcceptError(listener string, err error, retryIn time.Duration) {
	next := "given up"
	switch {
	case retryIn == 0:
		next = "retry at once"
	case retryIn > 0:
		next = fmt.Sprintf("retry within %v", roundUp(retryIn))
	}
	r.add(event{kind: kindAcceptError, listener: listener, text: fmt.Sprintf("listener %s: %v, %s", listener, err, next)})
}

// roundUp takes d to the next of 1, 2, 5, 10, 20, 50, …: d and four fifths of d come to the same wherever d is
// what a back-off takes by itself.
func roundUp(d time.Duration) time.Duration {
	for unit := time.Duration(1); unit < time.Hour; unit *= 10 {
		for _, n := range [...]time.Duration{1, 2, 5} {
			if d <= n*unit {
				return n * unit
			}
		}
	}
	return d
}

// Limit records the most connections that a listener, or with the id "" the group, may have from now on;
// 0 or less: any number. Check then counts. The limit of "web" is also that of a listener "web#2", as a number after
// an id tells listeners apart that used the same one, unless "web#2" has been given one by that name.
func (r *Recorder) Limit(listener string, n int) {
	who := "group"
	if listener != "" {
		who = "listener " + listener
	}
	r.add(event{kind: kindLimit, listener: listener, limit: n, text: fmt.Sprintf("%s: limit %d", who, n)})
}

// Stopped records that the shutdown has returned, and which connections it said were stuck.
func (r *Recorder) Stopped(stuck ...uint64) {
	text := "stopped"
	if len(stuck) > 0 {
		text = fmt.Sprintf("stopped, stuck: %v", stuck)
	}
	r.add(event{kind: kindStopped, stuck: slices.Clone(stuck), text: text})
}

// Note records anything else, for the text only.
func (r *Recorder) Note(format string, args ...any) {
	r.add(event{kind: kindNote, text: fmt.Sprintf(format, args...)})
}

// String returns the events, one a line, with the time since the first. Those of one instant are sorted by
// their text: which of several goroutines came first in a bubble's instant differs from run to run.
func (r *Recorder) String() string {
	var b strings.Builder
	for _, e := range r.sorted(func(x, y event) int { return strings.Compare(x.text, y.text) }) {
		fmt.Fprintf(&b, "%v %s\n", e.at, e.text)
	}
	return b.String()
}

func (r *Recorder) sorted(within func(x, y event) int) []event {
	r.mu.Lock()
	events := slices.Clone(r.events)
	r.mu.Unlock()
	slices.SortStableFunc(events, func(x, y event) int { return cmp.Or(cmp.Compare(x.at, y.at), within(x, y)) })
	return events
}
