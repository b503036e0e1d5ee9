package lgrp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// core is a group without its types: all of the machinery. The path of a
// connection through it is
//
//	socket.acceptLoop   Accept
//	socket.take         a record, registered
//	core.admit          a slot, a place in the queue, or a refusal
//	core.serve          a goroutine, which runs event, chain and handler
//	core.finish         reason, context, socket, event
//	core.forget         registry, slot, who is next
//
// mu guards what changes with every connection and listener; it is never held
// across anything that can block: not Accept, Close, a channel, or code of the
// application's.
type core struct {
	opts  Options
	log   *slog.Logger
	base  time.Time // AnyConn.at counts from here
	hooks hooks

	reg   registry
	early earlyLog

	mu         sync.Mutex
	pool       pool
	listeners  map[string]*listener
	lastSerial uint64
	max        int
	active     int
	uncounted  int
	parked     int
	accepted   uint64
	ended      uint64
	closed     tally
	lastTicket uint64
	waiting    []*listener            // those whose queue is not empty
	idlers     map[*listener]struct{} // those with idle connections
	evictors   int                    // waiters under EvictIdle
	victims    int                    // connections that are being evicted for them
	freed      chan struct{}          // closed when a connection closes; made by who backs off
	changed    chan struct{}          // closed at any change; made by who waits for one
	unready    int                    // drains of the whole group that are under way
	fences     int                    // those of them that have begun to stop the listeners
	closing    bool                   // told to shut down: no new work, ever
	shutdowns  int                    // calls of shutdown that are under way
	rejecting  map[*AnyConn]struct{}
	stopping   map[*socket]struct{} // those being closed; their listeners may be listed no more

	// tasks counts the goroutines of the group. It is not in mu since with
	// NoReuse every connection changes it.
	tasks   atomic.Int64
	joining atomic.Int32 // somebody waits for tasks
}

// hooks is what the typed shell has the core call.
type hooks struct {
	listening   func(ListenerInfo)
	unlistening func(ListenerInfo, error)
}

func newCore(o *Options) *core {
	g := &core{
		opts:      o.withDefaults(),
		base:      time.Now(),
		listeners: make(map[string]*listener),
		idlers:    make(map[*listener]struct{}),
		rejecting: make(map[*AnyConn]struct{}),
		stopping:  make(map[*socket]struct{}),
	}
	g.log = g.opts.Logger
	g.max = g.opts.MaxConns
	g.early.g = g
	return g
}

// bump wakes those who wait for a change. mu is held.
func (g *core) bump() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// change returns the channel that the next bump closes. mu is held.
func (g *core) change() <-chan struct{} {
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

// await returns nil once ok, which is called with mu held, has returned true,
// or the context's error. It looks again at each change and in between
// sleeps.
func (g *core) await(ctx context.Context, ok func() bool) error {
	for {
		g.mu.Lock()
		done := ok()
		var ch <-chan struct{}
		if !done {
			ch = g.change()
		}
		g.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wait is ListenGroup.Wait.
func (g *core) wait(ctx context.Context, cond func(Counts) bool) error {
	for {
		g.mu.Lock()
		n := g.counts()
		ch := g.change() // before cond, so that no change is missed while it runs
		g.mu.Unlock()
		if cond(n) {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// counts is called with mu held.
func (g *core) counts() Counts {
	n := Counts{Active: g.active, Uncounted: g.uncounted, Parked: g.parked, Accepted: g.accepted, Ended: g.ended}
	for _, l := range g.listeners {
		if l.listed() && l.shown != StateClosed {
			n.Listeners++
		}
	}
	return n
}

// all returns the listed listeners in the order in which they were added.
func (g *core) all() []*listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.allLocked()
}

func (g *core) allLocked() []*listener {
	ls := make([]*listener, 0, len(g.listeners))
	for _, l := range g.listeners {
		if l.listed() {
			ls = append(ls, l)
		}
	}
	slices.SortFunc(ls, func(a, b *listener) int { return cmp.Compare(a.serial, b.serial) })
	return ls
}

// everyListener returns those that are not listed yet too.
func (g *core) everyListener() []*listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.listeners))
}

// lookup returns the listed listener with this id, or nil.
func (g *core) lookup(id string) *listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.listeners[id]; l != nil && l.listed() {
		return l
	}
	return nil
}

// look runs f with mu held, for inspection. Who inspects in a loop would have
// mu again before those who wait for it have woken: look lets them go first.
func (g *core) look(f func()) {
	defer runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// info is ListenGroup.Info.
func (g *core) info() (info GroupInfo) {
	g.look(func() {
		info = GroupInfo{
			Active: g.active, Uncounted: g.uncounted, Parked: g.parked, MaxConns: g.max,
			Accepted: g.accepted, Closed: g.closed.asMap(),
			Ready: g.ready(), Draining: g.draining(),
			Listeners: make([]ListenerInfo, 0, len(g.listeners)), // in JSON [], not null
		}
		for _, l := range g.allLocked() {
			info.Listeners = append(info.Listeners, l.info(true))
		}
	})
	return info
}

// draining and ready are called with mu held.
func (g *core) draining() bool { return g.closing || g.unready > 0 }

func (g *core) ready() bool {
	if g.draining() {
		return false
	}
	for _, l := range g.listeners {
		if l.shown == StateAccepting || l.shown == StateFull {
			return true
		}
	}
	return false
}

// failed reports, with mu held, whether there are listeners and all of them
// have failed, and with what, in the order in which they did.
func (g *core) failed() (cause error) {
	for _, l := range g.listeners {
		if l.shown != StateClosed || l.cause == nil {
			return nil
		}
	}
	ls := slices.SortedFunc(maps.Values(g.listeners), func(a, b *listener) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.serial, b.serial))
	})
	for _, l := range ls {
		cause = errors.Join(cause, l.cause)
	}
	return cause
}

// taskStarts and taskEnds count a goroutine of the group. Shutdown returns
// only when there are none left but those of stuck connections.
func (g *core) taskStarts() { g.tasks.Add(1) }

func (g *core) taskEnds() {
	g.tasks.Add(-1)
	if g.joining.Load() > 0 {
		g.mu.Lock()
		g.bump()
		g.mu.Unlock()
	}
}

// task runs f on a goroutine of the group's, which Shutdown waits for; a panic
// in it is logged.
func (g *core) task(f func()) {
	g.taskStarts()
	go func() {
		defer g.taskEnds()
		defer func() {
			if v := recover(); v != nil {
				g.logPanic("task", newPanicError(v), nil)
			}
		}()
		f()
	}()
}

// join returns when no more than n goroutines of the group are left, or when
// ctx is done.
func (g *core) join(ctx context.Context, n int) error {
	g.joining.Add(1)
	defer g.joining.Add(-1)
	return g.await(ctx, func() bool { return g.tasks.Load() <= int64(n) })
}

// closeRaw closes a socket of the application's making; a Close that panics
// is logged and the socket taken for closed.
func (g *core) closeRaw(c interface{ Close() error }) error {
	defer func() {
		if v := recover(); v != nil {
			g.logPanic("Close method", newPanicError(v), nil)
		}
	}()
	return c.Close()
}

// logPanic logs what was caught; c is the connection that it ended, or nil. The
// Logger is the application's too, so it has a goroutine of its own: neither a
// panic nor a Goexit of it keeps the caller from going on, and a Logger that
// blocks only a connection's own.
func (g *core) logPanic(where string, pe *PanicError, c *AnyConn) {
	attrs := []slog.Attr{slog.Any("panic", pe.Value), slog.String("stack", string(pe.Stack))}
	if c != nil {
		attrs = append(attrs, slog.Uint64("conn", c.id), slog.String("listener", c.ListenerID()))
	}
	logged := make(chan struct{})
	g.taskStarts()
	go func() {
		defer g.taskEnds()
		defer close(logged)
		defer func() { _ = recover() }()
		g.log.LogAttrs(context.Background(), slog.LevelError, "lgrp: "+where+" panicked", attrs...)
	}()
	if c != nil {
		<-logged
	}
}

// logAside logs from a goroutine of its own: the accept goroutine must not
// wait for somebody's slog.Handler.
func (g *core) logAside(level slog.Level, msg string, attrs ...slog.Attr) {
	g.task(func() { g.log.LogAttrs(context.Background(), level, msg, attrs...) })
}
