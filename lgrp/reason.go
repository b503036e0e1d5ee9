package lgrp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// Reason says why a connection ended. The first reason that is set stays.
//
// What a handler, or the middleware around it, returned is mapped so: nil is
// ReasonReturned, or ReasonDrained if the connection had been asked to finish;
// a [*CloseError] has its own; io.EOF, EPIPE and ECONNRESET are
// ReasonPeerClosed; a timeout is ReasonTimeout; anything else is ReasonError.
// What was given to [AnyConn.Close] is mapped so: a *CloseError has its own;
// ErrDrained, ErrEvicted, ErrListenerRemoved and ErrLimit have theirs;
// anything else is ReasonKilled.
type Reason uint8

// The reasons. The zero value says that the connection has not ended.
const (
	ReasonNone            Reason = iota // not ended
	ReasonReturned                      // the handler returned nil
	ReasonError                         // the handler returned an error that none of the others describes
	ReasonPanic                         // the handler, middleware or an OnDrain function panicked or called runtime.Goexit
	ReasonKilled                        // Close or Kill
	ReasonPeerClosed                    // the peer closed or reset the connection
	ReasonHandshake                     // the Transport stage failed: TLS, PROXY protocol
	ReasonTimeout                       // a deadline passed: idle, lifetime, handshake
	ReasonLimit                         // no room: rejected, or waited in a Queue for too long
	ReasonDenied                        // refused by Connected or by admission middleware
	ReasonEvicted                       // idle, and closed to let another in
	ReasonDrained                       // returned nil after Draining, or came too late to be served
	ReasonForced                        // ended at the deadline of a drain
	ReasonListenerRemoved               // its listener was removed with KillConns
	numReasons
)

var reasonNames = [numReasons]string{
	"none", "returned", "error", "panic", "killed", "peer-closed", "handshake", "timeout",
	"limit", "denied", "evicted", "drained", "forced", "listener-removed",
}

// String returns the reason in lower case, such as "peer-closed".
func (r Reason) String() string { return name(reasonNames[:], uint8(r), "reason") }

// MarshalText returns what String does; it never fails.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes what MarshalText made, and fails for other text.
func (r *Reason) UnmarshalText(text []byte) error {
	return parseName(reasonNames[:], text, "reason", (*uint8)(r))
}

// Reasons returns all reasons but ReasonNone, in their order.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := ReasonReturned; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// reasonOfCause maps what was given to Close.
func reasonOfCause(cause error) Reason {
	var ce *CloseError
	switch {
	case errors.As(cause, &ce) && ce != nil && ce.Reason != ReasonNone && ce.Reason < numReasons:
		return ce.Reason
	case errors.Is(cause, ErrDrained):
		return ReasonDrained
	case errors.Is(cause, ErrEvicted):
		return ReasonEvicted
	case errors.Is(cause, ErrListenerRemoved):
		return ReasonListenerRemoved
	case errors.Is(cause, ErrLimit):
		return ReasonLimit
	}
	return ReasonKilled
}

// ReasonOf returns the reason for which a connection ends whose handler returned
// err, see [Reason]; draining says whether it had been asked to finish. It is
// for middleware that tells others how a connection ended before the group
// does.
func ReasonOf(err error, draining bool) Reason {
	if err == nil {
		if draining {
			return ReasonDrained
		}
		return ReasonReturned
	}
	if err == io.EOF { // by far the commonest
		return ReasonPeerClosed
	}
	var (
		ce *CloseError
		pe *PanicError
		ne net.Error
	)
	switch {
	case errors.As(err, &pe): // whatever was passed to panic
		return ReasonPanic
	case errors.As(err, &ce) && ce != nil && ce.Reason != ReasonNone && ce.Reason < numReasons:
		return ce.Reason
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return ReasonPeerClosed
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &ne) && ne.Timeout():
		return ReasonTimeout
	}
	return ReasonError
}

// name and parseName are the text form of the small enumerations here.
func name(names []string, v uint8, what string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", what, v)
}

func parseName(names []string, text []byte, what string, v *uint8) error {
	for i, n := range names {
		if n == string(text) {
			*v = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("lgrp: unknown %s %q; want one of %s", what, text, strings.Join(names, ", "))
}
