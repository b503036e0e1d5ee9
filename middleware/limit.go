package middleware

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/listengroup/listengroup/lgrp"
)

// Limit lets at most n connections at a time through to what is inside it and
// ends the others with [lgrp.ReasonLimit]. 0 or less means no limit. The count
// is one for all listeners that share the chain: g.Use(Limit(8)) is 8 for the
// whole group. To change it later, use [NewLimiter].
//
// It stands where the thing that it protects begins: behind TLS to limit
// established sessions, inside [When] to limit one kind. To limit a whole group
// or listener, MaxConns is better, since it can make clients wait.
func Limit(n int) lgrp.Middleware { return NewLimiter(n).Middleware() }

// A Limiter is a [Limit] that can be inspected and changed while it runs. The
// zero value has no limit. All methods may be called by many goroutines.
type Limiter struct {
	mu      sync.Mutex
	max     int
	active  int
	refused uint64
}

// NewLimiter returns a Limiter of max connections.
func NewLimiter(max int) *Limiter { return &Limiter{max: max} }

// Middleware returns the middleware. All that it returns share the count.
func (l *Limiter) Middleware() lgrp.Middleware {
	leave := l.leave // bound once: a defer that binds it does so on each connection's stack
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			if !l.enter() {
				return errLimit
			}
			defer leave()
			return next(ctx, nc, c)
		}
	}
}

// SetMax changes the limit for connections that come from now on. Lowered, it
// ends nobody. 0 or less means no limit.
func (l *Limiter) SetMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = n
}

// Max returns the limit.
func (l *Limiter) Max() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.max
}

// Active returns how many connections are inside.
func (l *Limiter) Active() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active
}

// Refused returns how many connections have been turned away.
func (l *Limiter) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

func (l *Limiter) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.max > 0 && l.active >= l.max {
		l.refused++
		return false
	}
	l.active++
	return true
}

func (l *Limiter) leave() {
	l.mu.Lock()
	l.active--
	l.mu.Unlock()
}

// What refuses is made once: it costs nothing to turn away a flood.
var errLimit = refusal(lgrp.ReasonLimit, "Limit", lgrp.ErrLimit)

func refusal(why lgrp.Reason, middleware string, err error) error {
	return &lgrp.CloseError{Reason: why, Err: fmt.Errorf("middleware: %s: %w", middleware, err)}
}
