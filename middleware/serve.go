package middleware

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"sync"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// Serve returns a Handler that feeds connections to a server which was written
// against net.Listener, while the group goes on to track and limit them. It
// stands at the end of a chain:
//
//	h := middleware.Serve(grpcServer.Serve)
//
// serve is called with a listener, on a goroutine of its own, when the first
// connection comes. That listener ends, with net.ErrClosed, when the last
// connection has gone, and its Handler waits for serve to return; so there is
// at most one call at a time, and none without a connection. The server's own
// shutting down is its owner's business. For net/http there is [HTTP].
//
// A connection is over when the server has closed it, or it has been killed.
// What the server does at the beginning of a drain is its own matter too: code
// that sees the connections can find theirs by [netx.ServeContext] and
// [lgrp.AnyFromContext], and use Draining or OnDrain.
//
// When serve returns while it has connections, those that nobody has accepted
// yet end with its error, and the next one to come makes Serve call it again.
// If it panics they end with a *[lgrp.PanicError]. Serve panics if serve is nil.
func Serve(serve func(net.Listener) error) lgrp.Handler {
	if serve == nil {
		panic("middleware: Serve with a nil function")
	}
	f := &feeder{serve: serve}
	return func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		s := f.enter(nc.LocalAddr())
		err := s.ln.Serve(ctx, nc)
		ended := f.leave(s)
		if netx.IsClosed(err) && ctx.Err() == nil && ended && s.err != nil {
			return fmt.Errorf("middleware: Serve: %w", s.err)
		}
		return err
	}
}

// feeder keeps one serving under way while there are connections.
type feeder struct {
	serve func(net.Listener) error

	mu   sync.Mutex
	cur  *serving
	last chan struct{} // done of the one before cur
}

// serving is one call of serve.
type serving struct {
	ln    *netx.ConnListener
	users int           // guarded by feeder.mu
	done  chan struct{} // closed when serve has returned
	err   error         // constant from then on
}

// enter joins the serving that is under way, or begins one.
func (f *feeder) enter(a net.Addr) *serving {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.cur; s != nil && !s.ended() {
		s.users++
		return s
	}
	s := &serving{ln: netx.NewConnListener(a), users: 1, done: make(chan struct{})}
	before := f.last
	f.cur, f.last = s, s.done
	go func() {
		if before != nil {
			<-before
		}
		s.run(f.serve)
	}()
	return s
}

// leave reports whether the serving has ended; the last one out ends it.
func (f *feeder) leave(s *serving) bool {
	f.mu.Lock()
	s.users--
	last := s.users == 0
	if last && f.cur == s {
		f.cur = nil
	}
	f.mu.Unlock()
	if last {
		_ = s.ln.Close()
		<-s.done
	}
	return s.ended()
}

func (s *serving) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *serving) run(serve func(net.Listener) error) {
	returned := false
	defer func() {
		if v := recover(); !returned {
			if v == nil {
				v = "runtime.Goexit called"
			}
			s.err = &lgrp.PanicError{Value: v, Stack: debug.Stack()}
		}
		close(s.done) // before the listener, so that who sees that end finds err
		_ = s.ln.Close()
	}()
	s.err = serve(s.ln)
	returned = true
}
