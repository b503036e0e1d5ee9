package lgrp

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/listengroup/listengroup/addr"
)

// A ListenGroup collects listeners, and the connections they spawn, into one
// object, so that they share a handler, a middleware chain, limits, a drain
// and inspection. It is generic over what the application attaches to each
// listener (LCtx) and to each connection (CCtx).
//
// The zero value is not usable: groups are made by [New] and [NewGroup]. All
// methods may be called by many goroutines at once, from handlers, middleware,
// hooks and event functions too; only Shutdown, Close, Run and a Drain wait for
// all of these, so one that calls them waits for itself until it is forced:
// start a goroutine for that.
type ListenGroup[LCtx, CCtx any] struct {
	core    *core
	handler ConnHandler[LCtx, CCtx] // the application's, at the heart of every chain
	plain   Handler                 // the same without types, or nil

	mu   sync.Mutex
	mws  []link[LCtx, CCtx] // of Use and UseTyped; never changed in place
	uses uint64             // calls of them
}

// New returns a group whose connections are all served by h. opts may be nil.
//
//	g := lgrp.New(echo, nil)  // the types are inferred from echo's
//
// It panics if h is nil.
func New[LCtx, CCtx any](h ConnHandler[LCtx, CCtx], opts *Options) *ListenGroup[LCtx, CCtx] {
	if h == nil {
		panic("lgrp: New with a nil handler")
	}
	return &ListenGroup[LCtx, CCtx]{core: newCore(opts), handler: starting(h), plain: startingPlain(h)}
}

// NewGroup returns a group that asks h for each connection's handler. opts may
// be nil. It panics if h is nil.
func NewGroup[LCtx, CCtx any](h GroupHandler[LCtx, CCtx], opts *Options) *ListenGroup[LCtx, CCtx] {
	if h == nil {
		panic("lgrp: NewGroup with a nil GroupHandler")
	}
	g := &ListenGroup[LCtx, CCtx]{core: newCore(opts), handler: choosing(h)}
	if lh, ok := h.(listeningHook); ok {
		g.core.hooks.listening = lh.Listening
	}
	if uh, ok := h.(unlisteningHook); ok {
		g.core.hooks.unlistening = uh.Unlistening
	}
	return g
}

// Use appends middleware to the group's chain, in which the first is the
// outermost layer; for one connection the order is
//
//	Transport → Use and UseTyped → ListenerSpec.Use → Connected → handler
//
// It affects connections that are accepted from now on, at listeners that
// exist too: their chains are built anew, so each mw is called again with a
// new next. It panics if a mw is nil, and where one that is called panics or
// returns nil: then none of them is in the chain.
func (g *ListenGroup[LCtx, CCtx]) Use(mws ...Middleware) {
	for _, mw := range mws {
		if mw == nil {
			panic("lgrp: Use with a nil Middleware")
		}
	}
	g.append(links[LCtx, CCtx](mws))
}

// UseTyped is [ListenGroup.Use] for middleware that sees the application's
// contexts. Both append to the same chain.
func (g *ListenGroup[LCtx, CCtx]) UseTyped(mws ...TypedMiddleware[LCtx, CCtx]) {
	ls := make([]link[LCtx, CCtx], len(mws))
	for i, mw := range mws {
		if mw == nil {
			panic("lgrp: UseTyped with a nil TypedMiddleware")
		}
		ls[i].typed = mw
	}
	g.append(ls)
}

func (g *ListenGroup[LCtx, CCtx]) append(mws []link[LCtx, CCtx]) {
	g.mu.Lock()
	g.uses++
	use := g.uses
	for i := range mws {
		mws[i].use = use
	}
	g.mws = slices.Concat(g.mws, mws)
	g.mu.Unlock()
	built := false
	defer func() {
		if !built { // the application's middleware panicked: as if it had not been given
			g.mu.Lock()
			g.mws = slices.DeleteFunc(slices.Clone(g.mws), func(l link[LCtx, CCtx]) bool { return l.use == use })
			g.mu.Unlock()
			g.rebuild()
		}
	}()
	g.rebuild()
	built = true
}

func (g *ListenGroup[LCtx, CCtx]) rebuild() {
	for _, l := range g.core.everyListener() {
		l.rebuild()
	}
}

// middleware returns the chain's own middleware; the slice does not change.
func (g *ListenGroup[LCtx, CCtx]) middleware() []link[LCtx, CCtx] {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mws
}

// Add binds what spec names, or adopts its Listener, and serves it from now
// on; there is no need to call Run. The socket is bound when Add returns, so
// the listener's Addr is known and a failure to bind is Add's error.
//
// Cancelling ctx ends the binding and OnBound; once Add has returned only its
// values live on, in the contexts of the listener's connections.
//
// Add fails with a *[BindError], [ErrDuplicateID], [ErrGroupClosed],
// [ErrDrained] while the whole group is being drained or if a drain came while
// the listener was starting, [ErrListenerRemoved] if somebody removed it then,
// what OnBound returned or a *[PanicError] (both inside a *BindError), or an
// error that says what is wrong with spec. An address that expands to several is
// such an error: that is what AddAll is for. An adopted Listener is closed if Add
// fails.
func (g *ListenGroup[LCtx, CCtx]) Add(ctx context.Context, spec ListenerSpec[LCtx]) (*Listener[LCtx], error) {
	if err := spec.check(); err != nil {
		spec.dispose()
		return nil, err
	}
	ls, err := g.add(ctx, []ListenerSpec[LCtx]{spec})
	if err != nil {
		return nil, err
	}
	return ls[0], nil
}

// AddAll is Add for several listeners: all of them are added, or none is and
// the error says why. Nothing is accepted before everything is bound. An
// address that stands for several, such as a range of ports or a network
// interface, becomes as many listeners; where such a spec has an ID, each
// listener's is that with "#" and its place from 1. The result is in the order
// of the specs.
func (g *ListenGroup[LCtx, CCtx]) AddAll(ctx context.Context, specs ...ListenerSpec[LCtx]) ([]*Listener[LCtx], error) {
	expanded, err := expandAll(specs)
	if err != nil {
		for _, s := range specs {
			s.dispose()
		}
		return nil, err
	}
	return g.add(ctx, expanded)
}

func (g *ListenGroup[LCtx, CCtx]) add(ctx context.Context, specs []ListenerSpec[LCtx]) ([]*Listener[LCtx], error) {
	mws := len(g.middleware())
	inner := make([]*listener, len(specs))
	outer := make([]*Listener[LCtx], len(specs))
	built := false
	defer func() {
		if !built { // the application's middleware panicked
			for _, s := range specs {
				s.dispose()
			}
		}
	}()
	for i, spec := range specs {
		inner[i] = g.listener(ctx, spec)
		outer[i] = inner[i].shell.(*Listener[LCtx])
		inner[i].rebuild()
	}
	built = true
	err := g.core.add(ctx, inner, func() {
		if len(g.middleware()) != mws { // a Use that may have missed these listeners
			for _, l := range inner {
				l.rebuild()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return outer, nil
}

// listener makes the untyped listener of spec.
func (g *ListenGroup[LCtx, CCtx]) listener(ctx context.Context, spec ListenerSpec[LCtx]) *listener {
	transport, use := links[LCtx, CCtx](spec.Transport), links[LCtx, CCtx](spec.Use) // copies: the slices are the caller's
	l := g.core.newListener(ctx, spec.ID, spec.MaxConns, spec.OnLimit, listenSpec{
		addr: spec.Addr, adopted: spec.Listener, net: spec.Net, acceptors: spec.Acceptors, onBound: spec.OnBound,
		chain: func() Handler {
			return chain(g.handler, g.plain, transport, g.middleware(), use)
		},
	})
	l.shell = &Listener[LCtx]{l: l, ctx: spec.Context}
	l.newConn = func() *AnyConn {
		c := &Conn[LCtx, CCtx]{Listener: spec.Context}
		c.typed = c
		return &c.AnyConn
	}
	return l
}

// Listen is Add for the plainest case: an address, see [addr.Parse], and the
// listener's context.
func (g *ListenGroup[LCtx, CCtx]) Listen(ctx context.Context, address string, lctx LCtx) (*Listener[LCtx], error) {
	a, err := addr.Parse(address)
	if err != nil {
		return nil, err
	}
	return g.Add(ctx, ListenerSpec[LCtx]{Addr: a, Context: lctx})
}

// Listener returns the listener with this id. A listener that has failed is
// found until it is removed or its id is added again.
func (g *ListenGroup[LCtx, CCtx]) Listener(id string) (*Listener[LCtx], bool) {
	l := g.core.lookup(id)
	if l == nil {
		return nil, false
	}
	return l.shell.(*Listener[LCtx]), true
}

// Listeners yields the listeners in the order in which they were added: a
// snapshot of the moment at which the loop starts.
func (g *ListenGroup[LCtx, CCtx]) Listeners() iter.Seq[*Listener[LCtx]] {
	return func(yield func(*Listener[LCtx]) bool) {
		for _, l := range g.core.all() {
			if !yield(l.shell.(*Listener[LCtx])) {
				return
			}
		}
	}
}

// Conn returns the connection with this id, if its handler has started and it
// has not ended. See [Conn] for what may be done with its Data.
func (g *ListenGroup[LCtx, CCtx]) Conn(id uint64) (*Conn[LCtx, CCtx], bool) {
	a := g.core.reg.get(id)
	if a == nil || !a.has(flagStarted) {
		return nil, false
	}
	return a.typed.(*Conn[LCtx, CCtx]), true
}

// Conns yields the connections whose handler has started, in no particular
// order. It is weakly consistent: connections that come or go during the loop
// may or may not be seen. It never holds up accepting, however long the loop's
// body takes. Their Data is in use, see [Conn] for who may touch it.
func (g *ListenGroup[LCtx, CCtx]) Conns() iter.Seq[*Conn[LCtx, CCtx]] {
	return func(yield func(*Conn[LCtx, CCtx]) bool) {
		for a := range g.core.reg.all() {
			if a.has(flagStarted) && !yield(a.typed.(*Conn[LCtx, CCtx])) {
				return
			}
		}
	}
}

// ConnInfos yields what is known of every connection, also of those that are
// parked, in their handshake, or being turned away; else it is as Conns.
func (g *ListenGroup[LCtx, CCtx]) ConnInfos() iter.Seq[ConnInfo] {
	return func(yield func(ConnInfo) bool) {
		for a := range g.core.reg.all() {
			if !yield(a.Info()) {
				return
			}
		}
	}
}

// Kill closes the connection with this id, any of those that ConnInfos
// yields, as [AnyConn.Close] does. It reports false if there is none, or if it
// was over already.
func (g *ListenGroup[LCtx, CCtx]) Kill(id uint64, cause error) bool {
	a := g.core.reg.get(id)
	if a == nil {
		return false
	}
	if cause == nil {
		cause = ErrKilled
	}
	return a.end(reasonOfCause(cause), cause)
}

// Info returns what is known of the group and its listeners: one consistent
// snapshot, at a cost that does not depend on the number of connections.
func (g *ListenGroup[LCtx, CCtx]) Info() GroupInfo { return g.core.info() }

// SetMaxConns changes the number of connections that the group serves at one
// time; 0 or less means no limit. It takes effect at once: raised, connections
// that wait are let in; lowered, nobody is killed, and nobody let in until
// enough have ended.
func (g *ListenGroup[LCtx, CCtx]) SetMaxConns(n int) { g.core.setMax(nil, n) }

// Wait returns nil once cond has returned true, or the context's cause. cond
// is called on the caller's goroutine, first at once and then after changes,
// each time with one consistent snapshot. A condition that stays true is
// never missed; one that comes and goes may be, for which Accepted and Ended,
// which only grow, are better:
//
//	g.Wait(ctx, func(n lgrp.Counts) bool { return n.Ended >= 100 })
func (g *ListenGroup[LCtx, CCtx]) Wait(ctx context.Context, cond func(Counts) bool) error {
	return g.core.wait(ctx, cond)
}

// Ready reports whether the group should be sent new clients: it is not
// draining, and at least one listener is Accepting or Full.
func (g *ListenGroup[LCtx, CCtx]) Ready() bool {
	g.core.mu.Lock()
	defer g.core.mu.Unlock()
	return g.core.ready()
}

// Run waits until ctx is done and then shuts the group down, giving
// connections [Options.Grace] to finish. It is a convenience for main
// functions; the group accepts without it. It returns
//   - nil after a clean shutdown, and when somebody else has shut the group
//     down, not before they are done;
//   - a *[DrainError] if connections had to be forced or are stuck;
//   - [ErrNoListener], joined with what the listeners failed with and what else
//     there is, when none is left but such as have failed, which ends Run (and
//     the group) too.
//
// Without any listener it waits for ctx.
func (g *ListenGroup[LCtx, CCtx]) Run(ctx context.Context) error { return g.core.run(ctx) }

// Drain stops the listeners, asks the connections to finish, waits, and at
// ctx's deadline, or when ctx is cancelled, closes those that are left. The
// listeners end Closed; after that Add works again. DrainOptions can narrow it
// to some connections, spread it and announce it; nil is all of them, now.
//
// The report is never nil. The error is a *[DrainError] if connections had to
// be forced or are stuck, else nil.
//
// A Drain that begins while another is under way joins it: where both are
// about the same connection the earlier deadline holds, and each reports on
// its own selection.
func (g *ListenGroup[LCtx, CCtx]) Drain(ctx context.Context, opts *DrainOptions) (*DrainReport, error) {
	r := g.core.drain(ctx, nil, opts)
	return r, r.err()
}

// Shutdown drains everything and refuses new work for good: Add returns
// ErrGroupClosed. It waits for connections until ctx is done, forces those
// that are left, and returns when every goroutine of the group has ended but
// those of stuck connections. It returns a *[DrainError] if and only if any
// connection had to be forced or is stuck. It may be called again, also at the
// same time.
func (g *ListenGroup[LCtx, CCtx]) Shutdown(ctx context.Context) error {
	return g.core.shutdown(ctx).err()
}

// Close is Shutdown without any grace: all connections are closed now. It
// returns a *[DrainError] only if any is stuck.
func (g *ListenGroup[LCtx, CCtx]) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := g.core.shutdown(ctx)
	if len(r.Stuck) == 0 {
		return nil
	}
	return r.err()
}
