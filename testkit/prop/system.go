package prop

import (
	"context"
	"iter"
	"net"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// System is a server with several listeners, as a [Model] drives it: a group, by [Adapt], or anything
// else that accepts connections. What it cannot do answers errors.ErrUnsupported, or false, and is left out.
// The methods are called by one goroutine at a time, but Shutdown and Remove while others are under way.
type System interface {
	// Add serves the spec's listener from now on.
	Add(ctx context.Context, spec ListenerSpec) error

	// Remove stops listening. With KeepConns, the connections go on. Once Shutdown was called there may be nothing
	// left to remove, and an error is as good as nil.
	Remove(id string, mode lgrp.RemoveMode) error

	// SetMaxConns changes the limit of a listener, or with the id "" of all; 0 means none.
	SetMaxConns(id string, n int) error

	// Counts returns how many connections there are; false if the system does not count.
	Counts() (lgrp.Counts, bool)

	// Shutdown stops everything. Connections may go on until ctx is done and are then closed.
	Shutdown(ctx context.Context) error
}

// ListenerSpec is a listener that a Model adds.
type ListenerSpec struct {
	ID       string
	Listener net.Listener // the system owns it from here
	MaxConns int          // 0: no limit
	OnLimit  lgrp.LimitPolicy

	// bind opens the listener, instead of Listener, for a system that can open it again.
	bind func(addr.Addr) (net.Listener, error)

	transport []lgrp.Middleware // of a group
	acceptors int               // likewise
}

// Adapt returns the group as a System, with all that a ListenGroup can do beyond the five methods. Its
// handler should be the one that Model.New was given:
//
//	g := lgrp.New(lgrp.Typed[Port, Session](h), w.Options())
//	return prop.Adapt(g)
//
// The events of its options should be those of World.Options.
func Adapt[LCtx, CCtx any](g *lgrp.ListenGroup[LCtx, CCtx]) System {
	return &adapted[LCtx, CCtx]{wholeGroup: g, g: g, handles: map[string]handle{}}
}

// full is a System that can do everything.
type full interface {
	System
	whole() wholeGroup
	handle(id string) handle
	conn(id uint64) (found, yielded bool) // by Conn, and by Conns
}

// wholeGroup is what a ListenGroup can do that does not depend on its types.
type wholeGroup interface {
	Drain(ctx context.Context, opts *lgrp.DrainOptions) (*lgrp.DrainReport, error)
	Info() lgrp.GroupInfo
	ConnInfos() iter.Seq[lgrp.ConnInfo]
	Kill(id uint64, cause error) bool
	Ready() bool
	Wait(ctx context.Context, cond func(lgrp.Counts) bool) error
	Close() error
}

// handle is what a Listener can do that does not depend on its type. It outlives the listener.
type handle interface {
	Serial() uint64
	Info() lgrp.ListenerInfo
	Pause() error
	Release() error
	Resume(ctx context.Context) error
	SetMaxConns(n int)
	Drain(ctx context.Context, opts *lgrp.DrainOptions) (*lgrp.DrainReport, error)
	Remove(mode lgrp.RemoveMode) error
}

type adapted[LCtx, CCtx any] struct {
	wholeGroup
	g       *lgrp.ListenGroup[LCtx, CCtx]
	handles map[string]handle // the latest of each id
}

func (a *adapted[LCtx, CCtx]) whole() wholeGroup       { return a.g }
func (a *adapted[LCtx, CCtx]) handle(id string) handle { return a.handles[id] }

func (a *adapted[LCtx, CCtx]) conn(id uint64) (found, yielded bool) {
	_, found = a.g.Conn(id)
	for c := range a.g.Conns() {
		yielded = yielded || c.ID() == id
	}
	return found, yielded
}

func (a *adapted[LCtx, CCtx]) Add(ctx context.Context, spec ListenerSpec) error {
	s := lgrp.ListenerSpec[LCtx]{ID: spec.ID, Listener: spec.Listener, MaxConns: spec.MaxConns, OnLimit: spec.OnLimit, Transport: spec.transport, Acceptors: spec.acceptors}
	if spec.bind != nil {
		s.Listener = nil
		s.Addr = addr.MustParse(scheme + "://" + spec.ID + ":0")
		ctx = context.WithValue(ctx, bindKey{}, spec.bind)
	}
	l, err := a.g.Add(ctx, s)
	if err == nil {
		a.handles[spec.ID] = l
	}
	return err
}

func (a *adapted[LCtx, CCtx]) Remove(id string, mode lgrp.RemoveMode) error {
	return a.handles[id].Remove(mode)
}

func (a *adapted[LCtx, CCtx]) SetMaxConns(id string, n int) error {
	if id == "" {
		a.g.SetMaxConns(n)
	} else {
		a.handles[id].SetMaxConns(n)
	}
	return nil
}

func (a *adapted[LCtx, CCtx]) Counts() (n lgrp.Counts, ok bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = a.g.Wait(ctx, func(c lgrp.Counts) bool { n = c; return true })
	return n, true
}

func (a *adapted[LCtx, CCtx]) Shutdown(ctx context.Context) error { return a.g.Shutdown(ctx) }

// scheme is that of addresses which a group opens, and opens again, in a Model. Who opens them is in the
// context, so that nothing is shared between cases.
const scheme = "prop"

type bindKey struct{}

func init() {
	netx.Register(scheme, func(ctx context.Context, a addr.Addr, _ *netx.Options) (net.Listener, error) {
		bind, ok := ctx.Value(bindKey{}).(func(addr.Addr) (net.Listener, error))
		if !ok {
			return nil, &net.AddrError{Err: "only models can listen on it", Addr: scheme}
		}
		return bind(a)
	}, nil)
}
