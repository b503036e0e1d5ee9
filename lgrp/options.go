package lgrp

import (
	"log/slog"
	"time"
)

// Options are the settings of a group. A nil *Options means all defaults. The
// struct is copied by New and NewGroup; later changes to it have no effect.
type Options struct {
	// Logger is told what the group has nobody to return to: handlers that
	// panicked, accept errors (one record an episode) and the listeners that
	// they closed, connections that ended before their handler started (at
	// most one record a second for each listener and reason). Defaults to
	// slog.Default() at the time of New; slog.New(slog.DiscardHandler) is
	// silence.
	Logger *slog.Logger

	// MaxConns is the number of connections that the group serves at one
	// time, over all listeners; see ListenGroup.SetMaxConns. Defaults to 0:
	// no limit.
	MaxConns int

	// OnLimit says what happens to connections beyond MaxConns of the group or
	// of a listener. Defaults to Backlog().
	OnLimit LimitPolicy

	// Grace is how long Run gives connections to finish once its context is
	// done. Negative means none. Defaults to 30 seconds.
	Grace time.Duration

	// ForceWait is how long a drain waits, after it has closed the connections
	// that did not finish in time, for their handlers to return, before it
	// reports them as stuck. Negative means not at all. Defaults to 1 second.
	ForceWait time.Duration

	// Drain says how Run, Shutdown and Close drain; its Only is not looked at.
	// Defaults to nil: all connections are asked to finish at once.
	Drain *DrainOptions

	// Events are told of what happens. Defaults to nil: nobody is.
	Events *Events

	// IDs is where connection ids come from. Groups that share one never use
	// the same id. Defaults to a source of the group's own.
	IDs *IDSource

	// NoReuse gives every connection a fresh goroutine. Otherwise a goroutine
	// whose handler has returned normally serves further connections, which
	// spares them the growing of a stack; idle ones, but for a handful, are
	// let go after a second or two. A handler that locks its OS thread needs
	// NoReuse. Defaults to false.
	NoReuse bool

	// AcceptBackoff decides what an error from Accept means. It is called on
	// the accept goroutine and must not block; consecutive is the number of
	// errors since the last connection, from 1. The listener tries again after
	// retryIn, sooner if a connection of the group closes meanwhile; negative
	// closes the listener, with err as its cause. Returning 0 again and again
	// makes the listener spin, and a panic closes it. Defaults to
	// DefaultAcceptBackoff.
	AcceptBackoff func(err error, consecutive int) (retryIn time.Duration)
}

// withDefaults returns a copy of o, which may be nil, with every field set.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.MaxConns = max(c.MaxConns, 0)
	c.OnLimit = c.OnLimit.or(Backlog())
	if c.Grace == 0 {
		c.Grace = 30 * time.Second
	}
	if c.ForceWait == 0 {
		c.ForceWait = time.Second
	}
	if c.Events == nil {
		c.Events = &Events{}
	}
	var drain DrainOptions
	if c.Drain != nil {
		drain = *c.Drain
	}
	drain.Only = nil
	c.Drain = &drain
	ev := *c.Events
	c.Events = &ev
	if c.IDs == nil {
		c.IDs = new(IDSource)
	}
	if c.AcceptBackoff == nil {
		c.AcceptBackoff = DefaultAcceptBackoff
	}
	return c
}

// Events are functions that are told what happens in a group. Any of them may
// be nil. They must not block: ConnOpened and ConnClosed hold up their
// connection, the other two the events that come after them. A panic in one
// is logged and otherwise ignored; runtime.Goexit too, but in ConnOpened it
// ends the connection, with ReasonPanic. No lock is held while they run, so they
// may call the group; an operation may return before its event has been
// delivered, but Shutdown returns after the last one, so not from within one.
type Events struct {
	// ListenerState tells that a listener moved from one state to another.
	// Events of one listener come one at a time and in order, from a goroutine
	// of the group. Moves between Accepting and Full that wait for a slow
	// receiver cancel each other out, and when more than 64 moves and errors
	// wait, the last of them and a further move become one, or none.
	ListenerState func(info ListenerInfo, from ListenerState)

	// ConnOpened tells that a connection has got a slot. It runs on the
	// connection's goroutine before its Transport. Connections that never get
	// a slot have no events.
	ConnOpened func(ConnInfo)

	// ConnClosed tells that a connection which had a slot has ended: its
	// handler has returned and its socket is closed. err is the handler's
	// error or the cause given to Close, whichever ended it; nil at the
	// ordinary end. It runs on the connection's goroutine.
	ConnClosed func(info ConnInfo, why Reason, err error)

	// AcceptError tells that Accept failed, and when it will be tried again;
	// retryIn < 0 means that the listener is closed. It comes in order with
	// ListenerState. When more than 64 wait for a slow receiver, further ones
	// are dropped.
	AcceptError func(info ListenerInfo, err error, retryIn time.Duration)
}
