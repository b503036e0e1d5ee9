package memconn

import (
	"sync"
	"time"
)

// minBuffer is the first buffer of a direction: most messages fit, and an idle connection stays small.
const minBuffer = 512

// half is one direction of a connection. Everything in it is guarded by its pair's lock.
type half struct {
	p *pair

	buf  []byte // what was sent: buf[off:] is unread
	off  int
	lent []byte // Options.Sync: what the Write under way still has to hand over

	// Only with latency: the first ready unread bytes have arrived, the others will in these steps.
	ready   int
	arrives []arrival

	end      error     // what reads answer at the end of the stream, once endAt has come
	endAt    time.Time // zero: at once
	broken   error     // what writes answer when the reading end is gone, once brokenAt has come
	brokenAt time.Time
	shut     bool // CloseRead: drop what arrives
	writing  bool // a Write owns the direction, so that two do not mix their bytes

	reader, writer side
}

type arrival struct {
	n  int
	at time.Time
}

// arrival is when something sent now is seen by the other end; zero: at once.
func (p *pair) arrival() time.Time {
	if p.latency == 0 {
		return time.Time{}
	}
	return time.Now().Add(p.latency)
}

func (h *half) unread() int { return len(h.buf) - h.off + len(h.lent) }

// put takes over as much of b as there is room for.
func (h *half) put(b []byte, now time.Time) int {
	n := len(b)
	switch {
	case n == 0 || h.shut:
		return n
	case h.p.sync:
		h.lent = b
	default:
		n = min(n, h.p.size-h.unread())
		if n == 0 {
			return 0
		}
		h.store(b[:n])
	}
	if h.p.latency > 0 {
		at := now.Add(h.p.latency)
		if last := len(h.arrives) - 1; last >= 0 && h.arrives[last].at.Equal(at) {
			h.arrives[last].n += n
		} else {
			h.arrives = append(h.arrives, arrival{n, at})
		}
	}
	h.reader.cond.Broadcast()
	return n
}

func (h *half) store(b []byte) {
	if h.off > 0 && len(h.buf)+len(b) > cap(h.buf) {
		h.buf, h.off = h.buf[:copy(h.buf, h.buf[h.off:])], 0
	}
	if h.buf == nil {
		h.buf = make([]byte, 0, max(minBuffer, len(b)))
	}
	h.buf = append(h.buf, b...)
}

// take moves what has arrived to b.
func (h *half) take(b []byte, now time.Time) int {
	if h.p.latency > 0 {
		for len(h.arrives) > 0 && !now.Before(h.arrives[0].at) {
			h.ready += h.arrives[0].n
			h.arrives = h.arrives[1:]
		}
		b = b[:min(len(b), h.ready)]
	}
	var n int
	if h.p.sync {
		n = copy(b, h.lent)
		h.lent = h.lent[n:]
		if n > 0 && len(h.lent) == 0 {
			h.writer.cond.Broadcast()
		}
	} else {
		n = copy(b, h.buf[h.off:])
		if h.off += n; h.off == len(h.buf) {
			h.buf, h.off = h.buf[:0], 0
		}
		if n > 0 {
			h.writer.cond.Broadcast()
		}
	}
	if h.p.latency > 0 {
		h.ready -= n
	}
	return n
}

// nextArrival is when a waiting reader has to look again; zero: when it is told.
func (h *half) nextArrival() time.Time {
	if len(h.arrives) > 0 {
		return h.arrives[0].at
	}
	return h.endAt
}

// withdraw takes back what a synchronous Write did not get rid of.
func (h *half) withdraw() int {
	n := len(h.lent)
	if n > 0 {
		h.discard()
	}
	return n
}

func (h *half) discard() {
	h.buf, h.off, h.lent = nil, 0, nil
	h.ready, h.arrives = 0, nil
}

// finish sets how the stream ends; the first end stays.
func (h *half) finish(end error, at time.Time) {
	if h.end == nil {
		h.end, h.endAt = end, at
	}
}

// side is where one end of a direction waits.
type side struct {
	cond     sync.Cond
	deadline time.Time
	timer    *time.Timer
}

func (s *side) timed(latency time.Duration) bool { return latency > 0 || !s.deadline.IsZero() }

func (s *side) expired(now time.Time) bool { return !s.deadline.IsZero() && !now.Before(s.deadline) }

// wait waits to be told that something changed, or for the deadline, or for until when it is set.
// The timer is armed here and not where deadlines are set, since most operations never wait: setting
// a deadline before every read then costs one store. Whoever is woken looks again; a timer that fires
// for an older deadline does no harm.
func (s *side) wait(now, until time.Time) {
	if until.IsZero() || !s.deadline.IsZero() && s.deadline.Before(until) {
		until = s.deadline
	}
	if !until.IsZero() {
		d := until.Sub(now)
		if s.timer == nil {
			s.timer = time.AfterFunc(d, s.wake)
		} else {
			s.timer.Reset(d)
		}
	}
	s.cond.Wait()
}

func (s *side) wake() {
	s.cond.L.Lock()
	defer s.cond.L.Unlock()
	s.cond.Broadcast()
}

func (s *side) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// monotonic ties t to the monotonic clock, so that setting the wall clock moves no deadline.
func monotonic(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	now := time.Now()
	return now.Add(t.Sub(now))
}
