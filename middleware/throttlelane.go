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
	turns       uint64    // how many have been given out
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
	b.turns++ // what was taken at the old rate is not given back
}

// A turn is what has been taken of a bucket.
type turn struct {
	taken bool
	n     int
	no    uint64
	due   time.Time // when it is paid for, zero for at once
}

// take takes n bytes, unless they are paid for only after a time that is not
// zero.
func (b *byteBucket) take(now time.Time, n int, unlessAfter time.Time) turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := b.due(now, n)
	if !unlessAfter.IsZero() && due.After(unlessAfter) && due.After(now) {
		return turn{}
	}
	b.turns++
	if b.rate > 0 {
		b.refill(now)
		b.spent += int64(n)
	}
	return turn{true, n, b.turns, due}
}

// giveBack undoes the last turn. Whoever came after an earlier one has been
// told when to pass as if its bytes had: they cannot be given to others.
func (b *byteBucket) giveBack(t turn) {
	b.mu.Lock()
	if t.no == b.turns {
		b.spent = max(b.spent-int64(t.n), 0)
	}
	b.mu.Unlock()
}

// passNow says that n bytes taken before pass only now: what has been saved up
// in between goes.
func (b *byteBucket) passNow(now time.Time, n int) {
	b.mu.Lock()
	if b.rate > 0 && b.spent-b.earned(now) <= int64(n) {
		b.start, b.spent = now, int64(n)
	}
	b.mu.Unlock()
}

// room returns when there will be room for n bytes more, and how much there is
// now.
func (b *byteBucket) room(now time.Time, n int) (due time.Time, free int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return time.Time{}, math.MaxInt64
	}
	b.refill(now)
	return b.due(now, n), b.burst - b.spent + b.earned(now)
}

// refill, due and earned are called with mu held.
func (b *byteBucket) refill(now time.Time) {
	if b.earned(now) >= b.spent {
		b.start, b.spent = now, 0
	}
}

func (b *byteBucket) due(now time.Time, n int) time.Time {
	if b.rate == 0 {
		return time.Time{}
	}
	start, spent := b.start, b.spent
	if b.earned(now) >= spent {
		start, spent = now, 0
	}
	if spent += int64(n); spent <= b.burst {
		return time.Time{}
	}
	due := scale(spent-b.burst, int64(time.Second), b.rate)
	if scale(due, b.rate, int64(time.Second)) < spent-b.burst {
		due++ // the first nanosecond at which there is enough
	}
	return start.Add(time.Duration(due))
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
	paid     time.Time // when everything copied is
	kept     []*keptRead
	deadline time.Time
	closed   bool
	wake     chan struct{} // closed when the deadline or closed changes; made by who waits
}

// keptRead is what a Read could not give out before its deadline.
type keptRead struct {
	b     []byte
	turns laneTurns
}

// laneTurns are those of bytes at both rates. They come one after the other, so
// that none of the total lies unused while the connection's own rate is waited
// for.
type laneTurns struct{ own, total turn }

// sync brings the connection's own rate up to date and returns how many of most
// bytes the next step may have.
func (l *lane) sync(most int, rate int64, burst time.Duration) int {
	l.own.set(time.Now(), rate, burst)
	return int(min(int64(most), l.own.most(), l.total.most()))
}

// pass returns when n bytes may pass, or with an error when the connection is
// over or the deadline has passed. Then they have lost their turns, unless keep
// is set.
func (l *lane) pass(n int, t *laneTurns, keep bool) error {
	late := t.own.taken
	err := l.pay(&l.own, n, &t.own, keep)
	if err == nil {
		now := time.Now()
		err = l.pay(l.total, n, &t.total, keep)
		late = late || t.total.due.After(now)
	}
	switch {
	case err == nil && late:
		l.own.passNow(time.Now(), n)
	case err != nil && !keep && t.own.taken:
		l.own.giveBack(t.own)
	}
	return err
}

// pay takes n bytes of b, unless they have been, and waits until they are paid
// for. Without keep it takes nothing that would be so after the deadline only.
func (l *lane) pay(b *byteBucket, n int, t *turn, keep bool) error {
	if b.most() == math.MaxInt64 { // no limit: spares the lane a channel
		t.taken = true
		return nil
	}
	for {
		now := time.Now()
		deadline, closed, wake := l.state()
		if !t.taken {
			by := deadline
			if keep {
				by = time.Time{}
			}
			*t = b.take(now, n, by)
		}
		if t.taken && !t.due.After(now) {
			return nil // whether the deadline has passed is for the connection to say
		}
		until, err := t.due, error(nil)
		if !t.taken || !deadline.IsZero() && deadline.Before(until) {
			if until = deadline; !until.After(now) {
				err = os.ErrDeadlineExceeded
			}
		}
		if closed {
			err = net.ErrClosed
		}
		if err == nil {
			err = l.wait(now, until, wake)
		}
		if err != nil {
			if t.taken && !keep {
				b.giveBack(*t)
				*t = turn{}
			}
			return err
		}
	}
}

// await returns when everything copied is paid for, and it is t.
func (l *lane) await(t time.Time) error {
	for {
		now := time.Now()
		deadline, closed, wake := l.state()
		until := l.owed()
		if t.After(until) {
			until = t
		}
		if closed || !until.After(now) {
			return nil // whether the deadline has passed is for the connection to say
		}
		if !deadline.IsZero() && deadline.Before(until) {
			if !deadline.After(now) {
				return os.ErrDeadlineExceeded
			}
			until = deadline
		}
		if err := l.wait(now, until, wake); err != nil {
			return err
		}
	}
}

// ahead returns how many of most bytes, which nobody knows whether they will
// come, may be copied now, after waiting for room for half of them.
func (l *lane) ahead(most int) (int, error) {
	half := (most + 1) / 2
	now := time.Now()
	own, _ := l.own.room(now, half)
	total, _ := l.total.room(now, half)
	if total.After(own) {
		own = total
	}
	err := l.await(own)
	now = time.Now()
	_, free := l.own.room(now, 0)
	_, ofAll := l.total.room(now, 0)
	return int(max(min(int64(most), free, ofAll), int64(half))), err
}

// copied takes n bytes that have been copied, and waits for their turn.
func (l *lane) copied(n int) {
	now := time.Now()
	own, total := l.own.take(now, n, time.Time{}).due, l.total.take(now, n, time.Time{}).due
	if total.After(own) {
		own = total
	}
	l.mu.Lock()
	if own.After(l.paid) {
		l.paid = own
	}
	l.mu.Unlock()
	_ = l.await(time.Time{}) // the bytes are here, whatever the deadline; it ends the next step
}

func (l *lane) owed() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paid
}

func (l *lane) state() (deadline time.Time, closed bool, wake chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return l.deadline, l.closed, l.wake
}

// wait returns at until, or when wake is closed.
func (l *lane) wait(now, until time.Time, wake chan struct{}) error {
	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-l.ctx.Done():
		return net.ErrClosed // what the socket will say, which may still be open for a moment
	}
	return nil
}

// unkeep returns what has been kept first, nil if nothing is.
func (l *lane) unkeep() *keptRead {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) == 0 {
		return nil
	}
	k := l.kept[0]
	l.kept = l.kept[1:]
	return k
}

func (l *lane) keep(k *keptRead) {
	l.mu.Lock()
	l.kept = append([]*keptRead{k}, l.kept...)
	l.mu.Unlock()
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
