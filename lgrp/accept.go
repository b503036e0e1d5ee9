package lgrp

import (
	"errors"
	"net"
	"os"
	"time"
)

// acceptLoop is one accept goroutine. It blocks on nothing but Accept, its
// listener's limit and back-off: no handshake, no address look-up, no code of
// the application's but the listener's Accept itself, whose panic ends this
// listener and nothing else.
func (s *socket) acceptLoop(ln net.Listener) {
	var failure error
	returned := false
	defer func() {
		if !returned {
			pe := newPanicError(recover())
			s.l.g.logPanic("Accept method or AcceptBackoff function", pe, nil)
			failure = pe
		}
		s.loopEnds(failure)
	}()
	failure = s.accept(ln)
	returned = true
}

// accept accepts until the socket is to stop, or until an error that is not
// worth another try, which it returns.
func (s *socket) accept(ln net.Listener) error {
	var (
		held *AnyConn // parked by this goroutine
		ep   = episode{l: s.l}
	)
	defer ep.end()
	for s.turn(held) {
		deadlines := s.deadlines.Load()
		nc, err := ln.Accept()
		if err == nil && nc == nil {
			err = errNilConn
		}
		if err != nil {
			if s.interrupted() {
				continue
			}
			if errors.Is(err, os.ErrDeadlineExceeded) && s.ours(deadlines) {
				s.interrupt() // whoever resumed may not have come to take it away
				continue
			}
			retryIn := s.l.g.opts.AcceptBackoff(err, ep.count+1)
			s.l.acceptFailed(err, retryIn)
			if retryIn < 0 {
				ep.fatal(err)
				return err
			}
			ep.failed(err)
			s.backOff(err, retryIn)
			continue
		}
		ep.end()
		held = s.take(nc)
	}
	return nil
}

var errNilConn = errors.New("lgrp: Accept returned neither a connection nor an error")

// turn returns true when it is time to accept, and false when the socket is
// to stop. Meanwhile it waits: while the listener is paused, while the
// connection that this goroutine has parked waits, under Queue only once the
// queue is full.
func (s *socket) turn(held *AnyConn) bool {
	if held == nil && !s.halt.Load() {
		return true
	}
	l, g := s.l, s.l.g
	blocked := false
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		full := held != nil && l.intent == intendAccept
		if full && l.effectivePolicy().kind == queue {
			// The other accept goroutines may come back with one more each. Where
			// there are more of them than places, an empty queue is not full.
			full = l.queue.n > max(queueBound(l.max, g.max)-s.loops, 0)
		} else if full {
			full = held.has(flagParked)
		}
		if full != blocked {
			blocked = full
			if full {
				l.blocked++
			} else {
				l.blocked--
			}
			l.refresh(nil)
		}
		if stop := s.mustStop(); stop || !full && l.intent != intendPause {
			if blocked {
				l.blocked--
				l.refresh(nil)
			}
			return !stop
		}
		wake := l.asleep()
		g.mu.Unlock()
		<-wake
		g.mu.Lock()
	}
}

// interrupted reports whether Accept was made to return, to pause or to stop,
// in which case its error means nothing.
func (s *socket) interrupted() bool {
	g := s.l.g
	g.mu.Lock()
	defer g.mu.Unlock()
	return s.mustWait()
}

// mustStop reports whether the accept goroutines are to leave, be it that
// nobody has come to close the socket yet; mustWait whether they are not to
// accept now. mu is held.
func (s *socket) mustStop() bool {
	return s.stop || s.l.intent != intendAccept && s.l.intent != intendPause
}

func (s *socket) mustWait() bool { return s.stop || s.l.intent != intendAccept }

// backOff waits before the next Accept. What the error was about may be
// better as soon as a connection of the group has been closed, so that, a
// pause and a stop end the wait too.
func (s *socket) backOff(err error, d time.Duration) {
	if d == 0 {
		return
	}
	l, g := s.l, s.l.g
	g.mu.Lock()
	if s.mustWait() {
		g.mu.Unlock()
		return
	}
	l.backing++
	l.refresh(err)
	if g.freed == nil {
		g.freed = make(chan struct{})
	}
	freed, wake := g.freed, l.asleep()
	g.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	for waiting := true; waiting; {
		select {
		case <-t.C:
			waiting = false
		case <-freed:
			waiting = false
		case <-wake: // perhaps only for those who wait for their limit
			g.mu.Lock()
			waiting, wake = !s.mustWait(), l.asleep()
			g.mu.Unlock()
		}
	}
	g.mu.Lock()
	l.backing--
	l.refresh(nil)
	g.mu.Unlock()
}

// take is the way in for every connection that was accepted, be it by an
// accept loop or by a sweep. It returns the connection if it had to be parked.
func (s *socket) take(nc net.Conn) (held *AnyConn) {
	l, g := s.l, s.l.g
	c := l.newConn()
	c.l, c.raw = l, nc
	c.id = g.opts.IDs.Next()
	c.at = time.Since(g.base)
	chain := l.chain.Load() // a later Use is not for this connection
	g.reg.add(c)
	v, w, next := g.admit(s, c)
	switch v {
	case admitted:
		g.serve(w, c, chain)
	case parked:
		held = c
		g.do(next)
		// Killed before it was in the queue, where the killer could not find
		// it: either it sees flagParked or this sees flagEnded.
		if c.has(flagEnded) {
			g.task(func() { g.abandon(c, ReasonKilled, ErrKilled) }) // a Close may block
		}
	case rejected:
		g.reject(c)
	case tooLate:
		g.task(func() { g.dismiss(c) })
	}
	return held
}
