package lgrp

// finish ends a connection whose handler has returned err: reason, context,
// socket, event, and only then registry and slot. w is the goroutine that it
// runs on, if that can be used again; finish returns what forget does.
func (g *core) finish(c *AnyConn, err error, w *worker) (next *AnyConn, idle bool) {
	var free *worker
	told := false
	// Deferred, so that a Close or an event that calls Goexit cannot keep a
	// connection.
	defer func() {
		if !told {
			g.tellEnd(c)
		}
		next, idle = g.forget(c, free)
	}()
	c.settle(g.reasonOf(c, err))
	if !c.has(flagStarted) {
		switch r := c.reason(); r {
		case ReasonReturned, ReasonKilled, ReasonDrained, ReasonForced, ReasonListenerRemoved:
		default:
			g.early.note(c.l, r, c.cause, c)
		}
	}
	c.closeSocket()
	told = true
	g.tellEnd(c)
	free = w
	return next, idle
}

// tellEnd tells of the end when the socket is closed, whoever is at it, and
// nothing of the connection runs any more.
func (g *core) tellEnd(c *AnyConn) {
	c.awaitClosed()
	c.awaitOnDrain()
	if g.opts.Events.ConnClosed != nil {
		g.connClosed(c)
	}
}

// reasonOf returns the reason and cause of a connection whose handler has
// returned err.
func (g *core) reasonOf(c *AnyConn, err error) (Reason, error) {
	if err != nil {
		return g.reasonOfError(c, err)
	}
	return ReasonOf(nil, c.has(flagDraining)), nil
}

// reasonOfError is apart for what it defers: nothing further out contains a
// panic of err's own methods, of which the commonest is that of an error which
// is a nil pointer.
func (g *core) reasonOfError(c *AnyConn, err error) (r Reason, cause error) {
	defer func() {
		if v := recover(); v != nil {
			pe := newPanicError(v)
			g.logPanic("handler's error", pe, c)
			r, cause = ReasonPanic, pe
		}
	}()
	return ReasonOf(err, c.has(flagDraining)), err
}

// forget takes a finished connection off every list, and hands its slot on. If
// there is a w it returns a connection that has waited for the slot, and that w
// is to go on with; or whether w is among the idle now, or to end.
func (g *core) forget(c *AnyConn, w *worker) (next *AnyConn, idle bool) {
	g.reg.remove(c)
	g.mu.Lock()
	g.leave(c)
	todo := g.handOut()
	if w != nil && !g.opts.NoReuse {
		if next = todo.popStart(); next == nil {
			idle = g.parkWorker(w)
		}
	}
	g.mu.Unlock()
	g.do(todo)
	return next, idle
}

// connOpened and connClosed call the application's event functions, each
// contained, so that a broken one ends no connection.
func (g *core) connOpened(c *AnyConn) {
	defer g.containEvent("ConnOpened")
	g.opts.Events.ConnOpened(c.Info())
}

func (g *core) connClosed(c *AnyConn) {
	defer g.containEvent("ConnClosed")
	g.opts.Events.ConnClosed(c.Info(), c.reason(), c.cause)
}

func (g *core) containEvent(event string) {
	if v := recover(); v != nil {
		g.logPanic(event+" event", newPanicError(v), nil)
	}
}
