package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// MakeConn makes the two ends of a new connection, and fails the test when it cannot. Ends that are open when
// the law is over are closed by the suite; anything else is for t.Cleanup.
type MakeConn func(t TB) (a, b net.Conn)

// TestConn checks that the connections which mk makes behave like TCP, one law per subtest, each on a
// connection of its own in a bubble of its own. A failure says what was seen and explains the law. Laws
// about half-close and reset are skipped for connections without CloseWrite, CloseRead, or either Reset or
// SetLinger.
//
// The kit's own transports pass, and so does TCP over loopback with [LawOptions].Real. net.Pipe does not.
func TestConn(t *testing.T, mk MakeConn, opts ...*LawOptions) {
	t.Helper()
	runLaws(t, slices.Concat(streamLaws, closeLaws, deadlineLaws), opts, func(t TB, env env) *ends {
		a, b := mk(t)
		t.Cleanup(func() {
			a.Close()
			b.Close()
		})
		return &ends{env: env, a: a, b: b}
	})
}

// ends is what a law about connections is tried on.
type ends struct {
	env
	a, b net.Conn
}

var streamLaws = []law[*ends]{
	{"BytesArrive", "What is written to one end is read at the other, complete and in order, in both directions at once.",
		func(e *ends) error {
			data := pattern(64 << 10)
			copyTo := func(from, to net.Conn) <-chan error {
				sent := async(func() error { _, err := from.Write(data); return err })
				return async(func() error {
					got := make([]byte, len(data))
					_, err := io.ReadFull(to, got)
					if err == nil && !bytes.Equal(got, data) {
						err = errors.New("other bytes arrived than were sent")
					}
					return errors.Join(err, <-sent)
				})
			}
			ab, ba := copyTo(e.a, e.b), copyTo(e.b, e.a)
			return errors.Join(<-ab, <-ba)
		}},
	{"SmallReads", "A read into a buffer that is too small takes what fits; the rest is there for the next.",
		func(e *ends) error {
			sent := sendAsync(e.a, "abc")
			return all(
				func() error { return expect(e.b, "a") },
				func() error { return expect(e.b, "bc") },
				func() error { return want("Write", <-sent) })
		}},
	{"WriteCopies", "Once Write has returned, the caller may change the slice; and Write itself does not.",
		func(e *ends) error {
			buf := []byte("before")
			sent := async(func() error {
				_, err := e.a.Write(buf)
				if err == nil && string(buf) != "before" {
					err = errors.New("Write changed the caller's slice")
				}
				copy(buf, "after!")
				return err
			})
			if e.real {
				return errors.Join(<-sent, expect(e.b, "before"))
			}
			e.settle() // a synchronous Write has not returned yet
			return errors.Join(expect(e.b, "before"), <-sent)
		}},
	{"WritesDoNotMix", "The bytes of one Write are not interleaved with those of another goroutine's.",
		func(e *ends) error {
			const writers, writes, size = 4, 5, 1000
			var sent []<-chan error
			for i := range writers {
				sent = append(sent, async(func() error {
					for range writes {
						if _, err := e.a.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			got := make([]byte, writers*writes*size)
			if _, err := io.ReadFull(e.b, got); err != nil {
				return err
			}
			for block := range slices.Chunk(got, size) {
				if bytes.Count(block, block[:1]) != size {
					return errors.New("two Writes are interleaved")
				}
			}
			for _, s := range sent {
				if err := <-s; err != nil {
					return err
				}
			}
			return nil
		}},
	{"EmptyReadReturns", "Reading into an empty slice returns 0 and nil at once, although nothing was sent.",
		func(e *ends) error { n, err := e.a.Read(nil); return want(fmt.Sprintf("Read: %d", n), err) }},
	{"EmptyWriteReturns", "Writing nothing returns 0 and nil at once, although nobody reads.",
		func(e *ends) error { n, err := e.a.Write(nil); return want(fmt.Sprintf("Write: %d", n), err) }},
	{"AddressesMirror", "Each end's local address is the other's remote address, also after Close, and SplitHostPort accepts it.",
		func(e *ends) error {
			for range 2 {
				for _, c := range [][2]net.Conn{{e.a, e.b}, {e.b, e.a}} {
					local, remote := c[0].LocalAddr(), c[1].RemoteAddr()
					if !sameAddr(local, remote) || local.Network() != remote.Network() {
						return fmt.Errorf("local address %v, seen from the other end %v", local, remote)
					}
					if _, _, err := net.SplitHostPort(local.String()); err != nil {
						return err
					}
				}
				e.a.Close()
				e.b.Close()
			}
			return nil
		}},
	{"ErrorsCarryAddresses", "A failing call answers a *net.OpError with the operation and both addresses.",
		func(e *ends) error {
			e.b.Close()
			err := e.carries("write", "after the other end's Close", e.writeUntilBroken())
			e.a.Close()
			return errors.Join(err, e.readCarries("after Close"), e.writeCarries("after Close"))
		}},
	{"ConcurrentUse", "Read, Write, the deadlines and Close may be called by several goroutines at once, and Close ends them all.",
		func(e *ends) error {
			go io.Copy(io.Discard, e.b)
			var wg sync.WaitGroup
			for _, c := range []net.Conn{e.a, e.b} {
				for range 3 {
					wg.Go(func() {
						for range 20 {
							c.SetDeadline(time.Now().Add(time.Hour))
							c.SetReadDeadline(time.Time{})
							c.SetWriteDeadline(time.Time{})
							c.LocalAddr()
							c.RemoteAddr()
							c.Write([]byte("x"))
						}
					})
					wg.Go(func() { c.Read(make([]byte, 1)) })
				}
			}
			e.settle()
			e.a.Close()
			e.b.Close()
			wg.Wait()
			return nil
		}},
}

// carries checks the *net.OpError that a call on a answered.
func (e *ends) carries(op, why string, err error) error {
	got, ok := errors.AsType[*net.OpError](err)
	switch {
	case !ok:
		return fmt.Errorf("%s %s answered %T: %v", op, why, err, err)
	case got.Op != op || !sameAddr(got.Source, e.a.LocalAddr()) || !sameAddr(got.Addr, e.a.RemoteAddr()):
		return fmt.Errorf("%s %s: op %q, source %v, addr %v", op, why, got.Op, got.Source, got.Addr)
	}
	return nil
}

func (e *ends) readCarries(why string) error {
	_, err := e.a.Read(make([]byte, 1))
	return e.carries("read", why, err)
}

func (e *ends) writeCarries(why string) error {
	_, err := e.a.Write([]byte("x"))
	return e.carries("write", why, err)
}

// writeUntilBroken writes to a until that fails, and returns the error. TCP may take the first writes after
// the other end has gone: it learns from their answer that nobody is there.
func (e *ends) writeUntilBroken() error {
	for range 100_000 {
		if _, err := e.a.Write([]byte("x")); err != nil {
			return err
		}
		e.settle()
	}
	return errors.New("Write goes on succeeding")
}

// sameAddr does not take nil for an address.
func sameAddr(a, b net.Addr) bool { return a != nil && b != nil && a.String() == b.String() }

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// broken is what writing to a peer that is gone answers: which of the two depends on what it had read.
var broken = []error{syscall.EPIPE, syscall.ECONNRESET}
