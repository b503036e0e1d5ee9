package testkit

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/netx/memconn"
)

var errBroken = os.NewSyscallError("write", syscall.EPIPE)

// read is Read with the lock held, which it gives up while it waits. Whatever changes while it does, it
// starts over: closed, deadline and faults may all be different.
func (c *Conn) read(b []byte) (int, error) {
	f := &c.reads
	paid := -1 // the faults whose delay this call has waited
	for {
		if len(b) == 0 && !c.closed {
			return 0, nil
		}
		if err := c.check(f); err != nil {
			return 0, err
		}
		if f.shut {
			return 0, io.EOF
		}
		if !f.faulty && len(f.staged) == 0 {
			n, err, again := c.innerRead(b)
			if again {
				continue
			}
			return n, err
		}
		if paid != f.gen {
			gen := f.gen
			if same, err := c.sleep(f, f.delay()); err != nil {
				return 0, err
			} else if !same {
				continue
			}
			paid = gen
		}
		if f.broken() {
			if done, err := c.breakRead(b); done {
				return 0, err
			}
			continue
		}
		limit := f.limit(len(b))
		if len(f.staged) == 0 {
			n, err, again := c.innerRead(b[:limit])
			if again {
				continue
			}
			if n == 0 || f.faults.BytesPerSecond <= 0 {
				f.pass(b[:n])
				return n, err
			}
			// Kept here while they are under way: a deadline in between must not lose them.
			f.staged, f.stagedAt = append([]byte(nil), b[:n]...), time.Now().Add(f.cost(n))
		}
		if same, err := c.sleep(f, time.Until(f.stagedAt)); err != nil {
			return 0, err
		} else if !same || len(f.staged) == 0 {
			continue
		}
		n := copy(b[:limit], f.staged)
		f.staged = f.staged[n:]
		f.pass(b[:n])
		return n, nil
	}
}

// breakRead is what Reads meets behind the first After bytes; done ends the call.
func (c *Conn) breakRead(b []byte) (done bool, err error) {
	switch f := &c.reads; f.faults.breaking() {
	case breakErr:
		return true, f.faults.Err
	case breakReset:
		return true, c.breakConn("read")
	case breakEOF:
		return true, io.EOF
	case breakStall:
		c.pause(f, time.Time{})
		return false, nil
	}
	if len(c.reads.staged) == 0 {
		_, err, _ = c.innerRead(b)
	}
	c.reads.staged = nil
	return err != nil, err
}

// write is Write with the lock held, which it gives up while it waits.
func (c *Conn) write(b []byte) (n int, err error) {
	f := &c.writes
	if len(b) > 0 {
		for f.writing {
			if err := c.check(f); err != nil {
				return 0, err
			}
			c.pause(f, time.Time{})
		}
		f.writing = true
		defer func() {
			f.writing = false
			f.notify()
		}()
	}
	paid := -1
	for {
		if err := c.check(f); err != nil {
			return n, err
		}
		if !f.faulty || len(b) == 0 {
			k, err, again := c.innerWrite(b[n:])
			if n += k; again {
				continue
			}
			return n, err
		}
		if paid != f.gen {
			gen := f.gen
			if same, err := c.sleep(f, f.delay()); err != nil {
				return n, err
			} else if !same {
				continue
			}
			paid = gen
		}
		if f.broken() {
			if f.faults.breaking() == breakDrop {
				return len(b), nil
			}
			if done, err := c.breakWrite(); done {
				return n, err
			}
			continue
		}
		piece := b[n : n+f.limit(len(b)-n)]
		if same, err := c.sleep(f, f.cost(len(piece))); err != nil {
			return n, err
		} else if !same {
			continue
		}
		k, err := c.writePiece(piece)
		if n += k; err != nil || n == len(b) {
			return n, err
		}
		paid = -1 // every piece waits its delay
	}
}

func (c *Conn) writePiece(piece []byte) (int, error) {
	f := &c.writes
	if f.faults.Corrupt != 0 {
		piece = append([]byte(nil), piece...) // the caller's bytes are not ours to change
	}
	gen := f.gen
	f.pass(piece)
	n, err, _ := c.innerWrite(piece)
	if f.gen == gen {
		f.passed -= int64(len(piece) - n)
	}
	return n, err
}

// breakWrite is what Writes meets behind the first After bytes; done ends the call.
func (c *Conn) breakWrite() (done bool, err error) {
	switch f := &c.writes; f.faults.breaking() {
	case breakErr:
		return true, f.faults.Err
	case breakReset:
		return true, c.breakConn("write")
	case breakEOF:
		if nc, ok := c.inner.(interface{ CloseWrite() error }); ok {
			c.unlocked(func() { nc.CloseWrite() })
		}
		return true, errBroken
	default:
		c.pause(f, time.Time{})
		return false, nil
	}
}

// breakConn resets both ends, as something between them would.
func (c *Conn) breakConn(op string) error {
	if c.reset == nil {
		c.reset = os.NewSyscallError(op, syscall.ECONNRESET)
		c.reads.notify()
		c.writes.notify()
		c.unlocked(func() { c.abort() })
	}
	return c.reset
}

// check is why a call on f cannot go on. Only the first call on memory is asked whether it is where the
// connection was made: that costs as much as a short Write.
func (c *Conn) check(f *flow) error {
	if _, memory := c.inner.(*memconn.Conn); memory && !f.used {
		if err := c.home.foreign(); err != nil {
			return err
		}
		f.used = true
	}
	switch {
	case c.closed:
		return errClosed
	case expired(f.deadline):
		return os.ErrDeadlineExceeded
	}
	return c.reset
}

// sleep waits for d, or until the faults change: then they are not the same. An error ends the call.
func (c *Conn) sleep(f *flow, d time.Duration) (same bool, err error) {
	gen, until := f.gen, time.Now().Add(d)
	for f.gen == gen && time.Until(until) > 0 {
		c.pause(f, until)
		if err := c.check(f); err != nil {
			return false, err
		}
	}
	return f.gen == gen, nil
}

// pause gives up the lock until something about f changes, or until the given time (zero: none) or the
// deadline. It may return early.
func (c *Conn) pause(f *flow, until time.Time) {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	changed := f.changed
	if until.IsZero() || !f.deadline.IsZero() && f.deadline.Before(until) {
		until = f.deadline
	}
	c.unlocked(func() {
		if until.IsZero() {
			<-changed
			return
		}
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
		}
	})
}

func (c *Conn) unlocked(f func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	f()
}

// innerRead reads from the inner connection. again: something has changed, start over.
func (c *Conn) innerRead(b []byte) (n int, err error, again bool) {
	f := &c.reads
	gen := f.gen
	if !c.enter(f) {
		return 0, nil, true
	}
	n, err = c.inner.Read(b)
	err, again = c.leave(f, err)
	if n > 0 && f.gen != gen && !f.shut {
		// They came while the faults changed: the new ones decide about them.
		f.staged = append(f.staged, b[:n]...)
		return 0, nil, true
	}
	return n, err, again && n == 0
}

// innerWrite writes to the inner connection. again: something has changed, start over behind n bytes.
func (c *Conn) innerWrite(b []byte) (n int, err error, again bool) {
	f := &c.writes
	if !c.enter(f) {
		return 0, nil, true
	}
	n, err = c.inner.Write(b)
	err, again = c.leave(f, err)
	return n, err, again
}

// interrupt makes the calls of the inner connection return, so that they see the faults that were just
// set. A deadline is the only thing that every net.Conn understands; a *tls.Conn never writes again after it.
func (c *Conn) interrupt(f *flow) {
	if _, tls := c.inner.(interface{ HandshakeContext(context.Context) error }); tls && f == &c.writes {
		return
	}
	if f.active > 0 && !f.interrupted && !c.closed && c.reset == nil {
		f.interrupted = true
		c.setInnerDeadline(f, time.Unix(1, 0))
	}
}

// enter gives up the lock for a call of the inner connection. It answers false, lock held, when it had to
// wait for an interruption to end: the faults are others now. (Calls that did not wait would fail, start
// over, and keep each other from ever being the last one out.)
func (c *Conn) enter(f *flow) bool {
	if f.interrupted {
		c.pause(f, time.Time{})
		return false
	}
	f.active++
	c.mu.Unlock()
	return true
}

// leave takes the lock again. When err is only our interruption, the call has to start over. The last one
// out restores the deadline: were it restored earlier, others could miss that they were meant.
func (c *Conn) leave(f *flow, err error) (error, bool) {
	c.mu.Lock()
	f.active--
	again := f.interrupted && errors.Is(err, os.ErrDeadlineExceeded) // check knows if it was the user's
	if f.interrupted && f.active == 0 {
		f.interrupted = false
		c.setInnerDeadline(f, f.deadline)
		f.notify()
	}
	switch {
	case again:
		return nil, true
	case c.closed && (errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)):
		return errClosed, false // whatever the inner connection calls it
	case err != nil && c.reset != nil && !c.closed:
		return c.reset, false // breakConn has closed the inner connection under this call
	}
	return err, false
}
