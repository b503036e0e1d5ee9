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
	g.mu.Lock()
	err := g.mayAdd() // before anything is bound
	g.mu.Unlock()
	if err != nil {
		return err
	}
	for _, l := range ls {
		if err := l.bind(ctx); err != nil {
			return err
		}
	}
	for _, l := range ls {
		if err := l.warmUpNew(ctx); err != nil {
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
	l.g.mu.Lock()
	l.socks++
	l.sock, l.addr, l.taken = sock, sock.addr, true
	l.g.mu.Unlock()
	if l.id == "" {
		l.id = sock.addr.String()
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
	switch {
	case l.intent == intendStart:
		return nil
	case l.drained:
		return fmt.Errorf("%w while it was starting: listener %q", ErrDrained, l.id)
	}
	return fmt.Errorf("%w while it was starting: %q", ErrListenerRemoved, l.id)
}

// warmUpNew calls OnBound for a listener that Add has bound, if it is still
// wanted: those before it may have taken their time.
func (l *listener) warmUpNew(ctx context.Context) error {
	l.g.mu.Lock()
	s, err := l.sock, l.mayStart()
	l.g.mu.Unlock()
	if err != nil {
		return err
	}
	return l.warmUp(ctx, s)
}

// warmUp calls OnBound.
func (l *listener) warmUp(ctx context.Context, s *socket) (err error) {
	f := l.spec.onBound
	if f == nil {
		return nil
	}
	l.g.mu.Lock()
	info := l.info(true)
	info.Addr = s.addr
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
	if err == nil {
		g.taskStarts() // Shutdown waits for it
	}
	g.mu.Unlock()
	if err != nil {
		return err
	}
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
	s.stopsSoon()
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
	case l.spec.adopted != nil && !l.taken: // whoever took the socket away closes it
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
	g := l.g
	s := newSocket(l, ln)
	g.mu.Lock()
	if err = l.mayBindAgain(); err == nil {
		l.socks++
		l.binding = s // whoever stops the listener from now on finds it
	}
	g.mu.Unlock()
	if err != nil {
		_ = g.closeRaw(ln)
		return err
	}
	unused := true
	defer func() {
		g.mu.Lock()
		l.binding = nil
		if unused {
			s.stopsSoon()
		}
		g.mu.Unlock()
		if unused {
			s.close(context.Background(), false)
		}
	}()
	if err := l.warmUp(ctx, s); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := l.mayBindAgain(); err != nil {
		return err
	}
	unused = false
	l.sock = s
	l.intent = intendAccept
	s.start()
	l.refresh(nil)
	return nil
}

// mayBindAgain reports, with mu held, whether a resume is still wanted.
func (l *listener) mayBindAgain() error {
	if err := l.g.mayAdd(); err != nil {
		return err
	}
	if l.intent != intendRelease {
		return l.impossible("resume", StateAccepting)
	}
	return nil
}

// rebindAddr is the address that was asked for with the port that was got.
func (l *listener) rebindAddr() addr.Addr {
	if a := l.spec.addr; a.Port() != l.addr.Port() && l.addr.Port() != 0 {
		return a.WithPort(l.addr.Port())
	}
	return l.spec.addr
}
