package lgrp

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// DrainOptions say how to drain. The deadline is the context's: without one
// the connections may take as long as they like. A nil *DrainOptions, and the
// zero value, mean: ask all connections now.
type DrainOptions struct {
	// NotReadyFor goes by before anything else: the group is not Ready, but
	// still accepts, so that load balancers can notice and send new clients
	// elsewhere. Only drains of the whole group change its readiness. Defaults
	// to 0.
	NotReadyFor time.Duration

	// Spread asks the connections to finish one after the other, evenly over
	// this time, so that they do not all come back elsewhere at once.
	// Connections that arrive meanwhile are asked at once. Defaults to 0.
	Spread time.Duration

	// ForceWait is how long to wait, once the deadline has passed and the
	// remaining connections have been closed, for their handlers to return.
	// Negative means not at all. Defaults to Options.ForceWait.
	ForceWait time.Duration

	// Only selects the connections. With it the listeners go on, and
	// connections accepted from now on are not asked. It is called on the
	// goroutine that called Drain. Defaults to nil: all connections, and the
	// listeners end Closed.
	Only func(ConnInfo) bool
}

// A DrainReport says how a drain went: Finished, Forced and Stuck together are
// all connections that it was about.
type DrainReport struct {
	Finished int           `json:"finished"`        // ended by the deadline
	Forced   int           `json:"forced"`          // closed at the deadline; their handlers have returned since
	Stuck    []ConnInfo    `json:"stuck,omitempty"` // closed, but their handlers have not returned
	Took     time.Duration `json:"took"`            // in nanoseconds
}

// LogValue groups the numbers, and the first of the stuck connections.
func (r DrainReport) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Int("finished", r.Finished), slog.Int("forced", r.Forced), slog.Int("stuck", len(r.Stuck)), slog.Duration("took", r.Took),
	}
	if len(r.Stuck) > 0 {
		attrs = append(attrs, slog.Any("first_stuck", r.Stuck[0]))
	}
	return slog.GroupValue(attrs...)
}

// err returns a *DrainError if the drain was not clean.
func (r *DrainReport) err() error {
	if r.Forced == 0 && len(r.Stuck) == 0 {
		return nil
	}
	return &DrainError{Report: r}
}

// drainOp is one call of Drain. Calls join by working on the same
// connections: a connection may be in several, each of which waits for its
// own selection.
type drainOp struct {
	g        *core
	deadline time.Time // zero: none
	done     chan struct{}

	// guarded by core.mu
	members  map[*AnyConn]struct{} // the selected connections that have not ended
	finished int
	forced   int
	open     bool // not all have been selected yet
	forcing  bool // the deadline has passed
}

// add selects c, once. mu is held.
func (op *drainOp) add(c *AnyConn) {
	if _, in := op.members[c]; in || c.has(flagGone) {
		return
	}
	s := c.needSide()
	s.drains = append(s.drains, op)
	op.members[c] = struct{}{}
}

// drop is the end of a selected connection. mu is held.
func (op *drainOp) drop(c *AnyConn) {
	if c.reason() == ReasonForced {
		op.forced++
	} else {
		op.finished++
	}
	delete(op.members, c)
	op.settle()
}

// settle closes done when the last one is gone. mu is held.
func (op *drainOp) settle() {
	if op.over() {
		close(op.done)
	}
}

// over reports whether the last of the selected connections is gone: a further
// one comes too late.
func (op *drainOp) over() bool { return !op.open && len(op.members) == 0 }

// drain drains l, or the whole group where l is nil. It runs on its caller's
// goroutine, and others that drain at the same time run on theirs.
func (g *core) drain(ctx context.Context, l *listener, o *DrainOptions) *DrainReport {
	var opts DrainOptions
	if o != nil {
		opts = *o
	}
	if opts.ForceWait == 0 {
		opts.ForceWait = g.opts.ForceWait
	}
	begun := time.Now()
	op := &drainOp{g: g, done: make(chan struct{}), members: make(map[*AnyConn]struct{}), open: true}
	op.deadline, _ = ctx.Deadline()

	var chosen []*AnyConn
	if opts.Only != nil {
		// The application's function first: if it panics nothing is half done.
		chosen = g.choose(l, opts.Only)
		pause(ctx, opts.NotReadyFor)
	} else {
		end := g.stopListeners(ctx, l, op, opts.NotReadyFor)
		defer end()
		chosen = g.choose(l, nil)
	}
	chosen = op.selectAll(chosen)
	g.mu.Lock()
	op.open = false
	op.settle()
	g.mu.Unlock()
	op.signalAll(ctx, chosen, opts.Spread)
	select {
	case <-op.done:
	case <-ctx.Done():
		op.force(opts.ForceWait)
	}
	return op.report(begun)
}

// choose returns the live connections of l, or of the group, that only likes.
func (g *core) choose(l *listener, only func(ConnInfo) bool) (chosen []*AnyConn) {
	for c := range g.reg.all() {
		if (l == nil || c.l == l) && (only == nil || only(c.Info())) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// stopListeners stops l, or all listeners, so that no connection of theirs can
// come that the drain does not know of. Each has op in its list before it is
// stopped, and each has been swept when stopListeners returns. The function it
// returns is for the end of the drain.
func (g *core) stopListeners(ctx context.Context, l *listener, op *drainOp, notReadyFor time.Duration) (end func()) {
	if l == nil {
		g.mu.Lock()
		g.unready++
		g.bump()
		g.mu.Unlock()
	}
	pause(ctx, notReadyFor)

	g.mu.Lock()
	var ls []*listener
	if l != nil {
		ls = []*listener{l}
	} else {
		g.fences++
		for _, l := range g.listeners {
			ls = append(ls, l)
		}
	}
	// A Remove or Release that is under way still takes connections in, at a
	// listener that may be listed no more.
	var socks []*socket
	unserved := map[*socket]bool{} // those that have not begun to accept
	for s := range g.stopping {
		if l == nil || s.l == l {
			socks = append(socks, s)
			if !slices.Contains(ls, s.l) {
				ls = append(ls, s.l)
			}
		}
	}
	for _, l := range ls {
		l.joinDrain(op)
		if l.intent != intendClose {
			sweep := l.intent != intendStart
			l.drained = !sweep
			l.intent = intendDrain
			l.refresh(nil)
			if s := l.sock; s != nil {
				s.halt.Store(true)
				l.wake()
				socks = append(socks, s)
				if !sweep {
					unserved[s] = true
				}
			}
			if s := l.binding; s != nil {
				socks = append(socks, s)
				unserved[s] = true
			}
		}
	}
	next := g.handOut() // paused listeners' connections can go on
	for _, c := range next.live() {
		if slices.Contains(c.l.drains, op) {
			op.add(c) // it may be over before the others are selected
		}
	}
	g.mu.Unlock()
	g.do(next)
	// All at the same time: one whose Accept is slow to return must not use up
	// the time of the others.
	var closing sync.WaitGroup
	for _, s := range socks {
		closing.Add(1)
		g.task(func() {
			defer closing.Done()
			s.close(ctx, !unserved[s])
		})
	}
	closing.Wait()

	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, s := range socks {
			s.shut = true // whoever closes it may not have come to that
		}
		for _, l := range ls {
			l.quitDrain(op)
			if l.intent == intendDrain {
				l.intent = intendClose
				l.sock = nil
				l.refresh(nil)
			}
			l.unlist()
		}
		if l == nil {
			g.unready--
			g.fences--
		}
		g.bump()
	}
}

// selectAll makes the connections, but for those that have ended meanwhile,
// members of op, and returns them.
func (op *drainOp) selectAll(cs []*AnyConn) []*AnyConn {
	const batch = 256 // others get a turn at mu in between
	live := cs[:0]    // in place: it never gets ahead of cs
	for len(cs) > 0 {
		n := min(batch, len(cs))
		op.g.mu.Lock()
		for _, c := range cs[:n] {
			if !c.has(flagGone) {
				op.add(c)
				live = append(live, c)
			}
		}
		op.g.mu.Unlock()
		cs = cs[n:]
	}
	return live
}

// signalAll asks the connections to finish, evenly over spread. Those whose
// turn has not come at the deadline are not asked: they are forced.
func (op *drainOp) signalAll(ctx context.Context, cs []*AnyConn, spread time.Duration) {
	begun := time.Now()
	for i, c := range cs {
		if spread > 0 && i > 0 {
			t := time.NewTimer(time.Until(begun.Add(time.Duration(float64(spread) * float64(i) / float64(len(cs))))))
			select {
			case <-t.C:
			case <-ctx.Done():
			case <-op.done:
			}
			t.Stop()
		}
		if ctx.Err() != nil {
			return
		}
		c.askToFinish(op.deadline)
	}
}

// force ends what is left, and gives the handlers a little time to return.
func (op *drainOp) force(wait time.Duration) {
	closed := make(chan struct{})
	op.g.mu.Lock()
	op.forcing = true
	members := slices.Collect(maps.Keys(op.members))
	op.g.mu.Unlock()
	op.g.task(func() {
		defer close(closed)
		op.g.endAll(members, ReasonForced, errForced)
	})
	t := time.NewTimer(max(wait, minJoin))
	defer t.Stop()
	select {
	case <-closed:
	case <-t.C:
		return
	}
	if wait <= 0 {
		return
	}
	select {
	case <-op.done:
	case <-t.C:
	}
}

// report counts and lists at one moment, so that it adds up.
func (op *drainOp) report(begun time.Time) *DrainReport {
	op.g.mu.Lock()
	r := &DrainReport{Finished: op.finished, Forced: op.forced}
	left := slices.Collect(maps.Keys(op.members))
	op.g.mu.Unlock()
	slices.SortFunc(left, func(a, b *AnyConn) int { return cmp.Compare(a.id, b.id) })
	for _, c := range left {
		r.Stuck = append(r.Stuck, c.Info())
	}
	r.Took = time.Since(begun)
	return r
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
