package prop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// conn is one connection, seen from all sides.
type conn struct {
	n      int // counts from 1 in the order of dialing
	l      *listener
	ln     *testkit.Listener
	client *testkit.Conn
	ends   string
	step   int // of its dialing

	// the ledger, guarded by State.mu
	sock                      *sock
	order                     int // of accepting, from 1
	acceptedStep, startedStep int
	acceptedAt, endedAt       time.Duration
	any                       *lgrp.AnyConn
	starts                    int
	running                   bool
	returned                  bool
	cause                     error // the context's when the handler returned
	replies                   int
	text                      string // what is no reply
	readErr                   error
	uncounted                 bool
	idle                      int             // when it became idle, 0: it is not
	wasIdle                   bool            // at any time
	shaking                   bool            // is in its Transport stage
	drainCh                   <-chan struct{} // Draining, where it was asked for early
	child                     context.Context // derived from the handler's, at childAt
	childAt                   time.Duration
	done                      <-chan struct{} // the handler context's
	told                      int             // how often an OnDrain function has run
	ears                      int             // OnDrain functions that have not returned

	// what the model knows
	sent      int // commands that are answered
	gone      bool
	mayRefuse bool // need not have been accepted
	stubborn  bool // does not heed a drain
	slowEar   bool // its OnDrain function takes its time
	fragile   bool // its OnDrain function panics
	stuck     bool
	hang      chan struct{}
	unhang    sync.Once
	allowed   map[lgrp.Reason]bool
	decided   lgrp.Reason // the first reason, which stays
	wantCause error
	wantErr   error // that its handler returned
	must      bool  // it is over, or its end is overdue
	maySignal bool
	signals   int // by how many drains
	signalBy  time.Duration
	deadline  time.Duration // of its drains; 0: none
	slack     time.Duration // of what is done to it
	rejected  bool
	refusedAt time.Duration // when it was turned away; later than accepted if a pause had parked it
	waited    bool          // was seen to wait for a slot
	mayEvict  bool          // while its listener was not paused
	seen      bool          // its end was looked at
	told1     time.Duration // the deadline of its first drain; never: none
	shownBy   time.Duration // the deadline that it was told; 0: none
}

// ends names a connection by both its addresses: the kernel gives one port to clients of several listeners.
func ends(server, client net.Addr) string { return server.String() + " from " + client.String() }

func (c *conn) String() string { return fmt.Sprintf("connection %d of %s", c.n, c.l.id) }

func (c *conn) unstick() { c.unhang.Do(func() { close(c.hang) }) }

// allow says that the connection may end for a reason, unless it has been decided already.
func (c *conn) allow(rs ...lgrp.Reason) {
	for _, r := range rs {
		c.allowed[r] = true
	}
}

// decide says for what reason the connection ends now.
func (c *conn) decide(r lgrp.Reason, cause error) {
	if c.decided == lgrp.ReasonNone && !c.over() {
		c.decided, c.wantCause = r, cause
	}
}

// over, waiting and live are the phases that the ledger shows; State.mu is held.
func (c *conn) over() bool {
	return c.sock != nil && (c.returned && c.ears == 0 || c.starts == 0 && c.sock.closes > 0)
}
func (c *conn) waiting() bool { return c.sock != nil && c.starts == 0 && c.sock.closes == 0 }

// holds tells whether it has a slot.
func (c *conn) holds() bool {
	return c.sock != nil && c.starts > 0 && !c.uncounted && !(c.over() && c.sock.closes > 0)
}

// sock is the server's end.
type sock struct {
	*testkit.Conn
	s      *State
	c      *conn
	closes int // guarded by State.mu
}

func (k *sock) Close() error {
	k.s.mu.Lock()
	if c := k.c; c != nil && k.s.full != nil {
		if wrong := k.s.checkClose(c); wrong != "" {
			k.s.broken = append(k.s.broken, fmt.Sprintf("%v: its socket was closed %s", c, wrong))
		}
	}
	k.s.freedAt = k.s.clock()
	k.closes++
	if k.c != nil && k.c.starts == 0 {
		k.c.endedAt = k.s.clock()
	}
	k.s.mu.Unlock()
	return k.Conn.Close()
}

// checkClose is about the moment at which a group closes a socket. s.mu is held.
func (s *State) checkClose(c *conn) (wrong string) {
	if c.any != nil {
		info := c.any.Info()
		switch {
		case info.Reason == lgrp.ReasonNone:
			return "before its context had ended"
		case c.running && !s.plain(c):
			return "before a context derived from its own had ended"
		case !info.Counted && !c.uncounted && c.sock.closes == 0:
			return "after its slot had been given away"
		}
	}
	if c.sock == nil || c.sock.closes > 0 {
		return ""
	}
	for info := range s.full.whole().ConnInfos() {
		if ends(info.Local, info.Remote) == c.ends {
			return ""
		}
	}
	return "after the group had forgotten it"
}

// plain tells whether the contexts of a connection that has ended have too.
func (s *State) plain(c *conn) bool {
	// One that is made at the moment of the end may end a moment later.
	if c.child != nil && c.child.Err() == nil && s.clock() > c.childAt {
		return false
	}
	select {
	case <-c.done:
		return true
	default:
		return c.done == nil
	}
}

// door is the listener as the system sees it.
type door struct {
	*testkit.Listener
	s *State
	l *listener

	// guarded by State.mu
	closed   bool
	closedAt time.Duration
	failures failures
	tardy    bool // deadlines come into force a moment later
}

var errPanic = errors.New("panic, please")

func (d *door) Accept() (net.Conn, error) {
	d.s.mu.Lock()
	if wrong := d.failures.early(d.s.clock(), d.s.freedAt); wrong != "" && !d.l.touched.Load() && d.l.crew == 1 && !d.s.real {
		d.s.broken = append(d.s.broken, fmt.Sprintf("listener %s: %s", d.l.id, wrong))
	}
	d.s.mu.Unlock()
	nc, err := d.Listener.Accept()
	d.s.mu.Lock()
	d.failures.add(err, d.s.clock())
	d.s.mu.Unlock()
	if errors.Is(err, errPanic) {
		panic(accident{"Accept", d.s})
	}
	return d.enter(nc, err)
}

func (d *door) SetDeadline(t time.Time) error {
	d.s.mu.Lock()
	tardy := d.tardy
	d.s.mu.Unlock()
	if tardy {
		<-time.After(d.s.scaled(tardiness))
	}
	return d.Listener.SetDeadline(t)
}

const tardiness = time.Millisecond + 3*time.Microsecond

func (d *door) AcceptQueued() (net.Conn, error) { return d.enter(d.Listener.AcceptQueued()) }

func (d *door) enter(nc net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &sock{Conn: nc.(*testkit.Conn), s: s}
	c := s.register(d.l, d.Listener, k.Conn.Peer())
	s.accepted++
	k.c, c.sock = c, k
	c.order, c.acceptedStep, c.acceptedAt = s.accepted, s.step, s.clock()
	return k, nil
}

// Close notes when the binding ended.
func (d *door) Close() error {
	d.s.mu.Lock()
	d.closed, d.closedAt = true, d.s.clock()
	d.s.mu.Unlock()
	return d.Listener.Close()
}

// register makes the record of a client; whoever is first to know of it, it or Accept, does it. s.mu is held.
func (s *State) register(l *listener, ln *testkit.Listener, client *testkit.Conn) *conn {
	for _, c := range s.conns {
		if c.client == client {
			return c
		}
	}
	c := &conn{n: len(s.conns) + 1, l: l, ln: ln, step: s.step, hang: make(chan struct{}), allowed: map[lgrp.Reason]bool{}}
	c.client, c.ends = client, ends(client.RemoteAddr(), client.LocalAddr())
	s.conns = append(s.conns, c)
	go s.listen(c)
	return c
}

// shut hides that the listener can be told to stop without being closed.
type shut struct{ net.Listener }

// listen reads what the client is sent, until it ends.
func (s *State) listen(c *conn) {
	buf := make([]byte, 64)
	for {
		n, err := c.client.Read(buf)
		s.mu.Lock()
		for _, b := range buf[:n] {
			if b == '.' {
				c.replies++
			} else {
				c.text += string(rune(b))
			}
		}
		c.readErr = err
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}
