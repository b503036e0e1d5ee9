package middleware

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/listengroup/listengroup/lgrp"
)

// RateLimitOptions are the settings of [RateLimit]. The zero value, and nil, are
// the defaults.
type RateLimitOptions struct {
	// Burst is how many connections may come at once. Defaults to what comes in
	// a second, at least 1.
	Burst int

	// Key gives each connection the bucket that it takes from; connections with
	// the zero Key are not limited. ByIP(nil) is one bucket per peer. Defaults to
	// nil: one for all.
	Key func(c *lgrp.AnyConn) Key

	// MaxKeys bounds the number of buckets that are remembered, at some 400 bytes
	// each. Defaults to 65,536.
	MaxKeys int
}

// RateLimit lets perSecond new connections a second through, and at first, or
// after a rest, a burst; it ends the others with [lgrp.ReasonLimit]. Each bucket
// is a [rate.Limiter]: in any time t it lets at most Burst + perSecond·t
// through. rate.Inf is no limit, 0 lets nobody through once the burst is used
// up. rate.Every(time.Minute) is one a minute. To inspect or change it later,
// use a [RateLimiter].
//
// A bucket that has filled up again is forgotten, which makes no difference.
// When there are MaxKeys others, as when somebody comes from ever new addresses,
// new keys share one more bucket of the same rate, so that never more get
// through than that many buckets allow.
//
// It stands inside ProxyProtocol, which tells who the real peer is, and outside
// all that costs something.
func RateLimit(perSecond rate.Limit, opts *RateLimitOptions) lgrp.Middleware {
	return NewRateLimiter(perSecond, opts).Middleware()
}

// A RateLimiter is a [RateLimit] that can be inspected and changed while it
// runs. All methods may be called by many goroutines. Use NewRateLimiter.
type RateLimiter struct {
	key     func(c *lgrp.AnyConn) Key
	maxKeys int
	shared  *rate.Limiter // everybody's without a key function, else the latecomers'

	mu             sync.Mutex
	buckets        map[Key]*bucket
	oldest, newest *bucket // by when they last let somebody through
	refused        uint64
}

type bucket struct {
	*rate.Limiter
	key          Key
	older, newer *bucket
}

// NewRateLimiter returns a RateLimiter of perSecond new connections a second.
func NewRateLimiter(perSecond rate.Limit, opts *RateLimitOptions) *RateLimiter {
	var o RateLimitOptions
	if opts != nil {
		o = *opts
	}
	if o.Burst <= 0 {
		o.Burst = int(min(max(perSecond, 1), math.MaxInt32))
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = 1 << 16
	}
	return &RateLimiter{
		key: o.Key, maxKeys: o.MaxKeys, buckets: make(map[Key]*bucket),
		shared: rate.NewLimiter(perSecond, o.Burst),
	}
}

// Middleware returns the middleware. All that it returns share the buckets.
func (l *RateLimiter) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if !l.allow(c) {
				return errRateLimit
			}
			return next(ctx, nc, c)
		}
	}
}

// Set changes rate and burst, from now on and for all keys. What has been saved
// up stays, as far as it fits the new burst, of which less than 1 counts as 1.
// It takes time in the number of keys.
func (l *RateLimiter) Set(perSecond rate.Limit, burst int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	set := func(b *rate.Limiter) {
		b.SetBurstAt(now, max(burst, 1))
		b.SetLimitAt(now, perSecond)
	}
	set(l.shared)
	for _, b := range l.buckets {
		set(b.Limiter)
	}
}

// Rate returns how many new connections a second are let through.
func (l *RateLimiter) Rate() rate.Limit { return l.shared.Limit() }

// Burst returns how many may come at once.
func (l *RateLimiter) Burst() int { return l.shared.Burst() }

// Tokens returns how many connections with the key k could come now. Without
// a key function k does not matter.
func (l *RateLimiter) Tokens(k Key) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch b := l.buckets[k]; {
	case b != nil:
		return b.Tokens()
	case l.key != nil && len(l.buckets) < l.maxKeys:
		return float64(l.shared.Burst())
	}
	return l.shared.Tokens()
}

// Keys returns how many keys are remembered.
func (l *RateLimiter) Keys() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.buckets)
}

// Refused returns how many connections have been turned away.
func (l *RateLimiter) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

func (l *RateLimiter) allow(c *lgrp.AnyConn) bool {
	var k Key
	if l.key != nil {
		if k = l.key(c); k == (Key{}) {
			return true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Asked with mu held, so that buckets see times in order.
	now := time.Now()
	ok := false
	if b := l.bucket(k, now); b == nil {
		ok = l.shared.AllowN(now, 1)
	} else if ok = b.AllowN(now, 1); ok {
		l.unlink(b)
		l.append(b)
	}
	if !ok {
		l.refused++
	}
	return ok
}

// bucket returns nil where the shared one is meant.
func (l *RateLimiter) bucket(k Key, now time.Time) *bucket {
	if l.key == nil {
		return nil
	}
	mine := l.buckets[k]
	// Two for one, so that the table shrinks however fast new keys come.
	for range 2 {
		b := l.oldest
		if b == nil || b == mine || b.TokensAt(now) < float64(b.Burst()) {
			break
		}
		l.unlink(b)
		delete(l.buckets, b.key)
	}
	if mine == nil && len(l.buckets) < l.maxKeys {
		mine = &bucket{Limiter: rate.NewLimiter(l.shared.Limit(), l.shared.Burst()), key: k}
		l.buckets[k] = mine
		l.append(mine)
	}
	return mine
}

// append makes b the newest. A bucket is full at the latest Burst/rate after it
// last let somebody through, so the oldest keeps none behind it for longer.
func (l *RateLimiter) append(b *bucket) {
	b.older, b.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = b
	} else {
		l.oldest = b
	}
	l.newest = b
}

func (l *RateLimiter) unlink(b *bucket) {
	if b.older != nil {
		b.older.newer = b.newer
	} else {
		l.oldest = b.newer
	}
	if b.newer != nil {
		b.newer.older = b.older
	} else {
		l.newest = b.older
	}
}

var errRateLimit = refusal(lgrp.ReasonLimit, "RateLimit", lgrp.ErrLimit)
