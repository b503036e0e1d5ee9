package prop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// serve is the handler of all connections. It does what the client says, a letter at a time. Behind handshake it is
// the second half of one.
func (s *State) serve(ctx context.Context, nc net.Conn, a *lgrp.AnyConn) error {
	if c, ok := ctx.Value(shakenKey{}).(*conn); ok {
		return s.talk(ctx, nc, a, c, nil)
	}
	return s.attend(ctx, nc, a, nil)
}

type shakenKey struct{}

// handshake is a Transport stage that does what the client says too, until that says that the stage is over.
func (s *State) handshake(next lgrp.Handler) lgrp.Handler {
	return func(ctx context.Context, nc net.Conn, a *lgrp.AnyConn) error { return s.attend(ctx, nc, a, next) }
}

// attend is the whole of a connection. With next set it is in its Transport stage.
func (s *State) attend(ctx context.Context, nc net.Conn, a *lgrp.AnyConn, next lgrp.Handler) error {
	c := s.start(ctx, nc, a, next != nil)
	if c == nil {
		return nil
	}
	var forget context.CancelFunc = func() {}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		var early error // the child's, which cannot end before its parent
		if c.child != nil {
			early = context.Cause(c.child)
		}
		forget()
		c.running, c.returned, c.cause = false, true, context.Cause(ctx)
		c.endedAt, s.freedAt = s.clock(), s.clock()
		if early != nil && early != c.cause && s.full != nil {
			s.broken = append(s.broken, fmt.Sprintf("%v: its context says %v, and one derived from it %v", c, c.cause, early))
		}
	}()
	if s.full != nil && c.n%2 == 1 {
		child, cancel := context.WithCancel(ctx)
		forget = cancel
		s.mu.Lock()
		c.child, c.childAt, c.drainCh = child, s.clock(), a.Draining()
		s.mu.Unlock()
	}
	defer s.onDrain(c, nc, a)()
	return s.talk(ctx, nc, a, c, next)
}

// onDrain registers what is to be told of a drain: a function that has the handler return, one that is taken back, and
// one that counts.
func (s *State) onDrain(c *conn, nc net.Conn, a *lgrp.AnyConn) (stop func() bool) {
	stop = a.OnDrain(func() {
		s.mu.Lock()
		polite, slow, fragile := !c.stubborn, c.slowEar, c.fragile
		c.ears++
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			c.ears--
			c.endedAt, s.freedAt = max(c.endedAt, s.clock()), s.clock()
			s.mu.Unlock()
		}()
		if fragile {
			panic(accident{"an OnDrain function", s})
		}
		if polite {
			_ = nc.SetReadDeadline(time.Unix(1, 0))
		}
		if slow {
			s.sleep(300*time.Millisecond + 7*time.Microsecond)
		}
	})
	var back atomic.Bool
	undo := a.OnDrain(func() {
		if back.Load() {
			s.violation("%v: an OnDrain function has run that had been taken back", c)
		}
	})
	if c.n%2 == 0 && undo() { // the others do it when it is not the latest any more
		back.Store(true)
	}
	a.OnDrain(func() {
		s.mu.Lock()
		c.told++
		s.mu.Unlock()
	})
	if undo() {
		back.Store(true)
	}
	return stop
}

// talk does what the client says.
func (s *State) talk(ctx context.Context, nc net.Conn, a *lgrp.AnyConn, c *conn, next lgrp.Handler) error {
	one := make([]byte, 1)
	for {
		if _, err := nc.Read(one); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && drains(a) {
				return nil
			}
			if errors.Is(err, net.ErrClosed) && ctx.Err() == nil && s.full != nil {
				s.violation("%v: its socket was closed before its context had ended", c)
			}
			return err
		}
		if one[0] == 'n' && next != nil {
			s.mu.Lock()
			c.shaking = false
			s.mu.Unlock()
			if _, err := nc.Write([]byte{'.'}); err != nil {
				return err
			}
			return next(context.WithValue(ctx, shakenKey{}, c), nc, a)
		}
		if err, done := s.obey(c, nc, a, one[0]); done {
			return err
		}
	}
}

// drains tells whether the connection has been asked to finish.
func drains(a *lgrp.AnyConn) bool {
	select {
	case <-a.Draining():
		return true
	default:
		return false
	}
}

// start puts the beginning of a handler into the ledger.
func (s *State) start(ctx context.Context, nc net.Conn, a *lgrp.AnyConn, shaking bool) *conn {
	var done <-chan struct{}
	if s.full != nil {
		done = ctx.Done()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var c *conn
	for _, each := range s.conns {
		if each.ends == ends(nc.LocalAddr(), nc.RemoteAddr()) && each.sock != nil {
			c = each
		}
	}
	if c == nil {
		s.broken = append(s.broken, "a handler was started with a connection that no listener has accepted")
		return nil
	}
	c.starts++
	c.running, c.any, c.startedStep = true, a, s.step
	c.shaking, c.done = shaking, done
	if found, ok := lgrp.AnyFromContext(ctx); s.full != nil && (!ok || found != a || ctx.Value(addKey{}) != c.l) {
		s.broken = append(s.broken, fmt.Sprintf("%v: its context knows neither it nor what Add was given", c))
	}
	if c.starts > 1 {
		s.broken = append(s.broken, fmt.Sprintf("%v: its handler was started twice", c))
	}
	if s.over {
		s.broken = append(s.broken, fmt.Sprintf("%v: its handler was started after the shutdown had returned", c))
	}
	var all, own int
	for _, each := range s.conns {
		if each.holds() {
			all++
			if each.l == c.l {
				own++
			}
		}
	}
	if s.max > 0 && all > s.max {
		s.broken = append(s.broken, fmt.Sprintf("%v: was admitted as number %d, and the limit is %d", c, all, s.max))
	}
	if c.l.max > 0 && own > c.l.max {
		s.broken = append(s.broken, fmt.Sprintf("%v: was admitted as number %d of its listener, whose limit is %d", c, own, c.l.max))
	}
	return c
}

var (
	errHandler = errors.New("the handler's error")
	errKill    = errors.New("the killer's reason")
)

// obey does one command of the client.
func (s *State) obey(c *conn, nc net.Conn, a *lgrp.AnyConn, command byte) (err error, done bool) {
	hang := false
	switch command {
	case 'q':
		return nil, true
	case 'x':
		return errHandler, true
	case 't':
		return os.ErrDeadlineExceeded, true
	case 'd':
		return &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: errHandler}, true
	case 'E':
		return fmt.Errorf("%w: %w", errHandler, io.EOF), true
	case 'P':
		return fmt.Errorf("%w: %w", errHandler, syscall.EPIPE), true
	case 'R':
		return fmt.Errorf("%w: %w", errHandler, syscall.ECONNRESET), true
	case 'p':
		panic(accident{"the handler", s})
	case 'g':
		runtime.Goexit()
	case 'u':
		s.mu.Lock()
		c.uncounted, c.idle = true, 0
		s.mu.Unlock()
		s.Recorder.ConnUncounted(a.ID())
		a.Uncount()
	case 'i':
		s.mu.Lock()
		if s.idles++; !c.uncounted && c.idle == 0 {
			c.idle, c.wasIdle = s.idles, true
		}
		s.mu.Unlock()
		a.SetIdle(true)
	case 'b':
		s.mu.Lock()
		c.idle = 0
		s.mu.Unlock()
		a.SetIdle(false)
	case 'k':
		s.mu.Lock()
		c.stubborn = true
		s.mu.Unlock()
	case 'o':
		s.mu.Lock()
		c.slowEar = true
		s.mu.Unlock()
	case 'f':
		s.mu.Lock()
		c.fragile = c.told == 0
		s.mu.Unlock()
	case 'z':
		hang = true
	}
	if _, err := nc.Write([]byte{'.'}); err != nil {
		return err, true
	}
	if hang {
		<-c.hang
	}
	return nil, false
}

// accident is what the model panics with. If nobody contains it the process ends, and tells what was done.
type accident struct {
	where string
	s     *State
}

// Error is shown when the process ends.
func (a accident) Error() string {
	return "a bug in " + a.where + ", put there by the model, which the group has not contained; " + a.s.story()
}
