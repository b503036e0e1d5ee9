package middleware

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// MinRateOptions are the settings of [MinRate]. The zero value, and nil, are the
// defaults.
type MinRateOptions struct {
	// Window is the time in which the bytes have to come. Defaults to 10 s.
	Window time.Duration
}

// MinRate ends connections, with [lgrp.ReasonTimeout], whose peer sends less
// than n bytes in a window: those that hold a slot by sending a byte now and
// then (slow loris). Only time spent waiting for the peer, in Read or WriteTo,
// counts, so handlers may think as long as they like; a connection that waits
// while it is idle ([lgrp.AnyConn.SetIdle]) is left alone. 0 or less means no
// minimum. To change n later, use a [RateFloor].
//
// In front of [HTTP], behind which somebody reads all the time, requests may
// take as long as they like too: what counts is the time before the first one
// has come and the time in which a handler reads a body or net/http what is left
// of it. What does not count is the rest of a body that net/http reads while a
// handler that has not read it writes a long response, headers after the first,
// for which net/http is idle until they are complete, and what is written: for
// these http.Server has ReadTimeout, ReadHeaderTimeout and WriteTimeout. Other
// servers that read while they work, such as an http.Server behind [Serve], are
// taken to wait all the time.
//
// It stands inside what waits for peers by rules of its own, such as TLS with
// its handshake timeout; but behind TLS it hides the *tls.Conn from handlers that
// assert one, such as HTTP/2, and then stands in front, where slow handshakes
// count too. It keeps splice. A Read costs two readings of the
// clock, and no deadline is set. While io.Copy moves bytes in the kernel, a TCP
// connection on Linux is judged by what the kernel says has come; elsewhere such
// a copy is judged in steps of up to 256 KiB.
func MinRate(n int64, opts *MinRateOptions) lgrp.Middleware {
	return NewRateFloor(n, opts).Middleware()
}

// A RateFloor is a [MinRate] that can be changed while it runs. All methods may
// be called by many goroutines. Use NewRateFloor.
type RateFloor struct {
	min    atomic.Int64
	window time.Duration
	ended  atomic.Uint64
}

// NewRateFloor returns a RateFloor of n bytes a window.
func NewRateFloor(n int64, opts *MinRateOptions) *RateFloor {
	f := &RateFloor{window: 10 * time.Second}
	if opts != nil && opts.Window > 0 {
		f.window = opts.Window
	}
	f.SetMin(n)
	return f
}

// SetMin changes the minimum, also for windows that have begun.
func (f *RateFloor) SetMin(n int64) { f.min.Store(n) }

// Min returns the minimum.
func (f *RateFloor) Min() int64 { return f.min.Load() }

// Ended returns how many connections have been ended for being slow.
func (f *RateFloor) Ended() uint64 { return f.ended.Load() }

// Middleware returns the middleware.
func (f *RateFloor) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			ctx, nc, r := f.begin(ctx, nc, c)
			defer r.stop()
			return next(ctx, nc, c)
		}
	}
}

// Inlined, it would lie on the stack of every idle connection.
//
//go:noinline
func (f *RateFloor) begin(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) (context.Context, net.Conn, *rateConn) {
	r := &rateConn{f: f, c: c, begun: time.Now(), outer: ratedBy(ctx)}
	r.inner = valueContext{ctx, rateKey{}, r}
	nc = r.watch(nc)
	r.start()
	return &r.inner, nc, r
}

// rateKey leads to the innermost *rateConn. That goes by the context because
// what a connection is wrapped in may hide it.
type rateKey struct{}

// ratedBy returns nil if there is no MinRate.
func ratedBy(ctx context.Context) *rateConn {
	r, _ := ctx.Value(rateKey{}).(*rateConn)
	return r
}

type rateConn struct {
	netx.Meter
	f      *RateFloor
	c      *lgrp.AnyConn
	begun  time.Time
	kernel kernelTraffic
	outer  *rateConn // of a MinRate further out
	inner  valueContext

	mu      sync.Mutex
	timer   *time.Timer   // nil once it is over
	ticking bool          // it will call check; it need not while nobody waits
	asks    bool          // the kernel
	waiting bool          // somebody is, in Read or WriteTo
	excused int           // those who say that waiting is none just now
	since   time.Duration // since begun: when the waiting that counts began
	waited  time.Duration // before that, in this window
	bytes   int64         // in this window
	seen    uint64        // what the kernel said at its beginning
}

func (r *rateConn) watch(nc net.Conn) net.Conn {
	r.kernel, r.asks = watchKernel(nc)
	return netx.Metered(nc, r)
}

func (r *rateConn) BeforeRead(most int) (int, error) {
	r.mu.Lock()
	if !r.waiting {
		r.waiting = true
		r.startClock()
	}
	r.mu.Unlock()
	return most, nil
}

func (r *rateConn) AfterRead(n int) { r.arrived(n) }

func (r *rateConn) Read(p []byte) (int, error) {
	n, err := r.Meter.Read(p)
	if err != nil {
		r.arrived(0) // which AfterRead is not told
	}
	return n, err
}

func (r *rateConn) WriteTo(w io.Writer) (int64, error) {
	defer r.arrived(0)
	return r.Meter.WriteTo(w)
}

// arrived ends the waiting.
func (r *rateConn) arrived(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += int64(n)
	if r.waiting {
		r.stopClock()
		r.waiting = false
	}
}

// excuse is for handlers behind which somebody always reads, whether or not the
// peer owes anything: until they take it back, their waiting does not count.
func (r *rateConn) excuse(on bool) {
	for ; r != nil; r = r.outer {
		r.mu.Lock()
		if on {
			r.stopClock()
			r.excused++
		} else {
			r.excused--
			r.startClock()
		}
		r.mu.Unlock()
	}
}

// counting, startClock and stopClock are called with mu held.
func (r *rateConn) counting() bool { return r.waiting && r.excused == 0 }

func (r *rateConn) startClock() {
	if !r.counting() {
		return
	}
	r.since = time.Since(r.begun)
	if !r.ticking {
		r.tick(r.f.window - r.waited)
	}
}

// Handlers say that they are idle before they wait, and that they no longer are
// afterwards, so it shows here.
func (r *rateConn) stopClock() {
	if !r.counting() {
		return
	}
	waited := time.Since(r.begun) - r.since
	if waited > time.Millisecond && r.c.Info().Idle {
		return
	}
	r.waited += waited
}

func (r *rateConn) start() {
	r.mu.Lock()
	r.timer, r.ticking = time.AfterFunc(r.f.window, r.check), true
	r.mu.Unlock()
}

func (r *rateConn) stop() {
	r.mu.Lock()
	r.timer.Stop()
	r.timer = nil
	r.mu.Unlock()
}

// tick sets the timer. Whoever calls it holds mu.
func (r *rateConn) tick(d time.Duration) {
	if r.timer != nil {
		r.ticking = true
		r.timer.Reset(d)
	}
}

// left returns how much of the window there is left to wait.
func (r *rateConn) left(now time.Duration) time.Duration {
	waited := r.waited
	if r.counting() {
		waited += now - r.since
	}
	return r.f.window - waited
}

// check runs when the window may be over.
func (r *rateConn) check() {
	if n := r.f.Min(); r.tooSlow(n) {
		r.f.ended.Add(1)
		r.c.Close(&lgrp.CloseError{Reason: lgrp.ReasonTimeout,
			Err: fmt.Errorf("middleware: MinRate: less than %d bytes in %v", n, r.f.window)})
	}
}

func (r *rateConn) tooSlow(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil {
		return false
	}
	r.ticking = false
	now := time.Since(r.begun)
	if left := r.left(now); left > 0 {
		if r.counting() {
			r.tick(left)
		}
		return false
	}
	bytes, excused := r.bytes, n <= 0 || r.excused > 0 || r.c.Info().Idle
	if !r.asks { // peeked bytes may have been in the way
		r.kernel, r.asks = watchKernel(r.Conn)
	}
	if r.asks {
		t, ok := r.kernel.now()
		if !ok {
			return false
		}
		// Bytes that nobody has read are not the peer's fault: io.Copy waits
		// for whom it writes to.
		excused = excused || t.unread
		bytes = max(bytes, int64(t.read-r.seen))
		r.seen = t.read
	}
	if bytes < n && !excused {
		r.ticking = true // not again
		return true
	}
	r.since, r.waited, r.bytes = now, 0, 0
	if r.counting() {
		r.tick(r.f.window)
	}
	return false
}
