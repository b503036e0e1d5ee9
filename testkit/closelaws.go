package testkit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tooMuch is more bytes than the buffers of a connection hold, a kernel's included.
const tooMuch = 16 << 20

// lastWords are what fits into most buffers, so that an end can be closed while they are unread.
var lastWords = strings.Repeat("last words. ", 1000)

var closeLaws = []law[*ends]{
	{"CloseDelivers", "What was written before Close is read, and then io.EOF, again and again.",
		func(e *ends) error {
			sent := async(func() error { return errors.Join(send(e.a, lastWords), e.a.Close()) })
			sent = e.sent(sent)
			err := errors.Join(expect(e.b, lastWords), <-sent)
			for range 3 {
				_, readErr := e.b.Read(make([]byte, 1))
				err = errors.Join(err, want("Read after the other end's Close", readErr, io.EOF))
			}
			return err
		}},
	{"OwnCloseIsErrClosed", "Every call on an end that was closed itself answers net.ErrClosed: a server tells its own doing from the peer's by it.",
		func(e *ends) error {
			if err := e.a.Close(); err != nil {
				return err
			}
			_, readErr := e.a.Read(make([]byte, 1))
			_, emptyErr := e.a.Read(nil)
			_, writeErr := e.a.Write([]byte("x"))
			return errors.Join(want("Read", readErr, net.ErrClosed), want("empty Read", emptyErr, net.ErrClosed),
				want("Write", writeErr, net.ErrClosed),
				want("SetDeadline", e.a.SetDeadline(time.Time{}), net.ErrClosed),
				want("SetReadDeadline", e.a.SetReadDeadline(time.Time{}), net.ErrClosed),
				want("SetWriteDeadline", e.a.SetWriteDeadline(time.Time{}), net.ErrClosed))
		}},
	{"CloseOnce", "Of several Closes, one at a time or at once, exactly one succeeds; the others answer net.ErrClosed.",
		func(e *ends) error {
			var succeeded atomic.Int32
			var wg sync.WaitGroup
			errs := make([]error, 4)
			for i := range errs {
				wg.Go(func() {
					if err := e.a.Close(); err == nil {
						succeeded.Add(1)
					} else {
						errs[i] = want("Close", err, net.ErrClosed)
					}
				})
			}
			wg.Wait()
			if n := succeeded.Load(); n != 1 {
				errs = append(errs, fmt.Errorf("%d Closes succeeded", n))
			}
			return errors.Join(errs...)
		}},
	{"CloseEndsRead", "Close ends a Read of its own end that waits, with net.ErrClosed.",
		func(e *ends) error {
			read := readAsync(e.a)
			e.settle()
			return errors.Join(want("Close", e.a.Close()), want("Read", <-read, net.ErrClosed))
		}},
	{"CloseEndsWrite", "Close ends a Write of its own end that waits, with net.ErrClosed.",
		func(e *ends) error {
			wrote := async(func() error { _, err := e.a.Write(make([]byte, tooMuch)); return err })
			e.settle()
			return errors.Join(want("Close", e.a.Close()), want("Write", <-wrote, net.ErrClosed))
		}},
	{"PeerCloseEndsRead", "The other end's Close ends a Read that waits, with io.EOF.",
		func(e *ends) error {
			read := readAsync(e.a)
			e.settle()
			return errors.Join(want("Close", e.b.Close()), want("Read", <-read, io.EOF))
		}},
	{"PeerCloseEndsWrite", "The other end's Close ends a Write that waits, with EPIPE or ECONNRESET.",
		func(e *ends) error {
			wrote := async(func() error { _, err := e.a.Write(make([]byte, tooMuch)); return err })
			e.settle()
			return errors.Join(want("Close", e.b.Close()), want("Write", <-wrote, broken...))
		}},
	{"PeerCloseBreaksWrites", "Once the other end has closed, writing fails before long, with EPIPE or ECONNRESET.",
		func(e *ends) error {
			if err := errors.Join(e.b.Close(), want("Read", <-readAsync(e.a), io.EOF)); err != nil {
				return err
			}
			return want("Write", e.writeUntilBroken(), broken...)
		}},
	{"UnreadDataResets", "Closing an end with unread data resets the other: what it sent was not received, and io.EOF would hide that.",
		func(e *ends) error {
			sent := sendAsync(e.a, "xy")
			if err := expect(e.b, "x"); err != nil {
				return err
			}
			sent = e.sent(sent) // a buffer may have had room for the first byte only
			if err := e.b.Close(); err != nil {
				return err
			}
			<-sent // a synchronous one fails
			return want("Read", <-readAsync(e.a), syscall.ECONNRESET)
		}},
	{"ResetIsECONNRESET", "A reset ends the other end's Read that waits, with ECONNRESET; writing there then fails before long, with EPIPE or ECONNRESET.",
		func(e *ends) error {
			read := readAsync(e.b)
			e.settle()
			if err := e.reset(); err != nil {
				return err
			}
			e.a, e.b = e.b, e.a
			return errors.Join(want("Read", <-read, syscall.ECONNRESET),
				want("Write", e.writeUntilBroken(), broken...),
				want("Close after a reset", e.b.Close(), net.ErrClosed))
		}},
	{"ResetBeforeRead", "A reset that comes while nobody reads is not lost: the next Read answers ECONNRESET.",
		func(e *ends) error {
			if err := e.reset(); err != nil {
				return err
			}
			e.settle()
			return want("Read", <-readAsync(e.b), syscall.ECONNRESET)
		}},
	{"HalfClose", "CloseWrite ends the stream in one direction only, as often as it is called; writing then answers EPIPE.",
		func(e *ends) error {
			half, ok := e.a.(interface{ CloseWrite() error })
			if !ok {
				return errNotApplicable("no CloseWrite")
			}
			sent := async(func() error { return errors.Join(send(e.a, lastWords), half.CloseWrite(), half.CloseWrite()) })
			sent = e.sent(sent)
			if err := errors.Join(expect(e.b, lastWords), want("CloseWrite", <-sent),
				want("Read", <-readAsync(e.b), io.EOF)); err != nil {
				return err
			}
			answered := sendAsync(e.b, "answer")
			_, err := e.a.Write([]byte("x"))
			return errors.Join(expect(e.a, "answer"), want("the other direction", <-answered),
				want("Write", err, syscall.EPIPE))
		}},
	{"CloseRead", "CloseRead ends a Read that waits, with io.EOF, and the other end can still write.",
		func(e *ends) error {
			half, ok := e.a.(interface{ CloseRead() error })
			if !ok {
				return errNotApplicable("no CloseRead")
			}
			read := readAsync(e.a)
			e.settle()
			return errors.Join(want("CloseRead", half.CloseRead()), want("Read", <-read, io.EOF),
				want("the other end's Write", <-sendAsync(e.b, "x")))
		}},
}

// reset resets the connection from a.
func (e *ends) reset() error {
	err, ok := resetConn(e.a)
	if !ok {
		return errNotApplicable("neither Reset nor SetLinger")
	}
	return err
}

func resetConn(nc net.Conn) (err error, ok bool) {
	switch nc := nc.(type) {
	case interface{ Reset() error }:
		return nc.Reset(), true
	case interface {
		SetLinger(int) error
		Close() error
	}:
		return errors.Join(nc.SetLinger(0), nc.Close()), true
	}
	return nil, false
}
