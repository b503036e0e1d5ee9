package lgrp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// A ListenerSpec describes a listener to Add: an address to bind or an open
// listener to adopt, one of the two, and what is special about it. All other
// fields may be left zero.
type ListenerSpec[LCtx any] struct {
	// ID names the listener, uniquely in the group. Defaults to the address as
	// bound.
	ID string

	// Addr is what to bind. An address that stands for several is for AddAll.
	Addr addr.Addr

	// Listener is an open listener to adopt instead. The group owns it from
	// the call of Add on, and closes it, also when Add fails.
	Listener net.Listener

	// Net says how to bind Addr. Defaults to nil: netx's defaults.
	Net *netx.Options

	// Context is what the application attaches to the listener; each of its
	// connections has a copy in Conn.Listener. Defaults to its zero value.
	Context LCtx

	// Transport makes the stream: PROXY protocol, TLS. It runs outside the
	// group's chain, the first outermost. Defaults to none.
	Transport []Middleware

	// Use runs inside the group's chain, next to the handler. Defaults to none.
	Use []Middleware

	// MaxConns is the number of connections of the listener that are served at
	// one time, see Listener.SetMaxConns. Defaults to 0: no limit of its own.
	MaxConns int

	// OnLimit says what happens to those beyond MaxConns, or beyond the
	// group's. Defaults to the group's policy.
	OnLimit LimitPolicy

	// Acceptors is the number of accept goroutines, for each shard if Net asks
	// for shards. Defaults to 1.
	Acceptors int

	// OnBound is called after binding and before the first accept, on the
	// goroutine that called Add or Resume, with their context: for warming up,
	// or telling somebody the address. An error unbinds again and is returned
	// inside a *BindError. Defaults to nil.
	OnBound func(context.Context, ListenerInfo) error
}

// check says what is wrong with a spec for one listener.
func (s *ListenerSpec[LCtx]) check() error {
	switch {
	case s.Listener == nil && s.Addr.IsZero():
		return errors.New("lgrp: listener spec: neither Addr nor Listener is set")
	case s.Listener != nil && !s.Addr.IsZero():
		return fmt.Errorf("lgrp: listener spec: both Addr (%s) and Listener are set", s.Addr)
	case s.Addr.IsRange():
		return fmt.Errorf("lgrp: listener spec: %s stands for several addresses: use AddAll", s.Addr)
	case s.Acceptors < 0:
		return fmt.Errorf("lgrp: listener spec: Acceptors is %d", s.Acceptors)
	}
	if i := slices.IndexFunc(s.Transport, isNil); i >= 0 {
		return fmt.Errorf("lgrp: listener spec: Transport[%d] is nil", i)
	}
	if i := slices.IndexFunc(s.Use, isNil); i >= 0 {
		return fmt.Errorf("lgrp: listener spec: Use[%d] is nil", i)
	}
	return nil
}

func isNil(mw Middleware) bool { return mw == nil }

// dispose closes what the group has come to own of a spec that it refused.
func (s *ListenerSpec[LCtx]) dispose() {
	if s.Listener != nil {
		_ = s.Listener.Close()
	}
}

// expandAll replaces specs whose address stands for several by one for each. Its
// errors say which of the specs is wrong.
func expandAll[LCtx any](specs []ListenerSpec[LCtx]) ([]ListenerSpec[LCtx], error) {
	var out []ListenerSpec[LCtx]
	for n, spec := range specs {
		as := []addr.Addr{spec.Addr}
		if spec.Listener == nil && !spec.Addr.IsZero() {
			var err error
			if as, err = netx.Expand(spec.Addr); err != nil {
				return nil, &BindError{Addr: spec.Addr, Err: err}
			}
		}
		for i, a := range as {
			one := spec
			one.Addr = a
			if len(as) > 1 && spec.ID != "" {
				one.ID = fmt.Sprintf("%s#%d", spec.ID, i+1)
			}
			if err := one.check(); err != nil {
				if len(specs) > 1 {
					err = fmt.Errorf("%w (of the spec at %d)", err, n)
				}
				return nil, err
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// A Listener is a handle on one listener of a group. It stays usable after the
// listener has been removed: it then answers Info, and Drain for connections
// that were kept. All methods may be called by many goroutines at once.
//
// Pause, Release, Resume, Drain and Remove set what is intended. To repeat an
// intent is no error; what does not lead anywhere from the state the listener
// is in fails, with an error that names both states.
type Listener[LCtx any] struct {
	l   *listener
	ctx LCtx
}

// ID returns the listener's id.
func (l *Listener[LCtx]) ID() string { return l.l.id }

// Serial returns a number that tells two listeners which used the same id
// apart. Later ones have greater numbers.
func (l *Listener[LCtx]) Serial() uint64 { return l.l.serial }

// Addr returns the address as bound: port 0 is resolved. For a unix socket it
// is the path, without mode and owner. After Release it is the address that
// Resume will bind.
func (l *Listener[LCtx]) Addr() addr.Addr {
	l.l.g.mu.Lock()
	defer l.l.g.mu.Unlock()
	return l.l.addr
}

// Context returns what the application attached to the listener.
func (l *Listener[LCtx]) Context() LCtx { return l.ctx }

// Info returns what is known of the listener now.
func (l *Listener[LCtx]) Info() ListenerInfo {
	var info ListenerInfo
	l.l.g.look(func() { info = l.l.info(true) })
	return info
}

// Pause stops accepting and keeps the port. Clients go on to be connected by
// the kernel, which completes handshakes without asking the application, and
// wait in its queue; when that is full they are ignored and try again. An
// Accept that is under way may still yield one connection for each accept
// goroutine: it is parked until Resume. Connections that are being served go
// on.
func (l *Listener[LCtx]) Pause() error { return l.l.pause() }

// Release gives the port up: clients are refused. What the kernel has queued
// is accepted first and served within the limits, and so is what a Pause left
// parked. Connections that are being served go on.
func (l *Listener[LCtx]) Release() error { return l.l.release() }

// Resume accepts again after Pause or Release. A released listener binds the
// same address and, if it was given one for port 0, the same port; that can
// fail, with a *[BindError], and leaves it Released. Cancelling ctx ends the
// binding and OnBound, which is called again. An adopted listener, and one
// from fd: or systemd:, cannot be bound again: that is an
// [errors.ErrUnsupported].
func (l *Listener[LCtx]) Resume(ctx context.Context) error { return l.l.resumeNow(ctx) }

// SetMaxConns changes the number of connections of this listener that are
// served at one time; 0 or less means no limit of its own. It takes effect at
// once, as [ListenGroup.SetMaxConns] does.
func (l *Listener[LCtx]) SetMaxConns(n int) { l.l.g.setMax(l.l, n) }

// Drain stops this listener and drains its connections, as
// [ListenGroup.Drain] does for all. It ends in Closed, and the listener leaves
// the group. With DrainOptions.Only the listener goes on. For a listener that
// was removed it drains the connections that were kept.
func (l *Listener[LCtx]) Drain(ctx context.Context, opts *DrainOptions) (*DrainReport, error) {
	r := l.l.g.drain(ctx, l.l, opts)
	return r, r.err()
}

// Remove takes the listener out of the group and frees its id at once. With
// KeepConns the kernel's queue is served first and its connections go on, as
// connections of the group. With KillConns the queue is closed with the
// socket, and the connections are closed with [ErrListenerRemoved]; Remove
// does not wait for their handlers. A second Remove with KillConns kills what
// the first one kept.
func (l *Listener[LCtx]) Remove(mode RemoveMode) error { return l.l.remove(mode) }
