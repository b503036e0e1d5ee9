package lgrp

// setIdle is AnyConn.SetIdle.
func (g *core) setIdle(c *AnyConn, idle bool) {
	if idle == c.has(flagIdle) {
		return
	}
	g.mu.Lock()
	var next *work
	if idle && !c.has(flagGone) {
		g.addIdle(c)
		next = g.handOut()
	} else {
		g.dropIdle(c)
	}
	g.mu.Unlock()
	g.do(next)
}

// evict picks the connection that is to be closed for the first of the
// waiters that may have one closed and has not: each arrival costs at most
// one, and none while as many are being closed that can help as there are
// waiters. Its slot comes back through forget, and goes to whoever is first in
// line then.
func (g *core) evict() *AnyConn {
	var (
		first  *waiter
		victim *AnyConn
	)
	for _, l := range g.waiting {
		if l.intent == intendPause || g.underWay(l) {
			continue
		}
		w := l.queue.head
		for w != nil && !w.evictor {
			w = w.next
		}
		if w == nil || first != nil && first.ticket < w.ticket {
			continue
		}
		if v := g.idlest(l); v != nil {
			first, victim = w, v
		}
	}
	if victim != nil {
		first.evictor = false
		g.victims++
		victim.l.victims++
		g.dropIdle(victim)
		victim.set(flagIdle | flagVictim)
	}
	return victim
}

// dropVictim counts c, if it was chosen to be closed for another, as done.
func (g *core) dropVictim(c *AnyConn) {
	if c.has(flagVictim) {
		c.clear(flagVictim)
		g.victims--
		c.l.victims--
	}
}

// underWay reports whether as many are being closed as there are waiters. A
// listener that is full itself is helped only by its own.
func (g *core) underWay(l *listener) bool {
	if l.full() {
		return l.victims >= l.evictors
	}
	need, have := g.evictors, g.victims
	for _, o := range g.waiting {
		switch {
		case o.intent == intendPause:
			need -= o.evictors
		case o.full():
			need -= o.evictors
			have -= min(o.evictors, o.victims)
		}
	}
	return have >= need
}

// full reports whether the listener's own limit is reached.
func (l *listener) full() bool { return l.max > 0 && l.active >= l.max }

// idlest returns the connection whose end would let l have another, idle for
// longest: one of l's own if l itself is full, else any.
func (g *core) idlest(l *listener) *AnyConn {
	if l.full() {
		return g.idlestOf(l)
	}
	var v *AnyConn
	for il := range g.idlers {
		if h := g.idlestOf(il); h != nil && (v == nil || h.side.Load().idleTicket < v.side.Load().idleTicket) {
			v = h
		}
	}
	return v
}

// idlestOf passes over those that have ended since: to close them helps nobody.
func (g *core) idlestOf(l *listener) *AnyConn {
	for l.idleHead != nil && l.idleHead.has(flagEnded) {
		g.dropIdle(l.idleHead)
	}
	return l.idleHead
}

// addIdle appends c to its listener's idle connections, the newest last.
func (g *core) addIdle(c *AnyConn) {
	c.set(flagIdle)
	if !c.has(flagSlotted) || c.has(flagEnded|flagVictim) {
		return // its end would give no slot back, or is on its way
	}
	l, s := c.l, c.needSide()
	if s.idleTicket != 0 {
		return
	}
	g.lastTicket++
	s.idleTicket = g.lastTicket
	s.idlePrev = l.idleTail
	if l.idleTail != nil {
		l.idleTail.side.Load().idleNext = c
	} else {
		l.idleHead = c
		g.idlers[l] = struct{}{}
	}
	l.idleTail = c
}

// dropIdle takes c out of its listener's idle connections, if it is there.
func (g *core) dropIdle(c *AnyConn) {
	if !c.has(flagIdle) {
		return
	}
	c.clear(flagIdle)
	l, s := c.l, c.side.Load()
	if s == nil || s.idleTicket == 0 {
		return
	}
	s.idleTicket = 0
	if s.idlePrev != nil {
		s.idlePrev.side.Load().idleNext = s.idleNext
	} else {
		l.idleHead = s.idleNext
	}
	if s.idleNext != nil {
		s.idleNext.side.Load().idlePrev = s.idlePrev
	} else {
		l.idleTail = s.idlePrev
	}
	s.idlePrev, s.idleNext = nil, nil
	if l.idleHead == nil {
		delete(g.idlers, l)
	}
}
