package prop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/listengroup/listengroup/lgrp"
)

// untyped is the context of listeners and connections that have none.
type untyped = struct{}

// hooks is a GroupHandler with all of the optional methods, which checks that they are called in the promised order.
// It has the connections handled by h.
type hooks struct {
	s *State
	h lgrp.ConnHandler[untyped, untyped]

	mu        sync.Mutex // guards what follows; s.mu is never taken while it is held
	listeners map[uint64]*hookedListener
	conns     map[uint64]*hookedConn
}

type hookedListener struct {
	live int // connections between Connected and Disconnected
	over bool
}

type hookedConn struct {
	returned bool // the handler has, with err
	err      error
	gone     bool // Disconnected was called
}

// hooked makes a plain group with hooks.
func hooked(s *State, h lgrp.Handler) System {
	s.hooks = &hooks{s: s, h: lgrp.Typed[untyped, untyped](h), listeners: map[uint64]*hookedListener{}, conns: map[uint64]*hookedConn{}}
	return Adapt(lgrp.NewGroup[untyped, untyped](s.hooks, s.World.Options()))
}

// note has f look and change under the lock, and reports what it says is wrong.
func (k *hooks) note(f func() error) {
	k.mu.Lock()
	err := f()
	k.mu.Unlock()
	if err != nil {
		k.s.violation("%v", err)
	}
}

func (k *hooks) Listening(info lgrp.ListenerInfo) {
	k.note(func() error {
		if k.listeners[info.Serial] != nil {
			return fmt.Errorf("listener %s: Listening was called twice", info.ID)
		}
		k.listeners[info.Serial] = &hookedListener{}
		if info.Accepted > 0 {
			return fmt.Errorf("listener %s: Listening was called after %d connections had been accepted", info.ID, info.Accepted)
		}
		return nil
	})
}

func (k *hooks) Unlistening(info lgrp.ListenerInfo, err error) {
	k.note(func() error {
		l := k.listeners[info.Serial]
		switch {
		case l == nil:
			return fmt.Errorf("listener %s: Unlistening was called without Listening", info.ID)
		case l.over:
			return fmt.Errorf("listener %s: Unlistening was called twice", info.ID)
		}
		l.over = true
		switch {
		case l.live > 0:
			return fmt.Errorf("listener %s: Unlistening was called while %d connections were connected", info.ID, l.live)
		case info.State != lgrp.StateClosed:
			return fmt.Errorf("listener %s: Unlistening was called while it was %v", info.ID, info.State)
		case err != info.Cause:
			return fmt.Errorf("listener %s: Unlistening was given %v, and the cause is %v", info.ID, err, info.Cause)
		}
		return nil
	})
}

func (k *hooks) Connected(_ context.Context, _ net.Conn, c *lgrp.Conn[untyped, untyped]) (lgrp.ConnHandler[untyped, untyped], error) {
	own := &hookedConn{}
	k.note(func() error {
		l := k.listeners[c.Info().ListenerSerial]
		if l == nil || l.over {
			return fmt.Errorf("a connection of listener %s: Connected was called before Listening or after Unlistening", c.ListenerID())
		}
		if k.conns[c.ID()] != nil {
			return fmt.Errorf("a connection of listener %s: Connected was called twice", c.ListenerID())
		}
		l.live++
		k.conns[c.ID()] = own
		return nil
	})
	return func(ctx context.Context, nc net.Conn, c *lgrp.Conn[untyped, untyped]) error {
		err := k.h(ctx, nc, c)
		k.mu.Lock()
		own.returned, own.err = true, err
		k.mu.Unlock()
		return err
	}, nil
}

func (k *hooks) Disconnected(c *lgrp.Conn[untyped, untyped], err error) {
	k.note(func() error {
		own := k.conns[c.ID()]
		if own == nil {
			return fmt.Errorf("a connection of listener %s: Disconnected was called without Connected", c.ListenerID())
		}
		if own.gone {
			return fmt.Errorf("a connection of listener %s: Disconnected was called twice", c.ListenerID())
		}
		own.gone = true
		k.listeners[c.Info().ListenerSerial].live--
		var pe *lgrp.PanicError
		switch {
		case own.returned && err != own.err:
			return fmt.Errorf("a connection of listener %s: Disconnected was given %v, and its handler returned %v", c.ListenerID(), err, own.err)
		case !own.returned && !errors.As(err, &pe):
			return fmt.Errorf("a connection of listener %s: Disconnected was given %v, and its handler did not return", c.ListenerID(), err)
		}
		return nil
	})
}

// checkHooks checks that all was told that should have been. s.mu is held.
func (s *State) checkHooks() error {
	k := s.hooks
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range s.conns {
		if c.any == nil {
			continue
		}
		own := k.conns[c.any.ID()]
		switch {
		case own == nil && c.running && !c.shaking:
			return fmt.Errorf("%v is being served, and Connected was not called", c)
		case own != nil && c.over() && !own.gone:
			return fmt.Errorf("%v is over, and Disconnected was not called", c)
		case own != nil && c.running && own.gone:
			return fmt.Errorf("%v is being served, and Disconnected was called", c)
		}
	}
	for _, l := range s.lns {
		told := l.h != nil && k.listeners[l.h.Serial()] != nil
		switch {
		case l.h == nil:
		case !told:
			return fmt.Errorf("listener %s was added, and Listening was not called", l.id)
		case s.final && !k.listeners[l.h.Serial()].over:
			return fmt.Errorf("listener %s is over, and Unlistening was not called", l.id)
		}
	}
	return nil
}
