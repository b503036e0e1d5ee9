package testkit

import (
	"io"
	"net"
)

// closedError answers to both names of the same thing, as [memconn.Conn] does.
type closedError struct{}

var errClosed error = closedError{}

func (closedError) Error() string   { return net.ErrClosed.Error() }
func (closedError) Unwrap() []error { return []error{net.ErrClosed, io.ErrClosedPipe} }

// emptyError is AcceptQueued's answer when nothing waits.
type emptyError struct{}

func (emptyError) Error() string    { return "no connection waits" }
func (emptyError) QueueEmpty() bool { return true }
