package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// ConnListener is a net.Listener that accepts the connections it is given. It
// lets a server that was written for a listener, such as http.Server, serve
// connections that were accepted and prepared elsewhere. Create it with
// [NewConnListener]; its methods may be called by many goroutines at once, and
// it starts none.
type ConnListener struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

// NewConnListener returns a listener whose Addr is a. Nil stands for an address
// that means nothing, "conn:0".
func NewConnListener(a net.Addr) *ConnListener {
	if a == nil {
		a = connAddr{}
	}
	return &ConnListener{addr: a, conns: make(chan net.Conn), done: make(chan struct{})}
}

type connAddr struct{}

func (connAddr) Network() string { return "conn" }
func (connAddr) String() string  { return "conn:0" }

// Serve hands nc to whoever calls Accept and blocks until they have closed it,
// or ctx has ended. It does not close nc itself.
//
// What Accept returns is nc as it is if it can tell of its Close, and otherwise
// nc in a [WithCloseNotify]. A *tls.Conn cannot be wrapped without servers losing
// sight of it, so there the notifier has to be beneath it.
//
// The error is nil if nc was accepted and closed, context.Cause(ctx) if ctx has
// ended, and net.ErrClosed if the listener was closed, or nc, before anyone
// accepted it. Connections that were accepted earlier outlive the listener's
// Close, as with any listener.
func (l *ConnListener) Serve(ctx context.Context, nc net.Conn) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := CloseNotify(nc); !ok {
		if _, ok := nc.(*tls.Conn); ok {
			return errors.New("netx: serve: a *tls.Conn needs WithCloseNotify beneath it")
		}
		nc = WithCloseNotify(nc)
	}
	notifier, _ := search[*closeNotifier](nc, beneath)
	notifier.mu.Lock()
	notifier.ctx = ctx
	notifier.mu.Unlock()
	closed := notifier.done()

	select {
	case l.conns <- nc:
	case <-l.done:
		return net.ErrClosed
	case <-closed:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-closed: // at the same time, and then it counts
		return nil
	default:
		return context.Cause(ctx)
	}
}

// Accept waits for a connection that Serve has been given. After Close its error
// is net.ErrClosed.
func (l *ConnListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept, and Serve for connections that nobody has accepted. It
// returns nil, also when called again.
func (l *ConnListener) Close() error {
	l.close.Do(func() { close(l.done) })
	return nil
}

// Addr returns the address that NewConnListener was given.
func (l *ConnListener) Addr() net.Addr { return l.addr }
