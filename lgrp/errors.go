package lgrp

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/listengroup/listengroup/addr"
)

var (
	// ErrGroupClosed is returned by Add, AddAll, Listen and Resume once the
	// group has been told to shut down.
	ErrGroupClosed = errors.New("lgrp: group closed")

	// ErrDuplicateID is returned by Add, AddAll and Listen when a listener of
	// the group that has not failed, been drained or been removed has the same
	// id.
	ErrDuplicateID = errors.New("lgrp: duplicate listener id")

	// ErrNoListener is returned by Run when the last listener has failed,
	// joined with what it failed with, and what those failed with that failed
	// before it and are still listed.
	ErrNoListener = errors.New("lgrp: no listener left")

	// ErrKilled is the cause of a connection that was closed by Close or Kill
	// with a nil cause.
	ErrKilled = errors.New("lgrp: connection killed")

	// ErrDrained is the cause of a connection that a drain ended, be it at the
	// deadline (ReasonForced) or because it came too late (ReasonDrained).
	// Given to Close it sets ReasonDrained. Add returns it while the whole
	// group is being drained, and if a drain came while the listener was
	// starting.
	ErrDrained = errors.New("lgrp: drained")

	// ErrEvicted is the cause of an idle connection that was closed to let
	// another in, see EvictIdle. Given to Close it sets ReasonEvicted.
	ErrEvicted = errors.New("lgrp: evicted while idle")

	// ErrListenerRemoved is the cause of a connection whose listener was
	// removed with KillConns. Given to Close it sets ReasonListenerRemoved.
	ErrListenerRemoved = errors.New("lgrp: listener removed")

	// ErrLimit is the cause of a connection for which there was no room, see
	// Queue and Reject. Given to Close it sets ReasonLimit.
	ErrLimit = errors.New("lgrp: connection limit reached")

	errNoHandler = errors.New("lgrp: Connected returned no handler")
)

// A BindError says which address could not be bound. Add, AddAll, Listen and
// Resume return it.
type BindError struct {
	Addr addr.Addr // as asked for; as bound if OnBound failed
	Err  error     // what the system, or OnBound, said
}

func (e *BindError) Error() string {
	err := e.Err
	if op, ok := err.(*net.OpError); ok && op.Err != nil {
		err = op.Err // the rest of it says what is being said here
	}
	return fmt.Sprintf("lgrp: listen %s: %v", e.Addr, err)
}
func (e *BindError) Unwrap() error { return e.Err }

// A PanicError is what is left of a panic, or of a call of [runtime.Goexit],
// in code of the application's that ran on a goroutine of the group: the
// handler's, middleware's, a listener's Accept. It is the error and cause of
// the connection or listener that it ended, and Add returns it when OnBound
// panicked.
type PanicError struct {
	Value any    // what was passed to panic; for Goexit a string that says so
	Stack []byte // of the goroutine that panicked, as by debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("lgrp: panic: %v", e.Value) }

// Unwrap returns Value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError is called in the deferred function that recovered v. A nil v
// means runtime.Goexit: panic(nil) recovers as a *runtime.PanicNilError.
func newPanicError(v any) *PanicError {
	switch v := v.(type) {
	case nil:
		return &PanicError{Value: "runtime.Goexit called", Stack: debug.Stack()}
	case *PanicError: // on its way up from an inner layer
		return v
	default:
		return &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// A CloseError gives a connection a close reason from outside this package.
// It is recognised, also when wrapped, in what is given to [AnyConn.Close] and
// in what Connected, a handler or middleware returns.
type CloseError struct {
	Reason Reason
	Err    error // may be nil
}

func (e *CloseError) Error() string {
	if e == nil { // of a type that returns one where it meant no error
		return "lgrp: connection closed: a nil *CloseError"
	}
	if e.Err == nil {
		return "lgrp: connection closed: " + e.Reason.String()
	}
	return fmt.Sprintf("lgrp: connection closed: %s: %v", e.Reason, e.Err)
}

// Unwrap returns Err.
func (e *CloseError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// A DrainError says that a drain was not clean. Drain, Shutdown and Run return
// it when any connection had to be forced or is stuck, Close only when any is
// stuck.
type DrainError struct {
	Report *DrainReport // never nil
}

func (e *DrainError) Error() string {
	r := e.Report
	s := fmt.Sprintf("lgrp: drain: %d connections finished, %d forced, %d stuck", r.Finished, r.Forced, len(r.Stuck))
	if len(r.Stuck) > 0 {
		c := r.Stuck[0]
		s += fmt.Sprintf("; first stuck: connection %d of listener %s", c.ID, c.ListenerID)
		if c.Note != "" {
			s += fmt.Sprintf(" (%s)", c.Note)
		}
	}
	return s
}
