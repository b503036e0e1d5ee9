package prop

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// inspect compares what a group says of a connection that it lists with the ledger. s.mu is held.
func (s *State) inspect(c *conn, info lgrp.ConnInfo) error {
	if info.ListenerID != c.l.id || c.l.h != nil && info.ListenerSerial != c.l.h.Serial() {
		return fmt.Errorf("is shown as one of %s", info.ListenerID)
	}
	if at := info.AcceptedAt.Sub(s.begun); at != c.acceptedAt && !s.real {
		return fmt.Errorf("was accepted at %v, and is shown as accepted at %v", c.acceptedAt, at)
	}
	if c.starts == 0 || c.returned || info.Reason != lgrp.ReasonNone {
		return nil
	}
	found, yielded := s.full.conn(info.ID)
	switch {
	case info.Parked:
		return errors.New("is being served, and shown as parked")
	case info.Counted == c.uncounted:
		return fmt.Errorf("is shown as having a slot: %v; it should be %v", info.Counted, !c.uncounted)
	case !c.uncounted && info.Idle != (c.idle > 0):
		return fmt.Errorf("is shown as idle: %v; it should be %v", info.Idle, c.idle > 0)
	case found == c.shaking || yielded == c.shaking:
		return fmt.Errorf("is in its handshake: %v; Conn finds it: %v, Conns yields it: %v", c.shaking, found, yielded)
	}
	return s.checkAsked(c, info)
}

// checkAsked is about what a connection that goes on knows of drains.
func (s *State) checkAsked(c *conn, info lgrp.ConnInfo) error {
	if info.Draining != c.any.IsDraining() {
		return fmt.Errorf("is shown as draining: %v; IsDraining says %v", info.Draining, c.any.IsDraining())
	}
	if c.drainCh != nil || info.Draining {
		ch := c.drainCh
		if ch == nil {
			ch = c.any.Draining()
		}
		closed := false
		select {
		case <-ch:
			closed = true
		default:
		}
		if closed != info.Draining {
			return fmt.Errorf("is shown as draining: %v; its channel Draining is closed: %v", info.Draining, closed)
		}
	}
	if !info.Draining {
		return nil
	}
	if c.told != 1 {
		return fmt.Errorf("was asked to finish, and an OnDrain function has run %d times", c.told)
	}
	t, ok := c.any.DrainDeadline()
	by := t.Sub(s.begun)
	switch {
	case s.real || c.slack > 0:
	case c.signals == 1 && c.signalBy <= s.clock() && (ok != (c.told1 < never) || ok && by != c.told1):
		return fmt.Errorf("is to be over by %v, and was told %v", c.told1, by)
	case ok && by < c.deadline:
		return fmt.Errorf("may go on until %v, and was told to be over by %v", c.deadline, by)
	case c.shownBy > 0 && (!ok || by > c.shownBy):
		return errors.New("was told to be over by one time, and then by a later one")
	}
	if ok {
		c.shownBy = by
	}
	return nil
}

// never is the deadline of a drain that has none.
const never = time.Duration(1) << 60

// checkEvents compares the events of a connection with the ledger. s.mu is held.
func (s *State) checkEvents(c *conn) error {
	if !s.wired || s.real {
		return nil
	}
	opened := s.heard.openings(c.ends)
	if c.any == nil {
		if opened > 0 && (c.rejected || c.waiting()) {
			return errors.New("never got a slot, and there was an event of its opening")
		}
		return nil
	}
	end := s.heard.end(c.any.ID())
	switch r := s.reason(c); {
	case opened != 1:
		return fmt.Errorf("has a slot, and there were %d events of its opening", opened)
	case !c.over() && end.times > 0:
		return errors.New("goes on, and there was an event of its end")
	case !c.over():
		return nil
	case end.times != 1:
		return fmt.Errorf("is over, and there were %d events of its end", end.times)
	case end.why != r:
		return fmt.Errorf("ended as %v, and the event says %v", r, end.why)
	case c.decided == r && c.wantErr != nil && !errors.Is(end.err, c.wantErr):
		return fmt.Errorf("ended with %v, and the event says %v", c.wantErr, end.err)
	case c.wantErr == nil && c.wantCause != nil && !errors.Is(end.err, c.wantCause):
		return fmt.Errorf("ended because of %v, and the event says %v", c.wantCause, end.err)
	}
	return nil
}

// checkTurnedAway is about a connection that is being told that there is no room.
func (s *State) checkTurnedAway(c *conn) error {
	telling := 0
	for _, d := range s.conns {
		if d.rejected && !d.over() {
			telling++
		}
	}
	switch {
	case telling > 64:
		return fmt.Errorf("was turned away as one of %d at one time", telling)
	case c.gone || s.real:
	case c.text != "full\n":
		return fmt.Errorf("was turned away, and its client was told %q", c.text)
	case !errors.Is(c.readErr, io.EOF):
		return fmt.Errorf("was turned away, and its client does not see the end of the reply: %v", c.readErr)
	}
	return nil
}

// ownCause is what a group ends connections with by itself, for each reason.
var ownCause = map[lgrp.Reason]error{
	lgrp.ReasonForced:          lgrp.ErrDrained,
	lgrp.ReasonEvicted:         lgrp.ErrEvicted,
	lgrp.ReasonListenerRemoved: lgrp.ErrListenerRemoved,
}
