package netx

import (
	"context"
	"net"
	"sync"
)

// WithCloseNotify returns nc as a connection whose Close can be waited for with
// [CloseNotify]. It changes nothing else and keeps the optional methods. If
// there is one in nc already, it returns nc.
//
// Code that asserts *tls.Conn, such as net/http, needs to get that type itself,
// so for TLS this goes beneath it, where closing the *tls.Conn arrives too:
//
//	nc = tls.Server(netx.WithCloseNotify(nc), config)
func WithCloseNotify(nc net.Conn) net.Conn {
	if _, ok := search[*closeNotifier](nc, beneath); ok {
		return nc
	}
	c := &closeNotifier{}
	c.Conn = nc
	return Wrap(c)
}

// CloseNotify returns a channel that is closed once nc has been closed. It
// reports false if there is no [WithCloseNotify] in nc or beneath it. The socket
// is closed by then; that the peer closes is not noticed.
func CloseNotify(nc net.Conn) (<-chan struct{}, bool) {
	c, ok := search[*closeNotifier](nc, beneath)
	if !ok {
		return nil, false
	}
	return c.done(), true
}

// ServeContext returns the context that was given to [ConnListener.Serve] with
// nc, which may have been wrapped since. It reports false if nc did not come
// from there. It is made for http.Server.ConnContext.
func ServeContext(nc net.Conn) (context.Context, bool) {
	c, ok := search[*closeNotifier](nc, beneath)
	if !ok {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx, c.ctx != nil
}

type closeNotifier struct {
	Through
	mu     sync.Mutex // not held while closing
	closed bool
	ch     chan struct{} // made when first asked for: under TLS mostly never
	ctx    context.Context
}

func (c *closeNotifier) done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
		if c.closed {
			close(c.ch)
		}
	}
	return c.ch
}

// Close tells after the fact, so that who waits for it finds the socket closed.
func (c *closeNotifier) Close() error {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed && c.ch != nil {
			close(c.ch)
		}
		c.closed = true
	}()
	return c.Conn.Close()
}
