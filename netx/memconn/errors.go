package memconn

import (
	"io"
	"net"
	"os"
	"syscall"
)

// Made once: closing a connection should not cost allocations.
var (
	errBroken     = os.NewSyscallError("write", syscall.EPIPE)
	errReadReset  = os.NewSyscallError("read", syscall.ECONNRESET)
	errWriteReset = os.NewSyscallError("write", syscall.ECONNRESET)
)

// closedError is what the operations on an end answer that has been closed itself. Servers ask for
// net.ErrClosed, code written for net.Pipe for io.ErrClosedPipe; it is both.
type closedError struct{}

var errClosed error = closedError{}

func (closedError) Error() string   { return net.ErrClosed.Error() }
func (closedError) Unwrap() []error { return []error{net.ErrClosed, io.ErrClosedPipe} }

// emptyError is AcceptQueued's answer when no connection waits.
type emptyError struct{}

func (emptyError) Error() string    { return "no connection waits" }
func (emptyError) QueueEmpty() bool { return true }

// anonymous stands in for the address a caller did not give.
type anonymous struct{}

func (anonymous) Network() string { return "mem" }
func (anonymous) String() string  { return "mem" }

func orAnonymous(a net.Addr) net.Addr {
	if a == nil {
		return anonymous{}
	}
	return a
}
