package testkit_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/listengroup/listengroup/testkit"
)

// bad is a connection that does one thing wrong: what is set is done instead.
type bad struct {
	*testkit.Conn
	read     func(c *testkit.Conn, b []byte) (int, error)
	write    func(c *testkit.Conn, b []byte) (int, error)
	deadline func(c *testkit.Conn, t time.Time) error // for reading and writing
	readDL   func(c *testkit.Conn, t time.Time) error
	writeDL  func(c *testkit.Conn, t time.Time) error
	close    func(c *testkit.Conn) error
	half     func(c *testkit.Conn) error
	addr     net.Addr
	nowhere  bool // its address is nil
}

func (c *bad) Read(b []byte) (int, error) {
	if c.read != nil {
		return c.read(c.Conn, b)
	}
	return c.Conn.Read(b)
}

func (c *bad) Write(b []byte) (int, error) {
	if c.write != nil {
		return c.write(c.Conn, b)
	}
	return c.Conn.Write(b)
}

func (c *bad) SetDeadline(t time.Time) error {
	if c.deadline != nil {
		return c.deadline(c.Conn, t)
	}
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *bad) SetReadDeadline(t time.Time) error {
	if c.deadline != nil {
		return c.deadline(c.Conn, t)
	}
	if c.readDL != nil {
		return c.readDL(c.Conn, t)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *bad) SetWriteDeadline(t time.Time) error {
	if c.deadline != nil {
		return c.deadline(c.Conn, t)
	}
	if c.writeDL != nil {
		return c.writeDL(c.Conn, t)
	}
	return c.Conn.SetWriteDeadline(t)
}

func (c *bad) Close() error {
	if c.close != nil {
		return c.close(c.Conn)
	}
	return c.Conn.Close()
}

func (c *bad) CloseWrite() error {
	if c.half != nil {
		return c.half(c.Conn)
	}
	return c.Conn.CloseWrite()
}

func (c *bad) CloseRead() error {
	if c.half != nil {
		return c.half(c.Conn)
	}
	return c.Conn.CloseRead()
}

func (c *bad) LocalAddr() net.Addr {
	if c.addr != nil || c.nowhere {
		return c.addr
	}
	return c.Conn.LocalAddr()
}

// as answers one error in place of another, without its addresses.
func as(old, err error) func(c *testkit.Conn, b []byte) (int, error) {
	return func(c *testkit.Conn, b []byte) (int, error) {
		n, got := c.Read(b)
		if errors.Is(got, old) {
			got = err
		}
		return n, got
	}
}

// bare answers one error without its *net.OpError.
func bare(f call, target error) call {
	return func(c *testkit.Conn, b []byte) (int, error) {
		n, err := f(c, b)
		if errors.Is(err, target) {
			err = target
		}
		return n, err
	}
}

// losesTail reads the beginning of what the peer sent, and skips the rest, once the peer is done.
func losesTail(done func(peer *testkit.Conn) bool) call {
	return func(c *testkit.Conn, b []byte) (int, error) {
		n, err := c.Read(b)
		if done(c.Peer()) && n > 8<<10 { // more than io.Copy(io.Discard, c) reads at once
			_, _ = io.Copy(io.Discard, c)
			n = 8 << 10
		}
		return n, err
	}
}

// Each connection here does one thing wrong and breaks the laws about that, and no others.
func TestConnLawsSeeEachMistake(t *testing.T) {
	if testing.Short() {
		t.Skip("every law for every mistake; TestConnLaws shows with net.Pipe that the suite fails")
	}
	var halves sync.Map // the ends that CloseWrite was called on
	for name, test := range map[string]struct {
		make   func(c *testkit.Conn) *bad
		breaks string
	}{
		"changes bytes": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Read(b)
				for i := range n {
					b[i] &= 0x7f
				}
				return n, err
			}}
		}, "BytesArrive"},
		"loses what does not fit": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				if len(b) == 0 {
					return c.Read(b)
				}
				all := make([]byte, max(len(b), 4))
				n, err := c.Read(all)
				return copy(b, all[:n]), err
			}}
		}, "SmallReads UnreadDataResets PastDeadline"},
		"writes later": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, write: func(c *testkit.Conn, b []byte) (int, error) {
				if len(b) != len("before") {
					return c.Write(b)
				}
				time.AfterFunc(time.Second, func() { _, _ = c.Write(b) })
				return len(b), nil
			}}
		}, "WriteCopies"},
		"changes what it is given": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, write: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Write(b)
				if len(b) == len("before") {
					clear(b)
				}
				return n, err
			}}
		}, "WriteCopies"},
		"mixes writes": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, write: func(c *testkit.Conn, b []byte) (n int, err error) {
				if len(b) != 1000 {
					return c.Write(b)
				}
				for n < len(b) && err == nil {
					_, err = c.Write(b[n : n+100])
					n += 100
					time.Sleep(time.Millisecond)
				}
				return n, err
			}}
		}, "WritesDoNotMix"},
		"waits for an empty read":  {func(c *testkit.Conn) *bad { return &bad{Conn: c, read: orWait((*testkit.Conn).Read)} }, "EmptyReadReturns OwnCloseIsErrClosed"},
		"waits for an empty write": {func(c *testkit.Conn) *bad { return &bad{Conn: c, write: orWait((*testkit.Conn).Write)} }, "EmptyWriteReturns"},
		"has another address":      {func(c *testkit.Conn) *bad { return &bad{Conn: c, addr: &net.TCPAddr{Port: 1}} }, "AddressesMirror ErrorsCarryAddresses TimeoutsCarryAddresses"},
		"has no address":           {func(c *testkit.Conn) *bad { return &bad{Conn: c, nowhere: true} }, "AddressesMirror ErrorsCarryAddresses TimeoutsCarryAddresses"},
		"answers bare errors":      {func(c *testkit.Conn) *bad { return &bad{Conn: c, read: as(net.ErrClosed, net.ErrClosed)} }, "ErrorsCarryAddresses"},
		"answers bare read timeouts": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: bare((*testkit.Conn).Read, os.ErrDeadlineExceeded)}
		}, "TimeoutsCarryAddresses"},
		"answers bare write timeouts": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, write: bare((*testkit.Conn).Write, os.ErrDeadlineExceeded)}
		}, "TimeoutsCarryAddresses"},
		"answers a bare error to writing after Close": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, write: bare((*testkit.Conn).Write, net.ErrClosed)}
		}, "ErrorsCarryAddresses"},
		"answers a bare error to writing to nobody": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, write: bare((*testkit.Conn).Write, syscall.EPIPE)}
		}, "ErrorsCarryAddresses"},
		"answers nil addresses": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: as(net.ErrClosed, &net.OpError{Op: "read", Err: net.ErrClosed})}
		}, "ErrorsCarryAddresses"},
		"is reset instead of closed": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, close: (*testkit.Conn).Reset}
		}, "CloseDelivers PeerCloseEndsRead PeerCloseBreaksWrites DeadlineAfterPeerClosed WriteDeadline"},
		"closes as often as told": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, close: func(c *testkit.Conn) error { _ = c.Close(); return nil }}
		}, "CloseOnce ResetIsECONNRESET"},
		"takes its own Close for the peer's": {func(c *testkit.Conn) *bad { return &bad{Conn: c, read: as(net.ErrClosed, io.EOF)} },
			"OwnCloseIsErrClosed CloseEndsRead ErrorsCarryAddresses"},
		"does not know resets": {func(c *testkit.Conn) *bad { return &bad{Conn: c, read: as(syscall.ECONNRESET, io.EOF)} },
			"UnreadDataResets ResetIsECONNRESET ResetBeforeRead"},
		"goes on writing after a reset": {func(c *testkit.Conn) *bad {
			var reset atomic.Bool
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Read(b)
				if errors.Is(err, syscall.ECONNRESET) {
					reset.Store(true)
				}
				return n, err
			}, write: func(c *testkit.Conn, b []byte) (int, error) {
				if reset.Load() {
					return len(b), nil
				}
				return c.Write(b)
			}}
		}, "ResetIsECONNRESET"},
		"sees a reset only while it reads": {func(c *testkit.Conn) *bad {
			var waiting atomic.Int32
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				if len(b) > 0 && waiting.Load() == 0 && c.Peer().IsClosed() {
					n, err := c.Read(b)
					if errors.Is(err, syscall.ECONNRESET) {
						err = io.EOF
					}
					return n, err
				}
				waiting.Add(1)
				defer waiting.Add(-1)
				return c.Read(b)
			}}
		}, "UnreadDataResets ResetBeforeRead"},
		"loses the end of what is unread at Close": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: losesTail((*testkit.Conn).IsClosed)}
		}, "CloseDelivers"},
		"loses the end of what is unread at CloseWrite": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, half: func(c *testkit.Conn) error {
				halves.Store(c, true)
				return c.CloseWrite()
			}, read: losesTail(func(c *testkit.Conn) bool { _, ok := halves.Load(c); return ok })}
		}, "HalfClose CloseRead"},
		"has a half-close that does nothing": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, half: func(*testkit.Conn) error { return nil }}
		}, "HalfClose CloseRead"},
		"has no deadlines": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, deadline: func(c *testkit.Conn, _ time.Time) error {
				if c.IsClosed() {
					return net.ErrClosed
				}
				return nil
			}}
		}, "PastDeadline TimeoutsCarryAddresses ReadDeadline WriteDeadline CallsMoveNoDeadline DeadlineReachesWaitingCalls DeadlineReachesAllWaitingCalls DeadlineCanBeExtended DeadlineAfterPeerClosed"},
		"has one deadline": {func(c *testkit.Conn) *bad { return &bad{Conn: c, deadline: (*testkit.Conn).SetDeadline} }, "DeadlinesAreSeparate"},
		"has deadlines a second late": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, deadline: func(c *testkit.Conn, t time.Time) error {
				if t.After(time.Now()) {
					t = t.Add(time.Second)
				}
				return c.SetDeadline(t)
			}}
		}, "ReadDeadline WriteDeadline DeadlineCanBeExtended DeadlinesAreSeparate"},
		"has deadlines that are no timeouts": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Read(b)
				if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
					err = errInjected
				}
				return n, err
			}}
		}, "PastDeadline TimeoutsCarryAddresses ReadDeadline CallsMoveNoDeadline DeadlineReachesWaitingCalls DeadlineReachesAllWaitingCalls DeadlineCanBeExtended DeadlineAfterPeerClosed"},
		"times out once": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Read(b)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					_ = c.SetReadDeadline(time.Time{})
				}
				return n, err
			}}
		}, "PastDeadline DeadlineReachesAllWaitingCalls"},
		"forgets a read deadline that passes while nobody reads": {func(c *testkit.Conn) *bad {
			arm, use := armedByUse((*testkit.Conn).SetReadDeadline)
			return &bad{Conn: c, readDL: arm, read: func(c *testkit.Conn, b []byte) (int, error) {
				use(c)
				return c.Read(b)
			}}
		}, "PastDeadline CallsMoveNoDeadline"},
		"forgets a write deadline that passes while nobody writes": {func(c *testkit.Conn) *bad {
			arm, use := armedByUse((*testkit.Conn).SetWriteDeadline)
			return &bad{Conn: c, writeDL: arm, write: func(c *testkit.Conn, b []byte) (int, error) {
				use(c)
				return c.Write(b)
			}}
		}, "PastDeadline CallsMoveNoDeadline"},
		"has a read deadline that begins anew after each read": {func(c *testkit.Conn) *bad {
			arm, use := armedByUse((*testkit.Conn).SetReadDeadline)
			return &bad{Conn: c, readDL: arm, read: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Read(b)
				if n > 0 {
					use(c)
				}
				return n, err
			}}
		}, "CallsMoveNoDeadline"},
		"has a write deadline that begins anew after each write": {func(c *testkit.Conn) *bad {
			arm, use := armedByUse((*testkit.Conn).SetWriteDeadline)
			return &bad{Conn: c, writeDL: arm, write: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Write(b)
				if err == nil {
					use(c)
				}
				return n, err
			}}
		}, "CallsMoveNoDeadline"},
		"goes on reading after a timeout": {func(c *testkit.Conn) *bad {
			read, setDeadline := readsAside()
			return &bad{Conn: c, read: read, readDL: setDeadline}
		}, "ReadDeadline"},
		"ends one of several reads at the deadline": {func(c *testkit.Conn) *bad {
			var ended atomic.Bool
			return &bad{Conn: c, read: oneEnds(&ended, (*testkit.Conn).Read), readDL: func(c *testkit.Conn, t time.Time) error {
				ended.Store(false)
				return c.SetReadDeadline(t)
			}}
		}, "PastDeadline DeadlineReachesAllWaitingCalls"},
		"ends one of several writes at the deadline": {func(c *testkit.Conn) *bad {
			var ended atomic.Bool
			return &bad{Conn: c, write: oneEnds(&ended, (*testkit.Conn).Write), writeDL: func(c *testkit.Conn, t time.Time) error {
				ended.Store(false)
				return c.SetWriteDeadline(t)
			}}
		}, "PastDeadline DeadlineReachesAllWaitingCalls"},
		"polls for ever after a timeout": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, read: func(c *testkit.Conn, b []byte) (int, error) {
				n, err := c.Read(b)
				for errors.Is(err, os.ErrDeadlineExceeded) {
					time.Sleep(time.Hour)
					n, err = c.Read(b)
				}
				return n, err
			}}
		}, "PastDeadline TimeoutsCarryAddresses ReadDeadline CallsMoveNoDeadline DeadlineReachesWaitingCalls DeadlineReachesAllWaitingCalls DeadlineCanBeExtended DeadlineAfterPeerClosed"},
		"does not extend the deadline of a waiting read": {func(c *testkit.Conn) *bad {
			read, setDeadline := notExtended((*testkit.Conn).Read, (*testkit.Conn).SetReadDeadline)
			return &bad{Conn: c, read: read, readDL: setDeadline}
		}, "DeadlineCanBeExtended"},
		"does not extend the deadline of a waiting write": {func(c *testkit.Conn) *bad {
			write, setDeadline := notExtended((*testkit.Conn).Write, (*testkit.Conn).SetWriteDeadline)
			return &bad{Conn: c, write: write, writeDL: setDeadline}
		}, "DeadlineCanBeExtended"},
		"does not lift a write deadline": {func(c *testkit.Conn) *bad {
			return &bad{Conn: c, writeDL: func(c *testkit.Conn, t time.Time) error {
				if t.IsZero() && !c.IsClosed() {
					return nil
				}
				return c.SetWriteDeadline(t)
			}}
		}, "PastDeadline"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.TestConn(t, func(t testkit.TB) (net.Conn, net.Conn) {
				a, b := testkit.NewConnPair(t)
				return test.make(a), test.make(b)
			}, &testkit.LawOptions{Deviations: deviations(test.breaks)})
		})
	}
}

// armedByUse keeps a deadline as a time span, which begins anew whenever it is used.
func armedByUse(set setDeadline) (arm setDeadline, use func(c *testkit.Conn)) {
	var span atomic.Int64
	return func(c *testkit.Conn, t time.Time) error {
			span.Store(0)
			if !t.IsZero() {
				span.Store(int64(time.Until(t)))
			}
			return set(c, t)
		}, func(c *testkit.Conn) {
			if d := time.Duration(span.Load()); d > 0 {
				_ = set(c, time.Now().Add(d))
			}
		}
}

type (
	call        = func(c *testkit.Conn, b []byte) (int, error)
	setDeadline = func(c *testkit.Conn, t time.Time) error
)

// readsAside reads in a goroutine that no deadline ends: what it reads after a timeout is lost.
func readsAside() (call, setDeadline) {
	var mu sync.Mutex
	var deadline time.Time
	changed := make(chan struct{})
	look := func() (time.Time, <-chan struct{}) {
		mu.Lock()
		defer mu.Unlock()
		return deadline, changed
	}
	return func(c *testkit.Conn, b []byte) (int, error) {
			deadline, changed := look()
			if len(b) == 0 || !deadline.IsZero() && time.Until(deadline) <= 0 {
				_ = c.SetReadDeadline(deadline)
				n, err := c.Read(b)
				_ = c.SetReadDeadline(time.Time{})
				return n, err
			}
			buf := make([]byte, len(b))
			var n int
			var err error
			read := make(chan struct{})
			go func() { n, err = c.Read(buf); close(read) }()
			for {
				var passed <-chan time.Time
				if !deadline.IsZero() {
					passed = time.After(time.Until(deadline))
				}
				select {
				case <-read:
					return copy(b, buf[:n]), err
				case <-passed:
					return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.ErrDeadlineExceeded}
				case <-changed:
					deadline, changed = look()
				}
			}
		}, func(c *testkit.Conn, t time.Time) error {
			mu.Lock()
			defer mu.Unlock()
			deadline = t
			close(changed)
			changed = make(chan struct{})
			return c.SetReadDeadline(time.Time{})
		}
}

// oneEnds lets one call end at the deadline, the others never.
func oneEnds(ended *atomic.Bool, f call) call {
	return func(c *testkit.Conn, b []byte) (int, error) {
		n, err := f(c, b)
		if errors.Is(err, os.ErrDeadlineExceeded) && ended.Swap(true) {
			select {}
		}
		return n, err
	}
}

// notExtended takes only earlier deadlines while a call waits.
func notExtended(f call, set setDeadline) (call, setDeadline) {
	var waiting atomic.Int32
	return func(c *testkit.Conn, b []byte) (int, error) {
			waiting.Add(1)
			defer waiting.Add(-1)
			return f(c, b)
		}, func(c *testkit.Conn, t time.Time) error {
			if waiting.Load() > 0 && (t.IsZero() || time.Until(t) > 0) {
				return nil
			}
			return set(c, t)
		}
}

func orWait(f call) call {
	return func(c *testkit.Conn, b []byte) (int, error) {
		if len(b) == 0 {
			select {}
		}
		return f(c, b)
	}
}

func deviations(laws string) map[string]string {
	d := map[string]string{}
	for _, law := range strings.Fields(laws) {
		d[law] = "on purpose"
	}
	return d
}

// badDoor is a listener that does one thing wrong.
type badDoor struct {
	*testkit.Listener
	accept   func(l *testkit.Listener) (net.Conn, error)
	close    func(l *testkit.Listener) error
	deadline func(l *testkit.Listener, t time.Time) error
	addr     net.Addr
}

func (d *badDoor) Accept() (net.Conn, error) {
	if d.accept != nil {
		return d.accept(d.Listener)
	}
	return d.Listener.Accept()
}

func (d *badDoor) Close() error {
	if d.close != nil {
		return d.close(d.Listener)
	}
	return d.Listener.Close()
}

func (d *badDoor) SetDeadline(t time.Time) error {
	if d.deadline != nil {
		return d.deadline(d.Listener, t)
	}
	return d.Listener.SetDeadline(t)
}

func (d *badDoor) Addr() net.Addr {
	if d.addr != nil {
		return d.addr
	}
	return d.Listener.Addr()
}

func TestListenerLawsSeeEachMistake(t *testing.T) {
	if testing.Short() {
		t.Skip("every law for every mistake")
	}
	type dial = func(ctx context.Context) (net.Conn, error)
	var mu sync.Mutex
	for name, test := range map[string]struct {
		make   func(t testkit.TB, l *testkit.Listener) (net.Listener, dial)
		breaks string
	}{
		"has another address": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, addr: &net.TCPAddr{Port: 1}}, nil
		}, "AddrIsDialed AcceptErrorsCarryAddress"},
		"answers EOF when it is closed": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if errors.Is(err, net.ErrClosed) {
					err = io.EOF
				}
				return nc, err
			}}, nil
		}, "ConcurrentAccepts CloseEndsAccept ClosedStaysClosed AcceptErrorsCarryAddress"},
		"can be closed twice": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, close: func(l *testkit.Listener) error { _ = l.Close(); return nil }}, nil
		}, "ClosedStaysClosed"},
		"does not close": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, close: func(l *testkit.Listener) error { return nil }}, nil
		}, "ConcurrentAccepts CloseEndsAccept ClosedStaysClosed CloseRefusesDials CloseResetsUnaccepted AcceptErrorsCarryAddress"},
		"closes what nobody accepted in order": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, close: func(l *testkit.Listener) error {
				for l.Pending() > 0 {
					if nc, err := l.AcceptQueued(); err == nil {
						_ = nc.Close()
					}
				}
				return l.Close()
			}}, nil
		}, "CloseResetsUnaccepted"},
		"closes what it has accepted": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var accepted []net.Conn
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					accepted = append(accepted, nc)
				}
				return nc, err
			}, close: func(l *testkit.Listener) error {
				mu.Lock()
				defer mu.Unlock()
				for _, nc := range accepted {
					_ = nc.Close()
				}
				return l.Close()
			}}, nil
		}, "AcceptedOutliveClose"},
		"accepts the last one first": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var stack []net.Conn
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				for l.Pending() > 0 {
					if nc, err := l.AcceptQueued(); err == nil {
						stack = append(stack, nc)
					}
				}
				if len(stack) == 0 {
					return l.Accept()
				}
				nc := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				return nc, nil
			}}, nil
		}, "AcceptInOrder AcceptPastDeadline"},
		"needs an Accept to dial": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			turn := make(chan struct{})
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
					select {
					case turn <- struct{}{}:
					case <-time.After(time.Hour):
					}
					return l.Accept()
				}}, func(ctx context.Context) (net.Conn, error) {
					if l.Pending() == 0 {
						<-turn
					}
					return l.Dial()
				}
		}, "AcceptConnects AddrIsDialed AcceptInOrder DialDoesNotNeedAccept DeadClientsAreNoErrors CloseRefusesDials CloseResetsUnaccepted AcceptedOutliveClose DialKeepsToItsContext AcceptDeadline AcceptPastDeadline AcceptDeadlineCanBeExtended AcceptedHaveNoDeadline"},
		"dials whatever the context": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return l, func(context.Context) (net.Conn, error) { return l.Dial() }
		}, "DialKeepsToItsContext"},
		"connects to somebody else": {func(t testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return l, func(ctx context.Context) (net.Conn, error) {
				if _, err := l.DialContext(ctx, "", ""); err != nil {
					return nil, err
				}
				a, _ := testkit.NewConnPair(t)
				return a, nil
			}
		}, "AcceptConnects AcceptInOrder DialDoesNotNeedAccept CloseResetsUnaccepted AcceptedOutliveClose AcceptedHaveNoDeadline"},
		"has no deadline": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, deadline: func(*testkit.Listener, time.Time) error { return nil }}, nil
		}, "AcceptDeadline AcceptPastDeadline DeadlineReachesWaitingAccept AcceptDeadlineCanBeExtended AcceptErrorsCarryAddress"},
		"has a deadline a second late": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, deadline: func(l *testkit.Listener, t time.Time) error {
				if t.After(time.Now()) {
					t = t.Add(time.Second)
				}
				return l.SetDeadline(t)
			}}, nil
		}, "AcceptDeadline AcceptDeadlineCanBeExtended"},
		"times out once": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					_ = l.SetDeadline(time.Time{})
				}
				return nc, err
			}}, nil
		}, "AcceptPastDeadline DeadlineReachesWaitingAccept"},
		"forgets a deadline that passes while nobody accepts": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var passes atomic.Bool
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				if passes.Swap(false) {
					_ = l.SetDeadline(time.Time{})
				}
				return l.Accept()
			}, deadline: func(l *testkit.Listener, t time.Time) error {
				time.AfterFunc(time.Until(t), func() { passes.Store(time.Until(t) > -time.Hour) })
				return l.SetDeadline(t)
			}}, nil
		}, "AcceptPastDeadline"},
		"ends one of several Accepts at the deadline": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var ended atomic.Bool
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if errors.Is(err, os.ErrDeadlineExceeded) && ended.Swap(true) {
					select {}
				}
				return nc, err
			}, deadline: func(l *testkit.Listener, t time.Time) error {
				ended.Store(false)
				return l.SetDeadline(t)
			}}, nil
		}, "AcceptPastDeadline DeadlineReachesWaitingAccept"},
		"does not extend the deadline of a waiting Accept": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var waiting atomic.Int32
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				waiting.Add(1)
				defer waiting.Add(-1)
				return l.Accept()
			}, deadline: func(l *testkit.Listener, t time.Time) error {
				if waiting.Load() > 0 && (t.IsZero() || time.Until(t) > 0) {
					return nil
				}
				return l.SetDeadline(t)
			}}, nil
		}, "AcceptDeadlineCanBeExtended"},
		"goes on accepting after a timeout": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var deadline atomic.Pointer[time.Time]
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				t := deadline.Load()
				if t == nil || t.IsZero() || time.Until(*t) <= 0 {
					return l.Accept()
				}
				var nc net.Conn
				var err error
				accepted := make(chan struct{})
				_ = l.SetDeadline(time.Time{})
				go func() { nc, err = l.Accept(); close(accepted) }()
				select {
				case <-accepted:
					return nc, err
				case <-time.After(time.Until(*t)):
					return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.ErrDeadlineExceeded}
				}
			}, deadline: func(l *testkit.Listener, t time.Time) error {
				deadline.Store(&t)
				return l.SetDeadline(t)
			}}, nil
		}, "AcceptDeadline AcceptDeadlineCanBeExtended"},
		"answers bare errors": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if errors.Is(err, net.ErrClosed) {
					err = net.ErrClosed
				}
				return nc, err
			}}, nil
		}, "AcceptErrorsCarryAddress"},
		"answers bare timeouts": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					err = os.ErrDeadlineExceeded
				}
				return nc, err
			}}, nil
		}, "AcceptErrorsCarryAddress"},
		"answers a connection with the error": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if err != nil {
					return (*testkit.Conn)(nil), err
				}
				return nc, nil
			}}, nil
		}, "AcceptErrorsCarryAddress"},
		"takes a dead client for an error": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if err == nil && nc.(*testkit.Conn).Peer().IsClosed() {
					return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: syscall.ECONNABORTED}
				}
				return nc, err
			}}, nil
		}, "DeadClientsAreNoErrors"},
		"gives connections its deadline": {func(_ testkit.TB, l *testkit.Listener) (net.Listener, dial) {
			var deadline atomic.Pointer[time.Time]
			return &badDoor{Listener: l, accept: func(l *testkit.Listener) (net.Conn, error) {
				nc, err := l.Accept()
				if t := deadline.Load(); t != nil && err == nil {
					_ = nc.SetDeadline(*t)
				}
				return nc, err
			}, deadline: func(l *testkit.Listener, t time.Time) error {
				deadline.Store(&t)
				return l.SetDeadline(t)
			}}, nil
		}, "AcceptedHaveNoDeadline"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.TestListener(t, func(t testkit.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
				l := testkit.Listen(t)
				ln, dial := test.make(t, l)
				if dial == nil {
					dial = func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx, "", "") }
				}
				return ln, dial
			}, &testkit.LawOptions{Deviations: deviations(test.breaks)})
		})
	}
}
