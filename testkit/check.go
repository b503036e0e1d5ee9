package testkit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxErrorsAtOnce is how many accept errors a listener may meet in one instant: more is a spin.
const maxErrorsAtOnce = 100

// Check returns what in the record breaks a promise, nil if nothing does:
//
//   - every connection is opened once, closed once, by the same listener, and in that order; when Stopped
//     was recorded, all but the stuck ones are closed by then;
//   - nothing is opened after Stopped;
//   - no connection is admitted above a recorded Limit, counting the admitted ones that are neither closed nor
//     uncounted;
//   - a listener's states follow on from each other, and none follows "closed";
//   - no listener meets more than 100 accept errors in one instant.
//
// A server may tell of an end after it has handed the slot on, so within an instant nothing is said about the
// order of ends and admissions of different connections, nor about that of admissions and a change of a limit: until the
// next instant the kindest of its values counts. Only a limit that is recorded before any admission that it could be about
// counts from the first. Limits are therefore only exact in bubbles.
func (r *Recorder) Check() error {
	c := checker{conns: map[uint64]*connRecord{}, states: map[string]string{}, limits: map[string]int{},
		counts: map[string]int{}, spins: map[string]int{}, admitted: map[string]bool{}}
	events := r.sorted(func(x, y event) int { return 0 })
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].at == events[0].at {
			n++
		}
		c.instant(events[:n])
		events = events[n:]
	}
	return errors.Join(c.errs...)
}

type checker struct {
	now     time.Duration
	errs    []error
	conns   map[uint64]*connRecord
	states  map[string]string
	limits  map[string]int
	counts  map[string]int // admitted and counted, by listener, "" for all
	spins   map[string]int
	stopped bool

	admitted map[string]bool // a connection has been, of a listener or, with "", of any
}

type connRecord struct {
	listener       string
	opened, closed bool
	freed          bool // closed or uncounted: it has no slot
	counted        bool // slots has counted it
}

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%v: %s", c.now, fmt.Sprintf(format, args...)))
}

func (c *checker) instant(events []event) {
	c.now = events[0].at
	clear(c.spins)
	for _, e := range events {
		c.life(e)
	}
	c.slots(events)
}

// slots counts admissions. Of the orders in which an instant's events may have happened it takes the kindest to
// the server: ends first, then the connections that begin and end in the instant one after the other, then
// those that stay. Of a limit that is lowered in the instant the old value counts, which is none if there was none.
func (c *checker) slots(events []event) {
	var stay []event
	for _, e := range events {
		switch e.kind {
		case kindOpened:
			c.admitted[e.listener], c.admitted[base(e.listener)], c.admitted[""] = true, true, true
		case kindLimit:
			old, known := c.limits[e.listener]
			if !known && !c.admitted[e.listener] || e.limit <= 0 || old > 0 && e.limit > old {
				c.limits[e.listener] = e.limit
			}
		case kindClosed, kindUncounted:
			if conn := c.conn(e.conn); conn.counted {
				conn.counted = false
				c.count(conn.listener, -1)
			}
		}
	}
	for _, e := range events {
		if e.kind != kindOpened {
			continue
		}
		if conn := c.conn(e.conn); !conn.freed {
			stay = append(stay, e)
			continue
		}
		c.admit(e)
		c.count(e.listener, -1)
	}
	for _, e := range stay {
		c.admit(e)
		c.conn(e.conn).counted = true
	}
	for _, e := range events {
		if e.kind == kindLimit {
			c.limits[e.listener] = e.limit
		}
	}
}

func (c *checker) count(listener string, n int) {
	c.counts[listener] += n
	c.counts[""] += n
}

func (c *checker) admit(e event) {
	c.count(e.listener, 1)
	for _, who := range [...]string{e.listener, ""} {
		limit, known := c.limits[who]
		if !known {
			limit = c.limits[base(who)]
		}
		if limit > 0 && c.counts[who] > limit {
			c.fail("connection %d was admitted as number %d of %s, whose limit is %d",
				e.conn, c.counts[who], cmp.Or(who, "the group"), limit)
		}
	}
}

// base is a listener's id without the number that tells it apart from others that used the same one.
func base(listener string) string {
	id, n, ok := strings.Cut(listener, "#")
	if _, err := strconv.ParseUint(n, 10, 64); !ok || id == "" || err != nil {
		return listener
	}
	return id
}

func (c *checker) life(e event) {
	switch e.kind {
	case kindState:
		last, known := c.states[e.listener]
		switch {
		case known && strings.EqualFold(last, "closed"):
			c.fail("listener %s went to %s after it was closed", e.listener, e.to)
		case known && last != e.from:
			c.fail("listener %s went from %s to %s, but was %s", e.listener, e.from, e.to, last)
		}
		c.states[e.listener] = e.to
	case kindOpened:
		switch conn := c.conn(e.conn); {
		case conn.opened:
			c.fail("connection %d was opened twice", e.conn)
		case c.stopped:
			c.fail("connection %d was opened after the shutdown had returned", e.conn)
		default:
			conn.opened, conn.listener = true, e.listener
		}
	case kindClosed:
		conn := c.conn(e.conn)
		switch {
		case !conn.opened:
			c.fail("connection %d was closed but never opened", e.conn)
		case conn.closed:
			c.fail("connection %d was closed twice", e.conn)
		case conn.listener != e.listener:
			c.fail("connection %d was opened by %s and closed by %s", e.conn, conn.listener, e.listener)
		}
		conn.closed, conn.freed = true, true
	case kindUncounted:
		c.conn(e.conn).freed = true
	case kindAcceptError:
		if c.spins[e.listener]++; c.spins[e.listener] == maxErrorsAtOnce+1 {
			c.fail("listener %s met more than %d accept errors at once", e.listener, maxErrorsAtOnce)
		}
	case kindStopped:
		c.stopped = true
		for _, id := range slices.Sorted(maps.Keys(c.conns)) {
			conn := c.conns[id]
			if conn.opened && !conn.closed && !slices.Contains(e.stuck, id) {
				c.fail("connection %d was open when the shutdown returned", id)
			}
		}
	}
}

func (c *checker) conn(id uint64) *connRecord {
	if c.conns[id] == nil {
		c.conns[id] = &connRecord{}
	}
	return c.conns[id]
}
