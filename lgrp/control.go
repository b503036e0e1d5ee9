package lgrp

import (
	"context"
	"fmt"
)

// impossible is the error of an operation that does not lead from the state
// the listener is in. mu is held.
func (l *listener) impossible(op string, to ListenerState) error {
	return fmt.Errorf("lgrp: %s listener %s: cannot go from %s to %s", op, l.id, l.shown, to)
}

// pause is Listener.Pause.
func (l *listener) pause() error {
	g := l.g
	g.mu.Lock()
	switch l.intent {
	case intendPause:
		g.mu.Unlock()
		return nil
	case intendAccept:
	default:
		err := l.impossible("pause", StatePaused)
		g.mu.Unlock()
		return err
	}
	s := l.sock
	l.intent = intendPause
	s.halt.Store(true)
	l.refresh(nil)
	l.wake()
	g.mu.Unlock()
	s.interrupt()
	return nil
}

// release is Listener.Release.
func (l *listener) release() error {
	g := l.g
	g.mu.Lock()
	switch l.intent {
	case intendRelease:
		s := l.sock
		g.mu.Unlock()
		if s != nil {
			s.awaitGone(context.Background()) // another Release is at it
		}
		return nil
	case intendAccept, intendPause:
	default:
		err := l.impossible("release", StateReleased)
		g.mu.Unlock()
		return err
	}
	l.intent = intendRelease
	s := l.sock
	l.refresh(nil)
	next := g.handOut() // what was parked by a pause is served now
	g.mu.Unlock()
	g.do(next)
	s.close(context.Background(), true)
	<-s.gone // the port is free, however long that takes
	g.mu.Lock()
	if l.sock == s {
		l.sock = nil
	}
	g.mu.Unlock()
	return nil
}

// resumeNow is Listener.Resume.
func (l *listener) resumeNow(ctx context.Context) error {
	select { // one at a time binds
	case l.resume <- struct{}{}:
	default:
		select {
		case l.resume <- struct{}{}:
		case <-ctx.Done():
			return l.gaveUp(ctx)
		}
	}
	defer func() { <-l.resume }()
	g := l.g
	g.mu.Lock()
	switch l.intent {
	case intendAccept:
		g.mu.Unlock()
		return nil
	case intendPause:
		s := l.sock
		l.intent = intendAccept
		s.halt.Store(s.stop)
		l.refresh(nil)
		l.wake()
		next := g.handOut()
		g.mu.Unlock()
		g.do(next)
		s.interrupt()
		return nil
	case intendRelease:
		s := l.sock // still being closed, or nil
		g.mu.Unlock()
		if s != nil {
			select {
			case <-s.gone:
			case <-ctx.Done():
				return l.gaveUp(ctx)
			}
		}
		return l.bindAgain(ctx)
	}
	err := l.impossible("resume", StateAccepting)
	if g.closing {
		err = fmt.Errorf("%w: %w", ErrGroupClosed, err)
	}
	g.mu.Unlock()
	return err
}

// gaveUp is the error of a Resume that was not waited for.
func (l *listener) gaveUp(ctx context.Context) error {
	return fmt.Errorf("lgrp: resume listener %s: %w", l.id, context.Cause(ctx))
}

// remove is Listener.Remove.
func (l *listener) remove(mode RemoveMode) error {
	if mode != KeepConns && mode != KillConns {
		return fmt.Errorf("lgrp: remove listener %s: unknown mode %d", l.id, mode)
	}
	g := l.g
	g.mu.Lock()
	s := l.sock
	starting := l.intent == intendStart // has not accepted: there is nobody to serve
	if l.intent != intendClose {
		l.intent = intendClose
		l.refresh(nil)
	}
	l.sock = nil
	binding := l.binding // by a Resume that is in OnBound
	s.stopsSoon()
	var closing, others []*socket // others: an earlier Remove or Release is at it
	for o := range g.stopping {
		if o != s && o.l == l {
			others = append(others, o)
		}
	}
	l.unlist()
	next := g.handOut()
	g.bump()
	g.mu.Unlock()
	g.do(next)
	if s != nil {
		s.close(context.Background(), mode == KeepConns && !starting)
		closing = append(closing, s)
	}
	if binding != nil {
		binding.close(context.Background(), false)
		closing = append(closing, binding)
	}
	for _, o := range others {
		if mode == KillConns {
			closing = append(closing, o)
			o.close(context.Background(), false)
		} else {
			o.awaitGone(context.Background())
		}
	}
	if mode == KillConns {
		g.mu.Lock()
		for _, o := range closing {
			o.shut = true // its Close may block: that keeps nobody alive
		}
		g.mu.Unlock()
		g.endAll(g.choose(l, nil), ReasonListenerRemoved, ErrListenerRemoved)
	}
	for _, o := range closing {
		<-o.gone
	}
	return nil
}
