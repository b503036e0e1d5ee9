package lgrp

import (
	"context"
	"time"
)

// connCtx is the context of a connection: the record itself under another
// type, so that it costs no allocation and AnyConn shows no context methods.
//
// Its Done channel is made by the first who asks. Children that the standard
// library derives from it register through AfterFunc, so that they start no
// goroutine.
type connCtx AnyConn

// connKey is the key under which a connection's context finds the connection.
type connKey struct{}

func (x *connCtx) Deadline() (time.Time, bool) { return time.Time{}, false }

func (x *connCtx) Done() <-chan struct{} {
	c := (*AnyConn)(x)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.has(flagEnded) {
			close(c.done)
		}
	}
	return c.done
}

func (x *connCtx) Err() error {
	if (*AnyConn)(x).has(flagEnded) {
		return context.Canceled
	}
	return nil
}

func (x *connCtx) Value(key any) any {
	c := (*AnyConn)(x)
	if _, ok := key.(connKey); ok {
		return c
	}
	if c.has(flagEnded) {
		if v := c.endedCtx().Value(key); v != nil {
			return v
		}
	}
	if c.l == nil {
		return nil
	}
	return c.l.values.Value(key)
}

// AfterFunc is what context.WithCancel and its like look for in a parent. f is
// theirs and does not block. It runs before the socket is closed, on the
// goroutine that ends the connection, so that whoever sees a Read fail
// because of that finds children of the context done too: all but one that is
// being made at the moment of the end, whose end may come a moment later.
func (x *connCtx) AfterFunc(f func()) (stop func() bool) {
	c := (*AnyConn)(x)
	s := c.needSide()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has(flagEnded) {
		go f() // the caller holds a lock that f takes
		return func() bool { return false }
	}
	cb := s.after.add(f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return s.after.remove(cb)
	}
}

// String is for people who print contexts.
func (x *connCtx) String() string { return "lgrp.connection" }

// endedCtx returns a context that has ended with the connection's cause;
// flagEnded is set. The package context looks a cause up by asking Value for a
// key of its own: a custom context can only answer by passing that question on
// to a context of theirs.
func (c *AnyConn) endedCtx() context.Context {
	s := c.needSide()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ended == nil {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(c.cause) // nil becomes context.Canceled
		s.ended = ctx
	}
	return s.ended
}

// callbacks is a set of functions: a ring, so that adding and removing cost
// the same however many there are. The zero value is empty. Its owner's lock
// guards it.
type callbacks struct{ head *callback }

type callback struct {
	f          func()
	prev, next *callback
	in         bool
}

func (s *callbacks) add(f func()) *callback {
	cb := &callback{f: f, next: s.head, in: true}
	if s.head != nil {
		s.head.prev = cb
	}
	s.head = cb
	return cb
}

// remove reports whether cb was still in the set.
func (s *callbacks) remove(cb *callback) bool {
	if !cb.in {
		return false
	}
	cb.in = false
	if cb.prev != nil {
		cb.prev.next = cb.next
	} else {
		s.head = cb.next
	}
	if cb.next != nil {
		cb.next.prev = cb.prev
	}
	return true
}

// take empties the set and returns its functions, linked by next.
func (s *callbacks) take() *callback {
	head := s.head
	s.head = nil
	for cb := head; cb != nil; cb = cb.next {
		cb.in = false
	}
	return head
}
