package middleware

import (
	"context"
	"iter"
	"maps"
	"net"
	"sync"

	"github.com/listengroup/listengroup/lgrp"
)

// LimitBy lets at most n connections at a time through for each key and ends
// the others with [lgrp.ReasonLimit]. key is called once for each connection, on
// its goroutine; connections with the zero [Key] are not limited. 0 or less
// means no limit.
//
// It remembers only keys that have connections, so that its memory is bounded by
// the number of connections, whoever they come from: put [Limit] outside it, or
// MaxConns on the group. It stands inside what key needs to know: inside
// ProxyProtocol for the peer, inside TLS for the server name.
func LimitBy(n int, key func(c *lgrp.AnyConn) Key) lgrp.Middleware {
	return NewKeyLimiter(n, key).Middleware()
}

// A KeyLimiter is a [LimitBy] that can be inspected and changed while it runs.
// All methods may be called by many goroutines. Use NewKeyLimiter.
type KeyLimiter struct {
	key     func(c *lgrp.AnyConn) Key
	mu      sync.Mutex
	max     int
	active  map[Key]*keyed
	spare   []*keyed // to be used again
	refused uint64
}

// keyed are the connections with a key. Each that is inside keeps the pointer,
// and not the key, on its stack.
type keyed struct {
	key Key
	n   int // guarded by KeyLimiter.mu
}

// NewKeyLimiter returns a KeyLimiter of max connections for each key.
func NewKeyLimiter(max int, key func(c *lgrp.AnyConn) Key) *KeyLimiter {
	if key == nil {
		panic("middleware: LimitBy with a nil key function")
	}
	return &KeyLimiter{key: key, max: max, active: make(map[Key]*keyed)}
}

// Middleware returns the middleware. All that it returns share the counts.
func (l *KeyLimiter) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			k, ok := l.enter(c)
			if !ok {
				return errLimitBy
			}
			defer l.leave(k)
			return next(ctx, nc, c)
		}
	}
}

// SetMax changes the limit for connections that come from now on. Lowered, it
// ends nobody. 0 or less means no limit.
func (l *KeyLimiter) SetMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = n
}

// Max returns the limit.
func (l *KeyLimiter) Max() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.max
}

// Active returns how many connections with the key are inside.
func (l *KeyLimiter) Active(k Key) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.active[k]; k != nil {
		return k.n
	}
	return 0
}

// Keys yields the keys that have connections, and how many, as they are when
// the loop starts and in no particular order.
func (l *KeyLimiter) Keys() iter.Seq2[Key, int] {
	return func(yield func(Key, int) bool) {
		l.mu.Lock()
		active := make(map[Key]int, len(l.active))
		for key, k := range l.active {
			active[key] = k.n
		}
		l.mu.Unlock()
		maps.All(active)(yield)
	}
}

// Refused returns how many connections have been turned away.
func (l *KeyLimiter) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// enter returns nil for a connection that has no key, which is not limited.
func (l *KeyLimiter) enter(c *lgrp.AnyConn) (k *keyed, ok bool) {
	key := l.key(c)
	if key == (Key{}) {
		return nil, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k = l.active[key]
	if k == nil {
		k = l.newKeyed()
		k.key = key
	}
	if l.max > 0 && k.n >= l.max {
		l.refused++
		return nil, false
	}
	k.n++
	l.active[key] = k
	return k, true
}

func (l *KeyLimiter) leave(k *keyed) {
	if k == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.n--; k.n == 0 {
		delete(l.active, k.key)
		if len(l.spare) < maxSpareKeyed {
			l.spare = append(l.spare, k)
		}
	}
}

// So many are enough for clients that come and go, and little after a flood.
const maxSpareKeyed = 64

func (l *KeyLimiter) newKeyed() *keyed {
	n := len(l.spare) - 1
	if n < 0 {
		return new(keyed)
	}
	k := l.spare[n]
	l.spare = l.spare[:n]
	return k
}

var errLimitBy = refusal(lgrp.ReasonLimit, "LimitBy", lgrp.ErrLimit)
