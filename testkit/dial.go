package testkit

import (
	"context"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// Dial connects to the listener and returns the client's end. The connection is usable before it is
// accepted. While the backlog is full Dial waits, as connecting over TCP does. It answers ECONNREFUSED
// when the listener is closed.
func (l *Listener) Dial() (*Conn, error) {
	return l.connect(context.Background(), nil)
}

// DialContext is Dial for http.Transport.DialContext and everything else that dials with this form; the
// network and the address are not looked at. The connection is a [*Conn].
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := l.connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// NewConn is Dial for the test's own goroutine: it fails the test when it cannot connect, and the
// connection is closed when the test ends, right after the listener.
func (l *Listener) NewConn() *Conn {
	l.t.Helper()
	return l.NewConnConfig(nil)
}

// NewConnConfig is NewConn with a function that is called with the client's end before the connection
// can be accepted: to change its address, or to set faults on it or on its Peer.
func (l *Listener) NewConnConfig(f func(*Conn)) *Conn {
	l.t.Helper()
	c, err := l.connect(l.t.Context(), f)
	if err != nil {
		l.t.Fatalf("testkit: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owned) == cap(l.owned) { // a benchmark makes many and closes them
		l.owned = slices.DeleteFunc(l.owned, (*Conn).IsClosed)
		l.owned = slices.Grow(l.owned, len(l.owned)+1)
	}
	l.owned = append(l.owned, c)
	return c
}

func (l *Listener) connect(ctx context.Context, f func(*Conn)) (*Conn, error) {
	l.mu.Lock()
	client := clientAddr(l.index, l.clients, l.ipv6)
	l.clients++
	addr := l.addr
	err := l.reserve(ctx)
	l.mu.Unlock()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Source: client, Addr: addr, Err: err}
	}
	var c, s *Conn
	if l.real != nil {
		c, s, err = l.real.connect(ctx)
	} else {
		c, s, err = newPair(l.t, l.transport, client, addr)
	}
	if err == nil && f != nil {
		f(c)
	}
	l.mu.Lock()
	l.reserved--
	if l.real != nil {
		l.real.dialed()
	}
	refused := err == nil && (l.closed || l.aborted)
	if err == nil && !refused {
		l.push(arrival{conn: s})
	}
	l.dial.cond.Broadcast()
	l.mu.Unlock()
	if refused {
		s.Reset() // closed behind reserve: as if it had waited in the queue
	}
	return c, err
}

func (l *Listener) push(a arrival) {
	l.queue = append(l.queue, a)
	if a.conn != nil {
		l.pending++
	}
	l.accept.cond.Signal()
}

// reserve waits for room in the backlog.
func (l *Listener) reserve(ctx context.Context) error {
	stop := func() bool { return false }
	defer func() { stop() }()
	for waited := false; ; waited = true {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.closed || l.aborted:
			return os.NewSyscallError("connect", syscall.ECONNREFUSED)
		case l.pending+l.reserved < l.backlog:
			l.reserved++
			return nil
		}
		if err := l.foreign("dial"); err != nil {
			return err.(*net.OpError).Err
		}
		if !waited {
			stop = context.AfterFunc(ctx, l.dial.wake)
		}
		l.dial.wait(time.Time{})
	}
}

// SetBacklog sets how many connections may wait to be accepted before Dial blocks. Defaults to 128.
func (l *Listener) SetBacklog(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = max(1, n)
	l.dial.cond.Broadcast()
}
