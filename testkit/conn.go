package testkit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one end of a connection, with the other end and the faults within reach of the test. Ends
// come from [NewConnPair], from a [Listener] and from [Wrap]. It answers as TCP does, over every
// transport: see package memconn. All methods may be called by several goroutines at once.
type Conn struct {
	inner net.Conn
	peer  *Conn
	local atomic.Pointer[net.Addr] // set by SetLocalAddr
	t     TB                       // nil for a wrapped connection
	home  home

	mu            sync.Mutex // never held while anybody waits
	reads, writes flow
	closed        bool
	reset         error // Faults.Reset has happened
}

var _ net.Conn = (*Conn)(nil)

// Wrap returns nc as a Conn, so that faults can be set on it. It has no Peer, and half-close and reset
// only as far as nc has them. The Conn owns nc.
//
// Wrap what TLS runs over rather than a *tls.Conn. Set makes calls under way return by a deadline, and after one
// that has passed a *tls.Conn does not write again, nor finish its handshake. So a Write under way on anything
// with a HandshakeContext method is left alone: the faults are those of the next. A Read is not, so shake
// hands before Set.
func Wrap(nc net.Conn) *Conn { return &Conn{inner: nc, home: here()} }

// Peer returns the other end, nil for a wrapped connection.
func (c *Conn) Peer() *Conn { return c.peer }

// NetConn returns what carries the bytes: a *memconn.Conn, a *net.TCPConn or what Wrap was given.
func (c *Conn) NetConn() net.Conn { return c.inner }

// Read reads what has arrived.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	n, err := c.read(b)
	c.mu.Unlock()
	if isForeign(err) {
		c.fault("read", err)
	}
	return n, c.opError("read", err)
}

// Write sends b.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	n, err := c.write(b)
	c.mu.Unlock()
	if isForeign(err) {
		c.fault("write", err)
	}
	return n, c.opError("write", err)
}

// fault fails the test that made the connection.
func (c *Conn) fault(op string, err error) {
	text := fmt.Sprintf("%s on %v->%v: %v", op, c.LocalAddr(), c.RemoteAddr(), err)
	if c.t == nil {
		panic("testkit: " + text)
	}
	fault(c.t, false, text)
}

// Close closes this end: the other reads what was sent before and then io.EOF, or ECONNRESET when data
// sent here is unread. A second Close answers net.ErrClosed.
func (c *Conn) Close() error {
	reset, unread, err := c.close()
	if err != nil || reset {
		return err
	}
	if unread {
		return c.opError("close", c.abort())
	}
	return c.opError("close", c.inner.Close())
}

// Reset closes this end and makes the other end answer ECONNRESET. A wrapped connection that has neither
// Reset nor SetLinger is just closed.
func (c *Conn) Reset() error {
	reset, _, err := c.close()
	if err != nil || reset {
		return err
	}
	return c.opError("close", c.abort())
}

// close also tells whether a fault has reset the connection, and whether a Read has taken bytes from the inner
// connection, which does not know then that they are unread.
func (c *Conn) close() (reset, unread bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, false, c.opError("close", errClosed)
	}
	c.closed = true
	c.reads.notify()
	c.writes.notify()
	return c.reset != nil, len(c.reads.staged) > 0, nil
}

// abort closes what is inside so that its other end is reset.
func (c *Conn) abort() error {
	switch nc := c.inner.(type) {
	case interface{ Reset() error }:
		return nc.Reset()
	case interface{ SetLinger(int) error }:
		nc.SetLinger(0)
	}
	return c.inner.Close()
}

// IsClosed tells whether this end was closed by Close or Reset. Whether the other was: c.Peer().IsClosed().
func (c *Conn) IsClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// CloseWrite ends the stream to the other end, which can still send. It answers errors.ErrUnsupported for
// a wrapped connection without it.
func (c *Conn) CloseWrite() error {
	nc, ok := c.inner.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("testkit: close write of %T: %w", c.inner, errors.ErrUnsupported)
	}
	return c.closeHalf(&c.writes, nc.CloseWrite)
}

// CloseRead ends reading: Read answers io.EOF, and the other end can still write. It answers
// errors.ErrUnsupported for a wrapped connection without it.
func (c *Conn) CloseRead() error {
	nc, ok := c.inner.(interface{ CloseRead() error })
	if !ok {
		return fmt.Errorf("testkit: close read of %T: %w", c.inner, errors.ErrUnsupported)
	}
	return c.closeHalf(&c.reads, nc.CloseRead)
}

// closeHalf does not ask the inner connection when a fault has closed that: this end has not been closed.
func (c *Conn) closeHalf(f *flow, inner func() error) error {
	c.mu.Lock()
	err := c.reset
	if c.closed {
		err = errClosed
	}
	c.mu.Unlock()
	if err == nil {
		err = inner()
	}
	if err == nil {
		c.mu.Lock()
		f.shutdown()
		c.mu.Unlock()
	}
	return c.opError("close", err)
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr {
	if a := c.local.Load(); a != nil {
		return *a
	}
	return c.inner.LocalAddr()
}

// SetLocalAddr changes the address of this end, which is the remote address of its Peer.
func (c *Conn) SetLocalAddr(a net.Addr) { c.local.Store(&a) }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr {
	if c.peer != nil {
		return c.peer.LocalAddr()
	}
	return c.inner.RemoteAddr()
}

// SetDeadline sets both deadlines. The zero time means none. It applies to calls under way too, and works
// as long as this end is open.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.setDeadline(&c.reads, t); err != nil {
		return err
	}
	return c.setDeadline(&c.writes, t)
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setDeadline(&c.reads, t)
}

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setDeadline(&c.writes, t)
}

func (c *Conn) setDeadline(f *flow, t time.Time) error {
	if c.closed {
		return c.opError("set", errClosed)
	}
	f.deadline = monotonic(t)
	f.notify()
	if f.interrupted || c.reset != nil {
		return nil // resume will pass it on
	}
	return c.opError("set", c.setInnerDeadline(f, t))
}

func (c *Conn) setInnerDeadline(f *flow, t time.Time) error {
	if f == &c.reads {
		return c.inner.SetReadDeadline(t)
	}
	return c.inner.SetWriteDeadline(t)
}

// opError gives err this end's addresses. What the inner connection answered is a *net.OpError already,
// with addresses that SetLocalAddr may have changed.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if inner, ok := err.(*net.OpError); ok {
		if c.local.Load() == nil && (c.peer == nil || c.peer.local.Load() == nil) {
			return err
		}
		op, err = inner.Op, inner.Err
	}
	local := c.LocalAddr()
	if op == "set" {
		return &net.OpError{Op: op, Net: local.Network(), Addr: local, Err: err}
	}
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Addr: c.RemoteAddr(), Err: err}
}
