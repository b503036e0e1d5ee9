package middleware

import (
	"context"
	"math"
	"math/bits"
	"net"
	"os"
	"sync"
	"time"
)

// byteBucket is a token bucket in whole numbers: exact, for however long. The
// zero value limits nothing.
type byteBucket struct {
	mu          sync.Mutex
	rate, burst int64     // bytes per second, and at once; rate 0: no limit
	start       time.Time // when it was last full
	spent       int64     // since then
}

// set changes the rate. What has been saved up, or is owed, stays.
func (b *byteBucket) set(now time.Time, rate int64, burst time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate = max(rate, 0)
	size := max(scale(rate, int64(burst), int64(time.Second)), 1)
	if rate == b.rate && size == b.burst {
		return
	}
	left := size
	if b.rate > 0 {
		left = min(left, b.burst-b.spent+b.earned(now))
	}
	b.rate, b.burst, b.start, b.spent = rate, size, now, size-left
}

// take takes n bytes and returns when they are paid for, the zero time for at
// once.
func (b *byteBucket) take(now time.Time, n int) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return time.Time{}
	}
	if b.earned(now) >= b.spent {
		b.start, b.spent = now, 0
	}
	b.spent += int64(n)
	if b.spent <= b.burst {
		return time.Time{}
	}
	due := scale(b.spent-b.burst, int64(time.Second), b.rate)
	if scale(due, b.rate, int64(time.Second)) < b.spent-b.burst {
		due++ // the first nanosecond at which there is enough
	}
	return b.start.Add(time.Duration(due))
}

func (b *byteBucket) giveBack(n int) {
	b.mu.Lock()
	b.spent = max(b.spent-int64(n), 0)
	b.mu.Unlock()
}

// most is how many bytes may be taken in one step.
func (b *byteBucket) most() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return math.MaxInt64
	}
	return b.burst
}

// earned is called with mu held.
func (b *byteBucket) earned(now time.Time) int64 {
	return scale(b.rate, int64(max(now.Sub(b.start), 0)), int64(time.Second))
}

// scale returns n*by/per, rounded down, at most the largest int64.
func scale(n, by, per int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(by))
	if hi >= uint64(per) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(per))
	return int64(min(q, math.MaxInt64))
}

// lane is one direction of a throttled connection.
type lane struct {
	ctx   context.Context
	total *byteBucket
	own   byteBucket

	mu       sync.Mutex
	paid     time.Time // when everything taken is
	deadline time.Time
	closed   bool
	wake     chan struct{} // closed when one of these changes; made by who waits
}

// sync brings the connection's own rate up to date and returns how many of most
// bytes the next step may have.
func (l *lane) sync(most int, rate int64, burst time.Duration) int {
	l.own.set(time.Now(), rate, burst)
	return int(min(int64(most), l.own.most(), l.total.most()))
}

func (l *lane) take(n int) {
	due := l.due(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	if due.After(l.paid) {
		l.paid = due
	}
}

// giveBack undoes a take of bytes that will not pass.
func (l *lane) giveBack(n int) {
	l.own.giveBack(n)
	l.total.giveBack(n)
	due := l.due(0)
	l.mu.Lock()
	l.paid = due
	l.mu.Unlock()
}

func (l *lane) due(n int) time.Time {
	now := time.Now()
	own, total := l.own.take(now, n), l.total.take(now, n)
	if total.After(own) {
		return total
	}
	return own
}

// await returns when everything taken is paid for, or with an error when the
// connection is over or the deadline has passed.
func (l *lane) await() error {
	for {
		now := time.Now()
		l.mu.Lock()
		until, late := l.paid, false
		if l.closed || !until.After(now) {
			l.mu.Unlock()
			return nil // whether the deadline has passed is for the connection to say
		}
		if !l.deadline.IsZero() && l.deadline.Before(until) {
			until, late = l.deadline, true
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()

		if late && !until.After(now) {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-timer.C:
		case <-wake:
		case <-l.ctx.Done():
			timer.Stop()
			return net.ErrClosed // what the socket will say, which may still be open for a moment
		}
		timer.Stop()
	}
}

func (l *lane) setDeadline(t time.Time) { l.change(func() { l.deadline = t }) }
func (l *lane) close()                  { l.change(func() { l.closed = true }) }

func (l *lane) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}
