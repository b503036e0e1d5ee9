package netx

import (
	"errors"
	"net"
	"syscall"
)

// ErrQueueEmpty is what AcceptQueued returns when no connection waits.
var ErrQueueEmpty = errors.New("netx: no connection is queued")

// StopQueue tells the kernel to queue no more connections on ln, so that
// AcceptQueued can take those that wait and ln can be closed with none lost.
// A TCP socket's queue is shrunk to nothing with listen(2). A unix socket's
// file is unlinked, unless it is not the listener's own any more, and on Linux
// the socket refuses those who had looked the path up before that; so it does
// with an abstract name, which others can have when the listener is closed. A
// name in memory is given up, and those who wait for room are refused.
//
// It does so only for sockets that Listen bound and whose descriptor was never
// handed out with Files or File: queue and path of all others belong to every
// process that holds them. For those, and for listeners of any other kind, it
// does nothing and returns nil. Afterwards Files and File fail. It may be
// called more than once and from any goroutine.
func StopQueue(ln net.Listener) error {
	if s, ok := ln.(interface{ stopQueue() error }); ok {
		return s.stopQueue()
	}
	return nil
}

// AcceptQueued returns a connection that waits in the queue of ln already. It
// never blocks, whatever deadline is set, and may be called while others
// Accept from ln. It fails with ErrQueueEmpty when no connection waits, and
// otherwise as accept(2) does; a connection stays queued if there is no
// descriptor left for it.
//
// It works for listeners of this package, *[net.TCPListener] and
// *[net.UnixListener], whose connections are *[net.TCPConn] and *[net.UnixConn]
// like those from Accept, and for listeners that have a method AcceptQueued of
// their own. That has the same contract, except that any error with a method
// QueueEmpty() bool that returns true stands for ErrQueueEmpty. For the rest it
// fails with an error that matches [errors.ErrUnsupported].
func AcceptQueued(ln net.Listener) (net.Conn, error) {
	switch l := ln.(type) {
	case interface{ AcceptQueued() (net.Conn, error) }:
		c, err := l.AcceptQueued()
		var empty interface{ QueueEmpty() bool }
		if errors.As(err, &empty) && empty.QueueEmpty() {
			err = ErrQueueEmpty
		}
		return c, err
	case syscall.Conn:
		c, _, err := acceptQueued(l, false)
		if err != nil {
			return nil, queueError(ln, err)
		}
		return c, nil
	default:
		return nil, queueError(ln, errors.ErrUnsupported)
	}
}

// AcceptQueued gives the connection the keepalive that Accept would have.
func (s *socket) AcceptQueued() (net.Conn, error) {
	c, inherited, err := acceptQueued(s, s.inherits)
	if err != nil {
		return nil, queueError(s, err)
	}
	switch {
	case s.inherits:
		setConnKeepAlive(c, inherited)
	case s.tune != nil:
		setConnKeepAlive(c, *s.tune)
	}
	return c, nil
}

// queueError makes err what net's Accept would return, but for ErrQueueEmpty.
func queueError(ln net.Listener, err error) error {
	if err == ErrQueueEmpty {
		return err
	}
	e := &net.OpError{Op: "accept", Addr: ln.Addr(), Err: unwrapOp(err)}
	if e.Addr != nil { // a listener of the application's may have none
		e.Net = e.Addr.Network()
	}
	return e
}
