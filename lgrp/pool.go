package lgrp

import (
	"context"
	"net"
	"runtime/pprof"
	"time"
)

// pool keeps goroutines for further connections: one whose handler has
// returned waits for the next connection with the stack it has already grown,
// which is where most of the cost of a short connection is. Last in, first
// out, so that a few goroutines do the work and the rest can be let go.
//
// core.mu guards it: a goroutine is taken together with the slot, and comes
// back together with it.
type pool struct {
	idle   []*worker
	spare  int // how many of idle, from the bottom, nobody has needed since the last tick
	timer  *time.Timer
	closed bool
}

// worker is a goroutine that serves connections.
type worker struct {
	g     *core
	c     *AnyConn      // that it serves; set before wake is sent to
	chain *Handler      // that c is to go through
	wake  chan struct{} // made when it first comes to be idle

	// life is what the goroutine runs: connection after connection, each from
	// its first event to being forgotten. It is also the one function that the
	// goroutine defers, which has something to do only when a connection ends
	// by a panic or Goexit, and then it is the goroutine's last.
	//
	// Every byte of its frame, and of each layer of the chain, is stack that an
	// idle connection holds: with five middlewares that do something, the 2 KiB
	// that a goroutine starts with are used up in Read. Hence a literal, where
	// go w.run() would put a frame of the compiler's beneath everything, and
	// the two roles, where a deferred w.retire() would be bound on the stack.
	life func()
	over bool // the next call of life is the deferred one
}

const (
	maxIdleWorkers = 256
	workerTick     = time.Second
	// keptWorkers are not let go before the group is shut down. An armed timer
	// costs every pass of the scheduler a look at the clock, which a group
	// that serves one connection at a time would notice; a few goroutines,
	// whose stacks the garbage collector shrinks again, nobody does.
	keptWorkers = 4
)

// start serves c, which was parked and has got its slot, on a goroutine. It
// does not block.
func (g *core) start(c *AnyConn) {
	g.mu.Lock()
	w := g.popWorker()
	g.mu.Unlock()
	g.serve(w, c, c.side.Load().chain)
}

// serve serves c on w, which was waiting for it, or where that is nil on a new
// goroutine. It does not block.
func (g *core) serve(w *worker, c *AnyConn, chain *Handler) {
	if w != nil {
		w.c, w.chain = c, chain
		w.wake <- struct{}{} // has room: the worker took the last one out
		return
	}
	g.taskStarts()
	w = &worker{g: g, c: c, chain: chain}
	w.life = func() {
		if w.over {
			w.retire(recover())
			return
		}
		w.over = true // when it is called again
		defer w.life()
		for w.c != nil {
			err := w.begin()((*connCtx)(w.c), w.c.raw, w.c)
			w.end(err)
		}
	}
	go w.life()
}

// begin is the start of a connection that has got its slot. It returns the
// chain that it is to go through: none if it was killed while it waited for
// the slot, or just now.
func (w *worker) begin() Handler {
	// Labels come from whoever started the goroutine, an application that
	// called Add or another connection that gave its slot up, and from the
	// connection it served before.
	pprof.SetGoroutineLabels(context.Background())
	c := w.c
	if w.g.opts.Events.ConnOpened != nil {
		w.g.connOpened(c)
	}
	if c.has(flagEnded) {
		return nothing
	}
	return *w.chain
}

func nothing(context.Context, net.Conn, *AnyConn) error { return nil }

// end finishes the connection, and goes on with one that has waited for its
// slot or waits for another. w.c is nil afterwards if the goroutine is not
// needed any more.
func (w *worker) end(err error) {
	c := w.c
	w.c = nil // from here on a Goexit is not the handler's
	if next, idle := w.g.finish(c, err, w); idle {
		<-w.wake
	} else if next != nil {
		w.c, w.chain = next, next.side.Load().chain
	}
}

// retire is the end of the goroutine, possibly by a panic with the value v, or by
// Goexit, that has left its connection unfinished.
func (w *worker) retire(v any) {
	defer w.g.taskEnds()
	if c := w.c; c != nil {
		pe := newPanicError(v)
		w.g.logPanic("handler", pe, c)
		w.g.finish(c, pe, nil)
	}
}

// popWorker takes the worker that became idle last, or returns nil. mu is held.
func (g *core) popWorker() *worker {
	p := &g.pool
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	w := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	p.spare = min(p.spare, n)
	return w
}

// parkWorker puts w among the idle, and reports false if it is not wanted there. mu
// is held.
func (g *core) parkWorker(w *worker) bool {
	p := &g.pool
	if p.closed || len(p.idle) >= maxIdleWorkers {
		return false
	}
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	p.idle = append(p.idle, w)
	if p.timer == nil && len(p.idle) > keptWorkers {
		p.spare = 0
		p.timer = time.AfterFunc(workerTick, g.tickWorkers)
	}
	return true
}

// tickWorkers lets those go that were not needed for a whole tick, but for the
// kept ones, and stops ticking when there are no others.
func (g *core) tickWorkers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &g.pool
	if p.closed {
		return
	}
	p.letGo(max(min(p.spare, len(p.idle)-keptWorkers), 0))
	p.spare = len(p.idle)
	if len(p.idle) <= keptWorkers {
		p.timer = nil
		return
	}
	p.timer.Reset(workerTick)
}

// closePool lets all idle workers go, and those that are at work when they are
// done. The caller waits for them through the core's tasks.
func (g *core) closePool() {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &g.pool
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.letGo(len(p.idle))
}

// letGo ends the n that have been idle for longest.
func (p *pool) letGo(n int) {
	for _, w := range p.idle[:n] {
		close(w.wake)
	}
	rest := copy(p.idle, p.idle[n:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
}
