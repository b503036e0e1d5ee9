package lgrp

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// AnyConn is what is known of a connection, without the application's types:
// what middleware is given. It is embedded in [Conn].
//
// The zero value is usable in tests of middleware: it has ID 0, no listener
// and no peer, and drains only when its own Drain is called. All methods may
// be called by many goroutines at once, also after the connection has ended.
// An AnyConn must not be copied.
type AnyConn struct {
	// It is the registry's node, the connection's context and the typed
	// record in one allocation, so every word here is paid for by every
	// connection. What is rarely set is in side.
	mu    sync.Mutex
	flags atomic.Uint32
	id    uint64
	l     *listener
	raw   net.Conn      // as Accept returned it
	typed any           // the *Conn[LCtx, CCtx] that this is part of
	at    time.Duration // accepted, since core.base
	cause error         // guarded by mu until flagEnded is set, then constant
	done  chan struct{} // guarded by mu; made by the first Done
	side  atomic.Pointer[side]
}

// The bits of AnyConn.flags. draining and ended change under AnyConn.mu,
// started and closing under none, the rest under core.mu; all may be read
// without.
const (
	flagParked    uint32 = 1 << iota // waits for a slot
	flagSlotted                      // holds one
	flagUncounted                    // gave its slot back and goes on
	flagIdle                         // SetIdle(true)
	flagVictim                       // chosen to be evicted
	flagStarted                      // the handler proper has been started
	flagDraining                     // asked to finish
	flagEnded                        // reason and cause are set; the context is done
	flagClosing                      // somebody is closing the socket, or has
	flagClosed                       // the socket is closed
	flagGone                         // counted as closed; no drain can select it

	reasonShift = 24 // the Reason is above; it is set together with flagEnded
)

// side holds what most connections never need.
type side struct {
	// guarded by AnyConn.mu
	peer       net.Addr
	serverName string
	protocol   string
	note       string
	deadline   time.Time // of the drain; zero: none
	timer      *time.Timer
	drainCh    chan struct{}
	onDrain    callbacks
	running    int           // OnDrain functions that have been started and have not returned
	ran        chan struct{} // closed when running comes to 0; made by who waits
	after      callbacks     // context children
	closedCh   chan struct{} // closed with the socket; made by who waits
	ended      context.Context

	// guarded by core.mu
	waiter             *waiter
	chain              *Handler // of a connection that was parked, as it was then
	drains             []*drainOp
	idlePrev, idleNext *AnyConn
	idleTicket         uint64
}

func (c *AnyConn) has(flag uint32) bool { return c.flags.Load()&flag != 0 }
func (c *AnyConn) set(flag uint32)      { c.flags.Or(flag) }
func (c *AnyConn) clear(flag uint32)    { c.flags.And(^flag) }

// swap clears some flags and sets others at once.
func (c *AnyConn) swap(clear, set uint32) {
	for {
		f := c.flags.Load()
		if c.flags.CompareAndSwap(f, f&^clear|set) {
			return
		}
	}
}

// reason returns why the connection ended, or ReasonNone while it has not.
func (c *AnyConn) reason() Reason { return Reason(c.flags.Load() >> reasonShift) }

// needSide returns the side record, which it makes if there is none.
func (c *AnyConn) needSide() *side {
	if s := c.side.Load(); s != nil {
		return s
	}
	c.side.CompareAndSwap(nil, new(side))
	return c.side.Load()
}

// ID returns the connection's number: from 1, never used twice, not even by
// another group that shares the IDSource.
func (c *AnyConn) ID() uint64 { return c.id }

// ListenerID returns the id of the listener that accepted the connection.
func (c *AnyConn) ListenerID() string {
	if c.l == nil {
		return ""
	}
	return c.l.id
}

// LocalAddr returns the address that the connection came in on, or nil.
func (c *AnyConn) LocalAddr() net.Addr {
	if c.raw == nil {
		return nil
	}
	return c.raw.LocalAddr()
}

// RemoteAddr returns the peer's address: what SetRemoteAddr said, else the
// socket's, or nil.
func (c *AnyConn) RemoteAddr() net.Addr {
	if s := c.side.Load(); s != nil {
		c.mu.Lock()
		peer := s.peer
		c.mu.Unlock()
		if peer != nil {
			return peer
		}
	}
	if c.raw == nil {
		return nil
	}
	return c.raw.RemoteAddr()
}

// SetRemoteAddr tells who the real peer is, for Transport middleware that
// learned it, such as middleware.ProxyProtocol. nil goes back to the socket's.
func (c *AnyConn) SetRemoteAddr(a net.Addr) {
	s := c.needSide()
	c.mu.Lock()
	s.peer = a
	c.mu.Unlock()
}

// SetTLS tells the server name (SNI) and application protocol (ALPN) that a
// handshake settled, for later middleware and for ConnInfo.
func (c *AnyConn) SetTLS(serverName, protocol string) {
	s := c.needSide()
	c.mu.Lock()
	s.serverName, s.protocol = serverName, protocol
	c.mu.Unlock()
}

// SetNote sets a text that is shown by inspection and in the report of a
// drain, such as the command that the connection is at work on.
func (c *AnyConn) SetNote(note string) {
	s := c.needSide()
	c.mu.Lock()
	s.note = note
	c.mu.Unlock()
}

// AcceptedAt returns when Accept returned the connection.
func (c *AnyConn) AcceptedAt() time.Time {
	if c.l == nil {
		return time.Time{}
	}
	return c.l.g.base.Add(c.at)
}

// Close ends the connection now: it sets its reason and cause (see [Reason];
// nil is ErrKilled), then ends its context, then closes its socket, so that a
// Read which fails because of it finds the cause set. It does not wait for
// the handler to return. If the connection had a reason already, Close does
// nothing. A parked connection leaves the queue.
func (c *AnyConn) Close(cause error) {
	if cause == nil {
		cause = ErrKilled
	}
	c.end(reasonOfCause(cause), cause)
}

// Uncount gives the connection's slot back while it goes on: it stays in the
// registry, in inspection and in drains. It is for connections that, once set
// up, cost next to nothing. There is no way back. It does nothing for a
// connection that holds no slot.
func (c *AnyConn) Uncount() {
	if c.l != nil {
		c.l.g.uncount(c)
	}
}

// SetIdle says whether the connection waits for nothing but the peer's next
// request. Where the limit policy is EvictIdle, the one that has been idle for
// longest is closed to let another in. It takes effect at once.
func (c *AnyConn) SetIdle(idle bool) {
	if c.l != nil {
		c.l.g.setIdle(c, idle)
	} else if idle {
		c.set(flagIdle)
	} else {
		c.clear(flagIdle)
	}
}

// StartServing says that the connection's handler starts now, so that Conns
// and Conn(id) yield it. The group does so before it calls its own handler;
// only middleware that ends the chain with a handler of another kind, as
// middleware.Sniff does with its routes, has to.
func (c *AnyConn) StartServing() { c.set(flagStarted) }

// Info returns what is known of the connection now.
func (c *AnyConn) Info() ConnInfo {
	f := c.flags.Load()
	info := ConnInfo{
		ID:         c.id,
		ListenerID: c.ListenerID(),
		Local:      c.LocalAddr(),
		Remote:     c.RemoteAddr(),
		AcceptedAt: c.AcceptedAt(),
		Parked:     f&flagParked != 0,
		Draining:   f&flagDraining != 0,
		Idle:       f&flagIdle != 0,
		Counted:    f&flagSlotted != 0,
		Reason:     Reason(f >> reasonShift),
	}
	if c.l != nil {
		info.ListenerSerial = c.l.serial
	}
	if s := c.side.Load(); s != nil {
		c.mu.Lock()
		info.ServerName, info.Protocol, info.Note = s.serverName, s.protocol, s.note
		c.mu.Unlock()
	}
	return info
}
