package testkit

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Listener is a net.Listener whose clients, queue, errors and delays the test decides. It is made by
// [Listen] or [Network.Listen]. All methods may be called by several goroutines at once.
type Listener struct {
	t         TB
	transport Transport
	index     int
	ipv6      bool
	real      *loopback // only for Loopback
	home      home

	mu       sync.Mutex // never held while anybody waits
	accept   waiter     // those in Accept
	dial     waiter     // those in Dial
	addr     net.Addr
	queue    []arrival
	pending  int     // connections in queue
	reserved int     // room taken by Dials under way
	clients  int     // counts client addresses
	owned    []*Conn // made by NewConn, closed at the end of the test
	backlog  int
	deadline time.Time
	delay    time.Duration
	sticky   error
	closeErr error
	aborted  bool
	closed   bool
	over     bool // the test's cleanup has run

	misused   bool // away from home
	asked     bool // Accept has been called
	accepting int  // those in Accept that wait or have a spin to report
	spin      spinGuard
}

// arrival is what Accept will answer: a connection, or an error once.
type arrival struct {
	conn *Conn
	err  error
}

var _ net.Listener = (*Listener)(nil)

// Listen returns a listener on a [Network] of its own: its address is 192.0.2.1:1001, or one of the
// kernel's for [Loopback]. tr defaults to Buffered(0, 0). Tests with several listeners take them from
// one Network, so that their addresses differ.
//
// It is closed when the test ends, by t.Cleanup, which runs the last function first: a server made
// after it and closed by t.Cleanup ends before it, one made before it sees Accept fail with net.ErrClosed
// first, and may count or log that. Behind it the connections that [Listener.NewConn] made are closed.
func Listen(t TB, tr ...Transport) *Listener {
	t.Helper()
	return new(Network).Listen(t, tr...)
}

func newListener(t TB, tr Transport, index int, ipv6 bool) *Listener {
	l := &Listener{t: t, transport: tr, index: index, ipv6: ipv6, backlog: 128, home: here(), addr: serverAddr(index, ipv6)}
	l.accept.cond.L, l.dial.cond.L = &l.mu, &l.mu
	if tr.kind == kindLoopback {
		real, err := listenLoopback(l)
		if err != nil {
			t.Helper()
			t.Fatalf("testkit: %v", err)
		}
		l.real, l.addr = real, real.Addr()
	}
	return l
}

// Accept waits for the next connection, a [*Conn], or the next injected error, in the order in which
// they came. It answers net.ErrClosed after Close and os.ErrDeadlineExceeded once the deadline has
// passed, even when connections wait.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.asked = true
	for {
		err := l.refuse()
		if err == nil && len(l.queue) == 0 {
			err = l.foreign("accept")
		}
		if err != nil {
			spinning := l.spin.failed()
			if !spinning {
				l.mu.Unlock()
				return nil, err
			}
			l.accepting++
			defer l.accepted()
			l.mu.Unlock()
			l.spin.stop(l, err)
		}
		if len(l.queue) > 0 {
			break
		}
		l.accepting++
		l.accept.wait(l.deadline)
		l.accepting--
	}
	a := l.pop()
	delay := l.delay
	l.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.conn, nil
}

// foreign is the error of a call that must not wait where it is. The test fails with the first.
func (l *Listener) foreign(op string) error {
	why := l.home.foreign()
	if why == nil {
		return nil
	}
	if !l.misused {
		l.misused = true
		addr := l.addr
		l.mu.Unlock()
		l.fault(fmt.Sprintf("%s on %v: %v", op, addr, why))
		l.mu.Lock()
	}
	return l.opError(op, why)
}

func (l *Listener) accepted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepting--
}

// refuse is the error that Accept answers whatever waits.
func (l *Listener) refuse() error {
	switch {
	case l.closed:
		return l.opError("accept", errClosed)
	case l.sticky != nil:
		return l.sticky
	case expired(l.deadline):
		return l.opError("accept", os.ErrDeadlineExceeded)
	}
	return nil
}

func (l *Listener) pop() arrival {
	a := l.queue[0]
	l.queue[0] = arrival{}
	l.queue = l.queue[1:]
	l.spin = spinGuard{}
	if a.conn != nil {
		l.pending--
		l.dial.cond.Broadcast()
	}
	return a
}

// AcceptQueued returns a connection or injected error that waits already, without blocking and whatever the
// deadline or the delay. When nothing waits its error has a method QueueEmpty() bool that answers true.
func (l *Listener) AcceptQueued() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, l.opError("accept", errClosed)
	case l.sticky != nil:
		return nil, l.sticky
	case len(l.queue) == 0:
		return nil, emptyError{}
	}
	a := l.pop()
	if a.err != nil {
		return nil, a.err
	}
	return a.conn, nil
}

// Addr returns the listener's address, a *net.TCPAddr unless SetAddr changed it.
func (l *Listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}

// SetAddr sets the address: that of the server's end of connections dialed from then on.
func (l *Listener) SetAddr(a net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addr = a
}

// SetDeadline sets the time from which Accept answers os.ErrDeadlineExceeded, also for calls under
// way. The zero time means never.
func (l *Listener) SetDeadline(t time.Time) error {
	t = monotonic(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.opError("set", errClosed)
	}
	l.deadline = t
	l.accept.cond.Broadcast()
	return nil
}

// Close ends Accept and Dial and resets the connections nobody accepted. A second Close answers
// net.ErrClosed.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return l.opError("close", errClosed)
	}
	l.closed = true
	err := l.closeErr
	l.stop()
	return err
}

// stop empties the queue; it releases the lock that the caller holds.
func (l *Listener) stop() {
	queue := l.queue
	l.queue, l.pending, l.spin = nil, 0, spinGuard{}
	l.accept.cond.Broadcast()
	l.dial.cond.Broadcast()
	l.mu.Unlock()
	if l.real != nil {
		l.real.stop()
	}
	for _, a := range queue {
		if a.conn != nil {
			a.conn.Reset()
		}
	}
}

// end is the test's cleanup: unlike Close it does not mind that the listener is closed, and it waits to see
// what becomes of accept loops.
func (l *Listener) end() {
	l.mu.Lock()
	l.closed = true
	owned := l.owned
	l.owned = nil
	l.stop()
	for _, c := range owned {
		c.Close()
	}
	l.settle()
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
}

func (l *Listener) listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && !l.aborted
}

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.addr, Err: err}
}

// Pending returns how many connections wait to be accepted.
func (l *Listener) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}
