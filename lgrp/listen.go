package lgrp

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// listener is a Listener without its type.
type listener struct {
	g       *core
	id      string
	serial  uint64
	spec    listenSpec
	values  context.Context // of Add; its cancellation is cut off
	newConn func() *AnyConn // makes a typed record with the listener's context
	shell   any             // the *Listener[LCtx]
	chain   atomic.Pointer[Handler]
	resume  chan struct{} // holds the right to bind again

	// guarded by core.mu
	addr      addr.Addr
	bound     bool // has an address: is listed
	taken     bool // a socket has been made of what was bound or adopted
	drained   bool // a drain came while it was starting
	intent    intent
	shown     ListenerState
	since     time.Time
	cause     error
	sock      *socket       // nil while released and when closed
	binding   *socket       // that Resume is warming up
	socks     int           // sockets that are not closed yet
	replaced  *listener     // a failed one whose id this one has taken
	gate      chan struct{} // closed when accept goroutines should look again; made by who waits
	backing   int           // accept goroutines that back off
	blocked   int           // accept goroutines that wait for a slot
	max       int
	policy    LimitPolicy
	active    int
	uncounted int
	parked    int
	accepted  uint64
	closed    tally
	queue     waitQueue
	idleHead  *AnyConn
	idleTail  *AnyConn
	evictors  int        // its waiters under EvictIdle
	victims   int        // its connections that are being evicted
	drains    []*drainOp // of all of the listener; never changed in place
	news      newsQueue
	started   bool // has got as far as Listening
	over      bool // Unlistening has been told
}

// listenSpec is what ListenerSpec says, without its type.
type listenSpec struct {
	addr      addr.Addr
	adopted   net.Listener
	net       *netx.Options
	acceptors int
	onBound   func(context.Context, ListenerInfo) error
	chain     func() Handler // makes the chain as it is to be from now on
}

// intent is what callers want of a listener; together with what holds the
// accept goroutines up it makes the state that is shown.
type intent uint8

const (
	intendStart intent = iota
	intendAccept
	intendPause
	intendRelease
	intendDrain
	intendClose
)

func (g *core) newListener(ctx context.Context, id string, maxConns int, policy LimitPolicy, spec listenSpec) *listener {
	return &listener{
		g: g, id: id, spec: spec, max: max(maxConns, 0), policy: policy,
		values: context.WithoutCancel(ctx),
		resume: make(chan struct{}, 1),
		since:  time.Now(),
	}
}

// rebuild makes the chain anew, for connections accepted from now on. It calls
// the application's middleware factories, so it holds no lock; of two that run
// at the same time the one that saw the longer chain must win.
func (l *listener) rebuild() {
	for {
		old := l.chain.Load()
		h := l.spec.chain()
		if l.chain.CompareAndSwap(old, &h) {
			return
		}
	}
}

// state is what should be shown now. mu is held.
func (l *listener) state() ListenerState {
	switch l.intent {
	case intendStart:
		return StateStarting
	case intendPause:
		return StatePaused
	case intendRelease:
		return StateReleased
	case intendDrain:
		return StateDraining
	case intendClose:
		return StateClosed
	}
	switch {
	case l.backing > 0:
		return StateBackingOff
	case l.blocked > 0:
		return StateFull
	}
	return StateAccepting
}

// refresh shows what should be shown, and tells of the move if it is one.
// Whatever changes intent, backing or blocked calls it. cause is why.
func (l *listener) refresh(cause error) {
	from, to := l.shown, l.state()
	if from == to {
		return
	}
	l.shown, l.since, l.cause = to, time.Now(), cause
	l.tell(news{from: from, info: l.info(false)})
	l.settleClosed()
	l.g.bump()
}

// settleClosed tells the group handler that the listener is over, once it is
// closed, no socket of its own can yield another connection, and the last of
// them is gone.
func (l *listener) settleClosed() {
	if l.shown != StateClosed || l.over || l.active+l.uncounted+l.parked > 0 || !l.started || l.socks > 0 {
		return
	}
	l.over = true
	l.tell(news{over: true, info: l.info(true), err: l.cause})
}

// effectivePolicy returns the policy that is in force for l.
func (l *listener) effectivePolicy() LimitPolicy { return l.policy.or(l.g.opts.OnLimit) }

// listed reports whether inspection shows the listener. While it is being
// bound only its id is taken.
func (l *listener) listed() bool { return l.bound }

// unlist frees the listener's id. One that is starting in place of l, which
// has failed, must not bring l back should it fail too.
func (l *listener) unlist() {
	switch now := l.g.listeners[l.id]; {
	case now == l:
		delete(l.g.listeners, l.id)
	case now != nil && now.replaced == l:
		now.replaced = nil
	}
}

// wake has the accept goroutines look again at what they should do.
func (l *listener) wake() {
	if l.gate != nil {
		close(l.gate)
		l.gate = nil
	}
}

// asleep returns the channel that the next wake closes.
func (l *listener) asleep() <-chan struct{} {
	if l.gate == nil {
		l.gate = make(chan struct{})
	}
	return l.gate
}

// info is called with mu held.
func (l *listener) info(withClosed bool) ListenerInfo {
	info := ListenerInfo{
		ID: l.id, Serial: l.serial, Addr: l.addr, State: l.shown, Since: l.since, Cause: l.cause,
		Active: l.active, Uncounted: l.uncounted, Parked: l.parked, MaxConns: l.max, Accepted: l.accepted,
	}
	if withClosed {
		info.Closed = l.closed.asMap()
	}
	return info
}

func (l *listener) joinDrain(op *drainOp) { l.drains = append(slices.Clip(l.drains), op) }

func (l *listener) quitDrain(op *drainOp) {
	rest := make([]*drainOp, 0, len(l.drains))
	for _, o := range l.drains {
		if o != op {
			rest = append(rest, o)
		}
	}
	l.drains = rest
}
