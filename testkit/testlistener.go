package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// MakeListener makes a listener and a function that connects to it, and fails the test when it cannot. The
// suite closes the listener and the connections; anything else is for t.Cleanup.
type MakeListener func(t TB) (ln net.Listener, dial func(ctx context.Context) (net.Conn, error))

// TestListener checks that the listeners which mk makes behave like TCP's, one law per subtest, each on a
// listener of its own in a bubble of its own. A failure says what was seen and explains the law. Laws about
// deadlines are skipped for listeners without SetDeadline.
//
// The kit's own listeners pass, and so does TCP over loopback with [LawOptions].Real.
func TestListener(t *testing.T, mk MakeListener, opts ...*LawOptions) {
	t.Helper()
	runLaws(t, listenerLaws, opts, func(t TB, env env) *door {
		d := &door{env: env}
		d.ln, d.dialer = mk(t)
		t.Cleanup(func() {
			d.ln.Close()
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, nc := range d.conns {
				nc.Close()
			}
		})
		return d
	})
}

// door is what a law about listeners is tried on.
type door struct {
	env
	ln     net.Listener
	dialer func(ctx context.Context) (net.Conn, error)

	mu    sync.Mutex // a law that hangs goes on when it is cleaned up
	conns []net.Conn // to be closed then
}

func (d *door) keep(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, nc)
}

func (d *door) dial() (net.Conn, error) {
	nc, err := d.dialer(context.Background())
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	d.keep(nc)
	return nc, nil
}

// connect returns both ends of a new connection.
func (d *door) connect() (client, server net.Conn, err error) {
	if client, err = d.dial(); err != nil {
		return nil, nil, err
	}
	if server, err = d.ln.Accept(); err != nil {
		return nil, nil, fmt.Errorf("Accept: %w", err)
	}
	d.keep(server)
	return client, server, nil
}

func (d *door) acceptAsync() <-chan error {
	return async(func() error {
		nc, err := d.ln.Accept()
		if err == nil {
			nc.Close()
		}
		return err
	})
}

type deadliner interface{ SetDeadline(time.Time) error }

func (d *door) deadline() (deadliner, error) {
	if ln, ok := d.ln.(deadliner); ok {
		return ln, nil
	}
	return nil, errNotApplicable("no SetDeadline")
}

var listenerLaws = []law[*door]{
	{"AcceptConnects", "Accept returns the other end of what was dialed: bytes pass both ways, and each end's address is what the other sees.",
		func(d *door) error {
			client, server, err := d.connect()
			if err != nil {
				return err
			}
			asked := sendAsync(client, "ping")
			if err := errors.Join(expect(server, "ping"), <-asked); err != nil {
				return err
			}
			answered := sendAsync(server, "pong")
			if err := errors.Join(expect(client, "pong"), <-answered); err != nil {
				return err
			}
			if l, r := client.LocalAddr(), server.RemoteAddr(); !sameAddr(l, r) {
				return fmt.Errorf("the client is at %v, the server sees %v", l, r)
			}
			return nil
		}},
	{"AddrIsDialed", "Addr is the address that clients connect to and that accepted connections have, before and after Close; SplitHostPort accepts it.",
		func(d *door) error {
			addr := d.ln.Addr()
			client, server, err := d.connect()
			if err != nil {
				return err
			}
			d.ln.Close()
			for what, got := range map[string]net.Addr{
				"the client's remote address": client.RemoteAddr(), "the server's local address": server.LocalAddr(),
				"Addr after Close": d.ln.Addr(),
			} {
				if !sameAddr(got, addr) {
					return fmt.Errorf("%s is %v, Addr was %v", what, got, addr)
				}
			}
			_, _, err = net.SplitHostPort(addr.String())
			return err
		}},
	{"AcceptInOrder", "Connections are accepted in the order in which they were established.",
		func(d *door) error {
			var want, got []string
			for range 5 {
				nc, err := d.dial()
				if err != nil {
					return err
				}
				want = append(want, fmt.Sprint(nc.LocalAddr()))
			}
			for range want {
				nc, err := d.ln.Accept()
				if err != nil {
					return err
				}
				d.keep(nc)
				got = append(got, fmt.Sprint(nc.RemoteAddr()))
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("dialed %v, accepted %v", want, got)
			}
			return nil
		}},
	{"DialDoesNotNeedAccept", "A connection is established, and can be written to, before anybody accepts it.",
		func(d *door) error {
			client, err := d.dial()
			if err != nil {
				return err
			}
			sent := sendAsync(client, "early")
			d.settle()
			server, err := d.ln.Accept()
			if err != nil {
				return err
			}
			d.keep(server)
			return errors.Join(expect(server, "early"), <-sent)
		}},
	{"ConcurrentAccepts", "Several goroutines may accept at once: each connection goes to one of them.",
		func(d *door) error {
			const n = 8
			var accepts []<-chan error
			for range n {
				accepts = append(accepts, d.acceptAsync())
			}
			d.settle()
			for range n {
				if _, err := d.dial(); err != nil {
					return err
				}
			}
			for _, done := range accepts {
				if err := <-done; err != nil {
					return err
				}
			}
			extra := d.acceptAsync()
			d.settle()
			d.ln.Close()
			return want("one Accept more than there were connections", <-extra, net.ErrClosed)
		}},
	{"DeadClientsAreNoErrors", "A client that is gone before it is accepted is no error of Accept, which answers its connection or the next.",
		func(d *door) error {
			closed, err := d.dial()
			if err != nil {
				return err
			}
			closed.Close()
			reset, err := d.dial()
			if err != nil {
				return err
			}
			resetConn(reset)
			alive, err := d.dial()
			if err != nil {
				return err
			}
			d.settle()
			for range 3 {
				nc, err := d.ln.Accept()
				if err != nil {
					return fmt.Errorf("Accept: %w", err)
				}
				d.keep(nc)
				if sameAddr(nc.RemoteAddr(), alive.LocalAddr()) {
					return nil
				}
			}
			return errors.New("Accept did not answer the connection of the client that is there")
		}},
	{"CloseEndsAccept", "Close ends every Accept that waits, with net.ErrClosed: a server knows by it that it was stopped.",
		func(d *door) error {
			first, second := d.acceptAsync(), d.acceptAsync()
			d.settle()
			return errors.Join(want("Close", d.ln.Close()), want("Accept", <-first, net.ErrClosed), want("Accept", <-second, net.ErrClosed))
		}},
	{"ClosedStaysClosed", "After Close, Accept and a second Close answer net.ErrClosed.",
		func(d *door) error {
			if err := d.ln.Close(); err != nil {
				return err
			}
			return errors.Join(want("Accept", <-d.acceptAsync(), net.ErrClosed), want("Close", d.ln.Close(), net.ErrClosed))
		}},
	{"CloseRefusesDials", "Once the listener is closed, dialing fails.",
		func(d *door) error {
			if err := d.ln.Close(); err != nil {
				return err
			}
			if nc, err := d.dialer(context.Background()); err == nil {
				nc.Close()
				return errors.New("dialing succeeded")
			}
			return nil
		}},
	{"CloseResetsUnaccepted", "Connections that nobody accepted are ended by Close, so that their clients do not wait for a server that is gone.",
		func(d *door) error {
			client, err := d.dial()
			if err != nil {
				return err
			}
			read := readAsync(client)
			d.settle()
			if err := d.ln.Close(); err != nil {
				return err
			}
			if err := <-read; !isReset(err) {
				return fmt.Errorf("the client's Read: got %v, want a reset", err)
			}
			return nil
		}},
	{"AcceptedOutliveClose", "Closing the listener does not touch connections that were accepted: a server drains them.",
		func(d *door) error {
			client, server, err := d.connect()
			if err != nil {
				return err
			}
			if err := d.ln.Close(); err != nil {
				return err
			}
			sent := sendAsync(client, "still here")
			return errors.Join(expect(server, "still here"), <-sent)
		}},
	{"DialKeepsToItsContext", "A dial whose context is done fails.",
		func(d *door) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if nc, err := d.dialer(ctx); err == nil {
				nc.Close()
				return errors.New("dialing succeeded")
			}
			return nil
		}},
	{"AcceptErrorsCarryAddress", "A failing Accept answers nil and a *net.OpError with the operation and the listener's address.",
		func(d *door) error {
			carries := func(why string) error {
				nc, err := d.ln.Accept()
				op, ok := errors.AsType[*net.OpError](err)
				switch {
				case nc != nil:
					return fmt.Errorf("Accept %s answered a connection, %T, and %v", why, nc, err)
				case !ok:
					return fmt.Errorf("Accept %s answered %T: %v", why, err, err)
				case op.Op != "accept" || !sameAddr(op.Addr, d.ln.Addr()):
					return fmt.Errorf("Accept %s: op %q, addr %v", why, op.Op, op.Addr)
				}
				return nil
			}
			var err error
			if ln, ok := d.ln.(deadliner); ok {
				ln.SetDeadline(longAgo)
				err = carries("past the deadline")
				ln.SetDeadline(time.Time{})
			}
			d.ln.Close()
			return errors.Join(err, carries("after Close"))
		}},
	{"AcceptDeadline", "An Accept that waits ends at the deadline, exactly, with os.ErrDeadlineExceeded, a net.Error with Timeout, and takes no connection that comes later.",
		func(d *door) error {
			ln, err := d.deadline()
			if err != nil {
				return err
			}
			start := time.Now()
			if err := errors.Join(want("SetDeadline", ln.SetDeadline(start.Add(d.soon()))),
				wantTimeout("Accept", <-d.acceptAsync()), d.took("Accept", start, d.soon()),
				want("SetDeadline", ln.SetDeadline(time.Time{}))); err != nil {
				return err
			}
			if _, err := d.dial(); err != nil {
				return err
			}
			d.settle() // an Accept that goes on in secret is the first to see it
			return want("Accept", <-d.acceptAsync())
		}},
	{"AcceptPastDeadline", "Past the deadline Accept fails although a connection waits; it is there once the deadline is lifted.",
		func(d *door) error {
			ln, err := d.deadline()
			if err != nil {
				return err
			}
			past := func(deadline time.Time) error {
				if _, err := d.dial(); err != nil {
					return err
				}
				err := ln.SetDeadline(deadline)
				time.Sleep(time.Until(deadline) + d.soon()) // it passes while nobody accepts
				for range 3 {
					err = errors.Join(err, wantTimeout("Accept", <-d.acceptAsync()))
				}
				if err != nil {
					return err
				}
				return errors.Join(want("SetDeadline", ln.SetDeadline(time.Time{})), want("Accept", <-d.acceptAsync()))
			}
			return all(
				func() error { return past(longAgo) },
				func() error { return past(time.Now().Add(d.soon())) })
		}},
	{"DeadlineReachesWaitingAccept", "A deadline set while Accept waits applies to it, and to each of several: that is how a server pauses.",
		func(d *door) error {
			ln, err := d.deadline()
			if err != nil {
				return err
			}
			first, second := d.acceptAsync(), d.acceptAsync()
			d.settle()
			return errors.Join(want("SetDeadline", ln.SetDeadline(longAgo)), wantTimeout("Accept", <-first), wantTimeout("Accept", <-second))
		}},
	{"AcceptDeadlineCanBeExtended", "A later deadline, or none, replaces an earlier one also for an Accept that waits.",
		func(d *door) error {
			ln, err := d.deadline()
			if err != nil {
				return err
			}
			start := time.Now()
			early, later := start.Add(d.soon()), start.Add(2*d.soon())
			if d.real {
				early = start.Add(time.Hour) // it must not be reached before the later one is set
			}
			if err := ln.SetDeadline(early); err != nil {
				return err
			}
			accepted := d.acceptAsync()
			d.settle()
			return errors.Join(want("SetDeadline", ln.SetDeadline(time.Time{})), want("SetDeadline", ln.SetDeadline(later)),
				wantTimeout("Accept", <-accepted), d.took("Accept", start, 2*d.soon()))
		}},
	{"AcceptedHaveNoDeadline", "The deadline is that of Accept: it does not concern connections that were accepted.",
		func(d *door) error {
			ln, err := d.deadline()
			if err != nil {
				return err
			}
			client, err := d.dial()
			if err != nil {
				return err
			}
			var server net.Conn
			deadline := time.Now()
			for wait := d.soon(); server == nil; wait *= 2 { // outside bubbles the first may be too short
				deadline = time.Now().Add(wait)
				if err := ln.SetDeadline(deadline); err != nil {
					return err
				}
				nc, err := d.ln.Accept()
				if err == nil {
					server = nc
				} else if !d.real || !errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("Accept: %w", err)
				}
			}
			d.keep(server)
			time.Sleep(time.Until(deadline) + d.soon())
			asked := sendAsync(client, "ping")
			if err := errors.Join(expect(server, "ping"), want("the client's Write", <-asked)); err != nil {
				return err
			}
			answered := sendAsync(server, "pong")
			return errors.Join(expect(client, "pong"), want("Write", <-answered))
		}},
}
