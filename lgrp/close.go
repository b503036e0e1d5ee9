package lgrp

import (
	"net"
	"time"
)

// end is how a connection is told that it is over, whoever says so. It
// reports whether this call was the first.
//
// The order is a promise: reason and cause, then the context, then the
// socket. A connection that waits for a slot has no goroutine that would see
// any of it, so end takes it out of the queue and finishes it too.
func (c *AnyConn) end(r Reason, cause error) bool {
	if !c.settle(r, cause) {
		return false
	}
	c.endSettled()
	return true
}

// endSettled is the rest of end.
func (c *AnyConn) endSettled() {
	if c.l != nil && c.has(flagParked) {
		defer c.l.g.abandon(c, ReasonKilled, ErrKilled) // whose reason is set already
	}
	c.closeSocket()
}

// settle sets the reason, unless there is one, and ends the context.
func (c *AnyConn) settle(r Reason, cause error) bool {
	c.mu.Lock()
	if c.has(flagEnded) {
		c.mu.Unlock()
		return false
	}
	c.cause = cause
	now := flagEnded | uint32(r)<<reasonShift
	if r == ReasonForced {
		now |= flagDraining // who only looks there must not miss it
	}
	before := c.flags.Or(now)
	if c.done != nil {
		close(c.done)
	}
	var after *callback
	if s := c.side.Load(); s != nil {
		if now&^before&flagDraining != 0 && s.drainCh != nil {
			close(s.drainCh)
		}
		after = s.after.take()
		if s.timer != nil {
			s.timer.Stop()
		}
	}
	c.mu.Unlock()
	for ; after != nil; after = after.next {
		after.f()
	}
	return true
}

// closeSocket closes what Accept returned, exactly once, whoever comes first.
func (c *AnyConn) closeSocket() {
	if c.raw == nil || c.flags.Or(flagClosing)&flagClosing != 0 {
		return
	}
	defer c.socketClosed()
	_ = c.raw.Close()
}

// socketClosed is deferred, since a Close of the application's making may
// panic or call Goexit: the socket is taken for closed.
func (c *AnyConn) socketClosed() {
	if v := recover(); v != nil {
		c.l.g.logPanic("Close method", newPanicError(v), c)
	}
	c.set(flagClosed)
	if s := c.side.Load(); s != nil {
		c.mu.Lock()
		if s.closedCh != nil {
			close(s.closedCh)
			s.closedCh = nil
		}
		c.mu.Unlock()
	}
}

// awaitClosed returns when the socket is closed, for the case that another
// goroutine is at it.
func (c *AnyConn) awaitClosed() {
	if c.has(flagClosed) {
		return
	}
	s := c.needSide()
	c.mu.Lock()
	// The closer sets the flag before it looks for a side record and takes mu,
	// so either the flag is seen here or the closer sees this channel.
	if c.has(flagClosed) {
		c.mu.Unlock()
		return
	}
	if s.closedCh == nil {
		s.closedCh = make(chan struct{})
	}
	ch := s.closedCh
	c.mu.Unlock()
	<-ch
}

// Draining returns a channel that is closed when the connection should finish
// soon: its listener or group is being drained, or Drain was called. What ends
// by force was asked too, be it at the same moment. A handler
// that waits in Read is woken by OnDrain more cheaply than by a goroutine that
// waits here.
func (c *AnyConn) Draining() <-chan struct{} {
	s := c.needSide()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.drainCh == nil {
		s.drainCh = make(chan struct{})
		if c.has(flagDraining) {
			close(s.drainCh)
		}
	}
	return s.drainCh
}

// IsDraining reports whether the connection has been asked to finish: it is a
// look at Draining that costs nothing.
func (c *AnyConn) IsDraining() bool { return c.has(flagDraining) }

// OnDrain arranges for f to be called, on a goroutine of its own, when the
// connection should finish soon; at once if that has begun. It is
// [context.AfterFunc] for draining: until then it costs no goroutine. stop
// undoes it and reports whether it came in time to keep f from running. f is
// not started once the connection has ended. The connection is not over, and
// Shutdown does not return, before f has; if f panics, the connection ends
// with ReasonPanic.
//
//	c.OnDrain(func() { nc.SetReadDeadline(time.Now()) })
//
// Middleware, after which others use the connection, has [AnyConn.WakeOnDrain]
// for that, since f may be about to set the deadline while stop is called. A
// handler woken like that should return nil if IsDraining, so that the end
// counts as ReasonDrained and not as a time-out. And it may be woken before its
// first Read, for clients that waited in the kernel's queue are served during
// the drain: where they speak first, what they have sent is still unread, and
// closing then resets them. A protocol that minds gives them a moment instead
// of time.Now().
func (c *AnyConn) OnDrain(f func()) (stop func() bool) {
	s := c.needSide()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.has(flagEnded):
	case c.has(flagDraining):
		s.running++
		c.goOnDrain(f)
	default:
		cb := s.onDrain.add(f)
		return func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return s.onDrain.remove(cb)
		}
	}
	return func() bool { return false }
}

// WakeOnDrain has reads of nc time out when the connection should finish soon; at
// once if that has begun. It is [AnyConn.OnDrain] with a read deadline, for
// middleware that waits for something and then goes on: done ends it, takes nc's
// read deadline away, whoever set it, and when it returns none will come any
// more; called again it does nothing. Deadlines of your own are set before. Both
// may be called on any goroutine; done waits for a SetReadDeadline under way.
//
//	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
//	done := c.WakeOnDrain(nc)
//	line, nc, err := netx.ReadLine(nc, 256)
//	done()
func (c *AnyConn) WakeOnDrain(nc net.Conn) (done func()) {
	turn := make(chan struct{}, 1) // whoever has put something in sets the deadline
	over := false
	set := func(t time.Time, last bool) {
		turn <- struct{}{}
		defer func() { <-turn }()
		if !over {
			over = last
			_ = nc.SetReadDeadline(t)
		}
	}
	stop := c.OnDrain(func() { set(time.Unix(1, 0), false) })
	return func() {
		stop()
		set(time.Time{}, true)
	}
}

// goOnDrain runs f, which side.running has been raised for.
func (c *AnyConn) goOnDrain(f func()) {
	if c.l != nil {
		c.l.g.taskStarts()
	}
	go func() {
		returned := false
		defer func() {
			if !returned {
				pe := newPanicError(recover())
				if c.l != nil {
					c.l.g.logPanic("OnDrain function", pe, c)
				}
				c.end(ReasonPanic, pe)
			}
			c.mu.Lock()
			s := c.side.Load()
			if s.running--; s.running == 0 && s.ran != nil {
				close(s.ran)
				s.ran = nil
			}
			c.mu.Unlock()
			if c.l != nil {
				c.l.g.taskEnds()
			}
		}()
		f()
		returned = true
	}()
}

// awaitOnDrain returns when no OnDrain function runs; the connection has
// ended, so no further one is started.
func (c *AnyConn) awaitOnDrain() {
	s := c.side.Load()
	if s == nil {
		return
	}
	c.mu.Lock()
	if s.running == 0 {
		c.mu.Unlock()
		return
	}
	if s.ran == nil {
		s.ran = make(chan struct{})
	}
	ch := s.ran
	c.mu.Unlock()
	<-ch
}

// DrainDeadline returns when the connection will be forced, if it has been
// asked to finish and there is such a time.
func (c *AnyConn) DrainDeadline() (time.Time, bool) {
	s := c.side.Load()
	if s == nil {
		return time.Time{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.deadline, !s.deadline.IsZero()
}

// Drain asks this one connection to finish, and forces it (ReasonForced, with
// ErrDrained as the cause) at the deadline; the zero time means never. Called
// again, or during a drain of its listener or group, the earlier deadline
// holds. It returns at once.
func (c *AnyConn) Drain(deadline time.Time) {
	c.askToFinish(deadline)
	if deadline.IsZero() {
		return
	}
	s := c.side.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has(flagEnded) || s.deadline.Before(deadline) {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	force := func() { c.end(ReasonForced, errForced) }
	if left := time.Until(deadline); left > 0 {
		s.timer = time.AfterFunc(left, force)
	} else {
		s.timer = nil
		go force() // whose Close may block
	}
}

// errForced is the cause of a connection that was ended at a drain's deadline.
var errForced error = &CloseError{Reason: ReasonForced, Err: ErrDrained}

// askToFinish closes Draining and sees to the OnDrain functions. The earlier
// deadline stays. Forcing at the deadline is the caller's business.
func (c *AnyConn) askToFinish(deadline time.Time) {
	s := c.needSide()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !deadline.IsZero() && (s.deadline.IsZero() || deadline.Before(s.deadline)) {
		s.deadline = deadline
	}
	if c.has(flagDraining) || c.has(flagEnded) {
		return
	}
	c.set(flagDraining)
	if s.drainCh != nil {
		close(s.drainCh)
	}
	for cb := s.onDrain.take(); cb != nil; cb = cb.next {
		s.running++
		c.goOnDrain(cb.f)
	}
}
