package testkit

import (
	"errors"
	"io"
	"net"
	"time"
)

var longAgo = time.Unix(1, 0)

var deadlineLaws = []law[*ends]{
	{"PastDeadline", "Past its deadline a call fails with os.ErrDeadlineExceeded, a net.Error with Timeout, even if it could go on; the bytes are there once the deadline is lifted.",
		func(e *ends) error {
			return all(
				func() error { return pastDeadline(e, longAgo) },
				func() error { return pastDeadline(e, time.Now().Add(e.soon())) })
		}},
	{"TimeoutsCarryAddresses", "A timeout is a *net.OpError with the operation and both addresses, like every other error.",
		func(e *ends) error {
			e.a.SetDeadline(longAgo)
			return errors.Join(e.readCarries("past the deadline"), e.writeCarries("past the deadline"))
		}},
	{"ReadDeadline", "A Read that waits ends at its deadline, exactly, and takes nothing that comes later.",
		func(e *ends) error {
			start := time.Now()
			e.a.SetReadDeadline(start.Add(e.soon()))
			if err := errors.Join(wantTimeout("Read", <-readAsync(e.a)), e.took("Read", start, e.soon())); err != nil {
				return err
			}
			e.a.SetReadDeadline(time.Time{})
			sent := sendAsync(e.b, "later")
			e.settle() // a Read that goes on in secret is the first to see it
			return errors.Join(expect(e.a, "later"), want("the other end's Write", <-sent))
		}},
	{"WriteDeadline", "A Write that waits ends at its deadline, exactly, and tells how many bytes it got rid of: those can be read.",
		func(e *ends) error {
			start := time.Now()
			e.a.SetWriteDeadline(start.Add(e.soon()))
			n, err := e.a.Write(make([]byte, tooMuch))
			if err := errors.Join(wantTimeout("Write", err), e.took("Write", start, e.soon())); err != nil {
				return err
			}
			closed := async(e.a.Close)
			got, err := io.Copy(io.Discard, e.b)
			if err == nil && got != int64(n) {
				err = errors.New("Write told another number of bytes than were sent")
			}
			return errors.Join(err, <-closed)
		}},
	{"CallsMoveNoDeadline", "A deadline is a moment: what is read or written until then does not move it.",
		func(e *ends) error {
			// A byte at a time goes from one end to the other, until long after the deadline.
			const calls, longer = 30, 3
			trickle := func(c net.Conn) error {
				for range calls {
					if _, err := c.Write([]byte("x")); err != nil {
						return err
					}
					time.Sleep(e.soon() * longer / calls)
				}
				return nil
			}
			go io.Copy(io.Discard, e.b)
			e.a.SetWriteDeadline(time.Now().Add(e.soon()))
			if err := wantTimeout("Write", trickle(e.a)); err != nil {
				return err
			}
			e.a.SetReadDeadline(time.Now().Add(e.soon()))
			go trickle(e.b)
			var err error
			for n := 0; n < calls && err == nil; n++ {
				_, err = e.a.Read(make([]byte, 1))
			}
			return wantTimeout("Read", err)
		}},
	{"DeadlinesAreSeparate", "The read deadline does not concern Write, nor the write deadline Read.",
		func(e *ends) error {
			e.a.SetReadDeadline(longAgo)
			sent := sendAsync(e.a, "x")
			err := errors.Join(expect(e.b, "x"), want("Write", <-sent))
			e.a.SetReadDeadline(time.Time{})
			e.a.SetWriteDeadline(longAgo)
			sent = sendAsync(e.b, "y")
			return errors.Join(err, expect(e.a, "y"), want("the other end's Write", <-sent))
		}},
	{"DeadlineReachesWaitingCalls", "A deadline set while a call waits applies to it: that is how a server ends what it cannot interrupt.",
		func(e *ends) error {
			e.a.SetDeadline(time.Now().Add(time.Hour))
			read := readAsync(e.a)
			wrote := async(func() error { _, err := e.a.Write(make([]byte, tooMuch)); return err })
			e.settle()
			e.a.SetDeadline(longAgo)
			return errors.Join(wantTimeout("Read", <-read), wantTimeout("Write", <-wrote))
		}},
	{"DeadlineReachesAllWaitingCalls", "A deadline applies to every call that waits, however many do.",
		func(e *ends) error {
			e.a.SetDeadline(time.Now().Add(time.Hour))
			var calls []<-chan error
			for range 3 {
				calls = append(calls, readAsync(e.a), async(func() error { _, err := e.a.Write(make([]byte, tooMuch)); return err }))
			}
			e.settle()
			e.a.SetDeadline(longAgo)
			var err error
			for _, call := range calls {
				err = errors.Join(err, wantTimeout("one of several", <-call))
			}
			return err
		}},
	{"DeadlineCanBeExtended", "A later deadline, or none, replaces an earlier one also for a call that waits.",
		func(e *ends) error {
			start := time.Now()
			if e.real {
				// The earlier deadline must not be reached before the later one is set.
				e.a.SetDeadline(start.Add(time.Hour))
			} else {
				e.a.SetDeadline(start.Add(e.soon()))
			}
			read := async(func() error {
				return errors.Join(wantTimeout("Read", <-readAsync(e.a)), e.took("Read", start, 2*e.soon()))
			})
			wrote := async(func() error {
				_, err := e.a.Write(make([]byte, tooMuch))
				return errors.Join(wantTimeout("Write", err), e.took("Write", start, 2*e.soon()))
			})
			e.settle()
			later := start.Add(2 * e.soon())
			for _, t := range []time.Time{{}, later} {
				e.a.SetReadDeadline(t)
				e.a.SetWriteDeadline(t)
			}
			return errors.Join(<-read, <-wrote)
		}},
	{"DeadlineAfterPeerClosed", "Deadlines can be set, and hold, after the other end has closed: cleaning up must not fail because the peer was quicker.",
		func(e *ends) error {
			if err := errors.Join(e.b.Close(), want("Read", <-readAsync(e.a), io.EOF),
				want("SetReadDeadline", e.a.SetReadDeadline(time.Now().Add(time.Hour))),
				want("SetWriteDeadline", e.a.SetWriteDeadline(time.Now().Add(time.Hour))),
				want("SetDeadline", e.a.SetDeadline(longAgo))); err != nil {
				return err
			}
			_, err := e.a.Read(make([]byte, 1))
			return wantTimeout("Read", err)
		}},
}

// pastDeadline sets a deadline, and reads and writes only once it has passed.
func pastDeadline(e *ends, deadline time.Time) error {
	sent := sendAsync(e.b, "xy")
	if err := errors.Join(expect(e.a, "x"), e.a.SetDeadline(deadline)); err != nil {
		return err
	}
	time.Sleep(time.Until(deadline) + e.soon())
	for range 3 {
		_, readErr := e.a.Read(make([]byte, 1))
		_, writeErr := e.a.Write([]byte("x"))
		if err := errors.Join(wantTimeout("Read", readErr), wantTimeout("Write", writeErr)); err != nil {
			return err
		}
	}
	if err := errors.Join(want("SetDeadline", e.a.SetDeadline(time.Time{})), expect(e.a, "y"),
		want("the other end's Write", <-sent)); err != nil {
		return err
	}
	sent = sendAsync(e.a, "z")
	return errors.Join(expect(e.b, "z"), want("Write", <-sent))
}
