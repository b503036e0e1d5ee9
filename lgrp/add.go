package lgrp

import (
	"context"
	"errors"
	"fmt"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// add binds, warms up and starts the listeners, all of them or none. Nothing
// is accepted before everything is bound.
//
// bound is called when everything is, before the first accept.
func (g *core) add(ctx context.Context, ls []*listener, bound func()) error {
	done := false
	defer func() { // also when OnBound calls Goexit
		if !done {
			for _, l := range ls {
				l.discard()
			}
		}
	}()
	for _, l := range ls {
		if err := l.bind(ctx); err != nil {
			return err
		}
	}
	for _, l := range ls {
		if err := l.warmUp(ctx, l.sock); err != nil {
			return err
		}
	}
	for _, l := range ls {
		if err := l.announce(); err != nil {
			return err
		}
	}
	bound()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range ls {
		if err := l.mayStart(); err != nil {
			return err
		}
	}
	for _, l := range ls {
		l.intent = intendAccept
		l.replaced = nil
		l.sock.start()
		l.refresh(nil)
	}
	done = true
	return nil
}

// bind opens the listener's socket and lists it as Starting.
func (l *listener) bind(ctx context.Context) error {
	if l.id != "" { // known before binding: refuse before binding
		if err := l.g.reserve(l); err != nil {
			return err
		}
	}
	ln := l.spec.adopted
	if ln == nil {
		var err error
		if ln, err = netx.Listen(ctx, l.spec.addr, l.spec.net); err != nil {
			return &BindError{Addr: l.spec.addr, Err: err}
		}
	}
	sock := newSocket(l, ln)
	bound := addr.FromNet(ln.Addr())
	l.g.mu.Lock()
	l.sock, l.addr = sock, bound
	l.g.mu.Unlock()
	if l.id == "" {
		l.id = bound.String()
		if err := l.g.reserve(l); err != nil {
			return err
		}
	}
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	l.bound = true
	l.g.bump()
	return l.mayStart()
}

// reserve takes the listener's id, unless a listener that has not failed has
// it.
func (g *core) reserve(l *listener) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.mayAdd(); err != nil {
		return err
	}
	old := g.listeners[l.id]
	if old != nil && old.shown != StateClosed {
		return fmt.Errorf("%w: %q", ErrDuplicateID, l.id)
	}
	l.replaced = old
	g.lastSerial++
	l.serial = g.lastSerial
	g.listeners[l.id] = l
	return nil
}

// mayAdd is called with mu held.
func (g *core) mayAdd() error {
	switch {
	case g.closing:
		return ErrGroupClosed
	case g.fences > 0:
		return fmt.Errorf("%w: the group is being drained", ErrDrained)
	}
	return nil
}

// mayStart reports, with mu held, whether the listener is still wanted.
func (l *listener) mayStart() error {
	if err := l.g.mayAdd(); err != nil {
		return err
	}
	if l.intent != intendStart {
		return fmt.Errorf("%w while it was starting: %q", ErrListenerRemoved, l.id)
	}
	return nil
}

// warmUp calls OnBound.
func (l *listener) warmUp(ctx context.Context, s *socket) (err error) {
	f := l.spec.onBound
	if f == nil {
		return nil
	}
	l.g.mu.Lock()
	info := l.info(true)
	info.Addr = addr.FromNet(s.ln.Addr())
	l.g.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			pe := newPanicError(v)
			l.g.logPanic("OnBound function", pe, nil)
			err = &BindError{Addr: info.Addr, Err: pe}
		}
	}()
	if err := f(ctx, info); err != nil {
		return &BindError{Addr: info.Addr, Err: err}
	}
	return nil
}

// announce calls the group handler's Listening, unless the listener has become
// unwanted meanwhile. From here on Unlistening is owed.
func (l *listener) announce() error {
	g := l.g
	g.mu.Lock()
	err := l.mayStart()
	info := l.info(true)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.taskStarts() // Shutdown waits for it
	defer func() {
		g.mu.Lock()
		l.started = true
		l.settleClosed()
		g.mu.Unlock()
		g.taskEnds()
	}()
	if f := g.hooks.listening; f != nil {
		defer g.containEvent("Listening")
		f(info)
	}
	return nil
}

// discard undoes what add has done of a listener.
func (l *listener) discard() {
	g := l.g
	g.mu.Lock()
	s := l.sock
	l.sock = nil
	if l.intent != intendClose {
		l.intent = intendClose
		l.refresh(nil)
	}
	if g.listeners[l.id] == l {
		l.unlist()
		if l.replaced != nil { // one that has failed stays listed
			g.listeners[l.id] = l.replaced
		}
	}
	g.bump()
	g.mu.Unlock()
	switch {
	case s != nil:
		s.close(context.Background(), false)
	case l.spec.adopted != nil: // never came to be bound
		_ = g.closeRaw(l.spec.adopted)
	}
}

// bindAgain is what Resume does for a released listener.
func (l *listener) bindAgain(ctx context.Context) error {
	a := l.spec.addr
	if l.spec.adopted != nil || a.Scheme() == "fd" || a.Scheme() == "systemd" {
		return fmt.Errorf("lgrp: resume listener %s: only a listener that was bound by the group can be bound again: %w", l.id, errors.ErrUnsupported)
	}
	ln, err := netx.Listen(ctx, l.rebindAddr(), l.spec.net)
	if err != nil {
		return &BindError{Addr: l.rebindAddr(), Err: err}
	}
	s := newSocket(l, ln)
	l.g.mu.Lock()
	l.binding = s
	l.g.mu.Unlock()
	unused := true
	defer func() {
		l.g.mu.Lock()
		l.binding = nil
		l.g.mu.Unlock()
		if unused {
			s.close(context.Background(), false)
		}
	}()
	if err := l.warmUp(ctx, s); err != nil {
		return err
	}
	g := l.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.mayAdd(); err != nil {
		return err
	}
	if l.intent != intendRelease {
		return l.impossible("resume", StateAccepting)
	}
	unused = false
	l.sock = s
	l.intent = intendAccept
	s.start()
	l.refresh(nil)
	return nil
}

// rebindAddr is the address that was asked for with the port that was got.
func (l *listener) rebindAddr() addr.Addr {
	if a := l.spec.addr; a.Port() != l.addr.Port() && l.addr.Port() != 0 {
		return a.WithPort(l.addr.Port())
	}
	return l.spec.addr
}
