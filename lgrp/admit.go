package lgrp

import (
	"slices"
	"time"
)

// verdict is what admit says of a new connection.
type verdict uint8

const (
	admitted verdict = iota
	parked
	rejected
	tooLate
)

// admit counts a connection that is in the registry already and gives it a
// slot, a place in the queue, or neither. It takes the listener's slot and the
// group's together or none of them.
//
// Since every change that makes room runs handOut before it lets go of mu,
// nobody in a queue could use the room that a newcomer finds: newcomers never
// pass an eligible waiter.
//
// It returns too the goroutine for an admitted one (nil: a new one is wanted),
// and what else there is to do when mu is no longer held.
func (g *core) admit(s *socket, c *AnyConn) (v verdict, w *worker, next *work) {
	l := s.l
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accepted++
	l.accepted++
	g.bump()
	if s.shut || len(l.drains) > 0 && slices.ContainsFunc(l.drains, (*drainOp).over) {
		g.turnAway(c, ReasonDrained, ErrDrained)
		return tooLate, nil, nil
	}
	if g.room(l) {
		g.enter(l, c)
		v, w = admitted, g.popWorker()
	} else {
		policy := l.effectivePolicy()
		if policy.kind == reject && l.intent != intendPause {
			g.turnAway(c, ReasonLimit, ErrLimit)
			return rejected, nil, nil
		}
		g.park(l, c, policy)
		v, next = parked, g.handOut()
	}
	// Register first, then check: whoever begins a drain after this finds the
	// connection in the registry, and one that began before is found here.
	// Its handler has not been started, and whoever starts it needs mu.
	for _, op := range l.drains {
		op.add(c)
		if op.forcing {
			c.settle(ReasonForced, errForced)
		} else {
			c.askToFinish(op.deadline)
		}
	}
	return v, w, next
}

// room reports whether l may have one more connection served now.
func (g *core) room(l *listener) bool {
	return (g.max <= 0 || g.active < g.max) && (l.max <= 0 || l.active < l.max) && l.intent != intendPause
}

// enter gives c its slots. The caller has checked that there is room.
func (g *core) enter(l *listener, c *AnyConn) {
	g.active++
	l.active++
	c.set(flagSlotted)
}

// park appends c to its listener's queue.
func (g *core) park(l *listener, c *AnyConn, policy LimitPolicy) {
	g.lastTicket++
	w := &waiter{c: c, ticket: g.lastTicket, evictor: policy.kind == evictIdle}
	s := c.needSide()
	s.waiter, s.chain = w, l.chain.Load()
	c.set(flagParked)
	if l.queue.n == 0 {
		g.waiting = append(g.waiting, l)
	}
	l.queue.push(w)
	g.parked++
	l.parked++
	if policy.kind == queue && policy.timeout > 0 {
		w.timer = time.AfterFunc(policy.timeout, func() { g.abandon(c, ReasonLimit, ErrLimit) })
	}
	if policy.kind == evictIdle {
		w.forIdle = true
		g.evictors++
		l.evictors++
	}
}

// dequeue takes c out of its queue, for a slot or for its end; it stays
// parked until it has come to one of them. It reports false if somebody else
// was first.
func (g *core) dequeue(c *AnyConn) bool {
	s := c.side.Load()
	if s == nil || s.waiter == nil {
		return false
	}
	l, w := c.l, s.waiter
	s.waiter = nil
	l.queue.remove(w)
	if l.queue.n == 0 {
		i := slices.Index(g.waiting, l)
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	if w.forIdle {
		g.evictors--
		l.evictors--
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	return true
}

// unpark ends c's being parked.
func (g *core) unpark(c *AnyConn) {
	c.clear(flagParked)
	g.parked--
	c.l.parked--
	c.l.wake()
}

// handOut gives free slots to waiters: always to the smallest ticket whose
// listener has room, until nobody in a queue can be served. Then it turns away
// those that waited only for the end of a pause, where the policy is Reject, and
// looks for idle connections to close for the others. Whatever makes room, or
// lets a queue move again, calls it before it lets go of mu.
func (g *core) handOut() (next *work) {
	if len(g.waiting) == 0 { // then there are no evictors either
		return nil
	}
	for {
		var first *listener
		for _, l := range g.waiting {
			if g.room(l) && (first == nil || l.queue.head.ticket < first.queue.head.ticket) {
				first = l
			}
		}
		if first == nil {
			break
		}
		c := first.queue.head.c
		g.dequeue(c)
		g.unpark(c)
		g.enter(first, c)
		next = next.orNew()
		next.start = append(next.start, c)
	}
	for i := 0; i < len(g.waiting); {
		l := g.waiting[i]
		if l.intent == intendPause || l.effectivePolicy().kind != reject {
			i++
			continue
		}
		for l.queue.n > 0 { // the last of them takes l off the list
			c := l.queue.head.c
			g.dequeue(c)
			g.unpark(c)
			g.turnAway(c, ReasonLimit, ErrLimit)
			next = next.orNew()
			next.reject = append(next.reject, c)
		}
	}
	for g.evictors > 0 {
		v := g.evict()
		if v == nil {
			break
		}
		next = next.orNew()
		next.evict = append(next.evict, v)
	}
	return next
}

// abandon ends and finishes a parked connection, which has no goroutine of its
// own to do it. If a slot came first, the goroutine started for it does the
// finishing, and abandon nothing: so a time-out that is late cannot end a
// connection that is being served.
func (g *core) abandon(c *AnyConn, r Reason, cause error) {
	g.mu.Lock()
	mine := g.dequeue(c)
	g.mu.Unlock()
	if !mine {
		return
	}
	// Deferred, so that a Close that calls Goexit cannot keep a connection.
	defer func() {
		c.awaitClosed()
		g.early.note(c.l, c.reason(), c.cause, c)
		g.forget(c, nil)
	}()
	c.settle(r, cause)
	c.closeSocket()
}

// leave counts a finished connection as ended and gives up what it held.
func (g *core) leave(c *AnyConn) {
	l := c.l
	switch {
	case c.has(flagParked):
		g.unpark(c)
	case c.has(flagSlotted):
		g.active--
		l.active-- // countEnded takes the flag away
	case c.has(flagUncounted):
		g.uncounted--
		l.uncounted--
	}
	g.dropVictim(c)
	g.dropIdle(c)
	g.countEnded(c)
	g.socketFreed()
	g.bump()
}

// turnAway ends a connection that no handler has seen, so that there is nobody
// who could be called while mu is held. It may have been ended already, and is
// counted by the reason that it has.
func (g *core) turnAway(c *AnyConn, r Reason, cause error) {
	c.settle(r, cause)
	g.countEnded(c)
}

// countEnded counts a connection that has its reason, and is no longer, or
// never came to be, active or parked.
func (g *core) countEnded(c *AnyConn) {
	r := c.reason()
	g.ended++
	g.closed[r]++
	c.l.closed[r]++
	c.swap(flagSlotted, flagGone)
	if s := c.side.Load(); s != nil {
		for _, op := range s.drains {
			op.drop(c)
		}
	}
	c.l.settleClosed()
}

// socketFreed wakes accept goroutines that back off for want of a descriptor.
func (g *core) socketFreed() {
	if g.freed != nil {
		close(g.freed)
		g.freed = nil
	}
}

// setMax sets the group's limit, or l's where l is not nil.
func (g *core) setMax(l *listener, n int) {
	g.mu.Lock()
	if l != nil {
		l.max = max(n, 0)
		l.wake()
	} else {
		g.max = max(n, 0)
		for _, l := range g.waiting {
			l.wake()
		}
	}
	next := g.handOut()
	g.bump()
	g.mu.Unlock()
	g.do(next)
}

// uncount is AnyConn.Uncount.
func (g *core) uncount(c *AnyConn) {
	g.mu.Lock()
	var next *work
	if c.has(flagSlotted) {
		c.swap(flagSlotted, flagUncounted)
		g.active--
		c.l.active--
		g.uncounted++
		c.l.uncounted++
		g.dropIdle(c)   // closing it would free no slot
		g.dropVictim(c) // it has given its slot already
		next = g.handOut()
		g.bump()
	}
	g.mu.Unlock()
	g.do(next)
}
