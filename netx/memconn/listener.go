package memconn

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Listener is an in-memory listener whose clients are made by its own Dial. It answers like a TCP
// listener and may be used by several goroutines at once. Make it with [Listen].
type Listener struct {
	addr    net.Addr
	opts    Options
	mu      sync.Mutex // never held while anybody waits
	queue   []*Conn    // queue[head:] waits to be accepted
	head    int
	accept  side      // those in Accept
	dial    sync.Cond // those in Dial, waiting for room
	closed  bool
	dialing int
}

var _ net.Listener = (*Listener)(nil)

// Listen returns a listener with the address a; nil is replaced as by [Pair]. Its connections are made with
// opts, which may be nil and is copied.
func Listen(a net.Addr, opts *Options) *Listener {
	l := &Listener{addr: orAnonymous(a)}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Backlog <= 0 {
		l.opts.Backlog = 128
	}
	l.accept.cond.L, l.dial.L = &l.mu, &l.mu
	return l
}

// Dial connects to the listener: local is the address of the end it returns. The connection is usable
// before it is accepted. While the backlog is full Dial waits, as connecting over TCP does, until there
// is room or ctx is done. It answers ECONNREFUSED when the listener is closed.
func (l *Listener) Dial(ctx context.Context, local net.Addr) (*Conn, error) {
	local = orAnonymous(local)
	l.mu.Lock()
	err := l.room(ctx)
	if err != nil {
		l.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: l.addr.Network(), Source: local, Addr: l.addr, Err: err}
	}
	client, server := Pair(local, l.addr, &l.opts)
	if l.head > 0 && len(l.queue) == cap(l.queue) {
		l.queue, l.head = slices.Delete(l.queue, 0, l.head), 0
	}
	l.queue = append(l.queue, server)
	l.accept.cond.Signal()
	l.mu.Unlock()
	return client, nil
}

func (l *Listener) room(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if !l.closed && l.waiting() >= l.opts.Backlog {
		stop := context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.dial.Broadcast()
		})
		defer stop()
		for !l.closed && l.waiting() >= l.opts.Backlog {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			l.dialing++
			l.dial.Wait()
			l.dialing--
		}
	}
	if l.closed {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return nil
}

// Accept waits for a connection; it is a [*Conn]. It answers net.ErrClosed after Close and
// os.ErrDeadlineExceeded once the deadline has passed, even when connections wait.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil, l.opError("accept", errClosed)
		}
		var now time.Time
		if l.accept.timed(0) {
			now = time.Now()
			if l.accept.expired(now) {
				return nil, l.opError("accept", os.ErrDeadlineExceeded)
			}
		}
		if c := l.pop(); c != nil {
			return c, nil
		}
		l.accept.wait(now, time.Time{})
	}
}

// AcceptQueued returns a connection that waits already, without blocking and whatever the deadline.
// When there is none its error has a method QueueEmpty() bool that answers true.
func (l *Listener) AcceptQueued() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, l.opError("accept", errClosed)
	}
	if c := l.pop(); c != nil {
		return c, nil
	}
	return nil, emptyError{}
}

func (l *Listener) waiting() int { return len(l.queue) - l.head }

func (l *Listener) pop() *Conn {
	if l.waiting() == 0 {
		return nil
	}
	c := l.queue[l.head]
	l.queue[l.head] = nil
	if l.head++; l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	if l.dialing > 0 {
		l.dial.Broadcast()
	}
	return c
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
	l.accept.deadline = t
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
	queue := l.queue[l.head:]
	l.queue, l.head = nil, 0
	l.accept.stop()
	l.accept.cond.Broadcast()
	l.dial.Broadcast()
	l.mu.Unlock()
	for _, c := range queue {
		c.Reset()
	}
	return nil
}

// Addr returns the address given to Listen.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: l.addr.Network(), Addr: l.addr, Err: err}
}
