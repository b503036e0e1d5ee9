package lgrp

import (
	"context"
	"errors"
	"time"
)

// run is ListenGroup.Run.
func (g *core) run(ctx context.Context) error {
	var (
		cause error
		over  bool
	)
	err := g.await(ctx, func() bool {
		if over = g.closing; over {
			// Somebody else shuts down. A main that returns from Run leaves
			// the program, so Run returns only when they are done.
			return g.shutdowns == 0
		}
		cause = g.failed()
		return cause != nil
	})
	if err == nil && over {
		return nil
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(g.opts.Grace, 0))
	defer cancel()
	serr := g.shutdown(grace).err()
	if err == nil {
		return errors.Join(ErrNoListener, cause, serr)
	}
	return serr
}

// shutdown drains everything, refuses new work for good, and joins the
// goroutines.
func (g *core) shutdown(ctx context.Context) *DrainReport {
	g.mu.Lock()
	g.closing = true
	g.shutdowns++
	g.bump()
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.shutdowns--
		g.bump()
		g.mu.Unlock()
	}()

	r := g.drain(ctx, nil, g.opts.Drain)

	// What is left are goroutines that are about to end: those that tell a
	// rejected client so may use the rest of the grace.
	_ = g.await(ctx, func() bool { return len(g.rejecting) == 0 })
	g.hurryRejections()
	g.closePool()
	g.early.close()
	stuck := g.stuckTasks()
	if g.join(ctx, stuck) == nil {
		return r
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(g.opts.ForceWait, minJoin))
	defer cancel()
	_ = g.join(bound, stuck)
	return r
}

// minJoin is the least time that goroutines which have nothing left to do are
// given to end.
const minJoin = 100 * time.Millisecond

// stuckTasks counts the goroutines of connections whose handler or OnDrain
// functions have not returned.
func (g *core) stuckTasks() (n int) {
	for c := range g.reg.all() {
		if c.has(flagGone) {
			continue
		}
		n++ // its handler
		if s := c.side.Load(); s != nil {
			c.mu.Lock()
			n += s.running
			c.mu.Unlock()
		}
	}
	return n
}
