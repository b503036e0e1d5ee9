package netx

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A socket is a listener on one socket of the kernel. It adds to net's listener
// that it knows whether it may touch what other holders of the same socket
// would notice: the queue's length and the file in the file system.
type socket struct {
	kernelListener
	// state decides between stopping the queue and handing the descriptor out:
	// whoever swaps it first wins, once and for all unless takeBack undoes it.
	state atomic.Uint32

	inherits bool                 // accepted connections have the listener's keepalive
	tune     *net.KeepAliveConfig // set on each accepted connection if not nil

	file   *socketFile // what to unlink, or nil
	unlink sync.Once   // Close waits for a StopQueue that is unlinking
}

// kernelListener is *net.TCPListener or *net.UnixListener.
type kernelListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

const (
	stateInherited = iota // others hold the socket too
	stateBound            // ours alone: we may stop its queue
	stateHandedOut        // was ours alone until Files or File
	stateStopped          // no new connections; the file is gone or going
)

// Accept returns net's connection itself.
func (s *socket) Accept() (net.Conn, error) {
	c, err := s.kernelListener.Accept()
	if s.tune != nil && err == nil {
		setConnKeepAlive(c, *s.tune)
	}
	return c, err
}

// Close unlinks the file of a unix socket while its descriptor is open: the
// kernel gives inode numbers to others at once, so afterwards there is no
// telling whose file it is.
func (s *socket) Close() error {
	s.state.CompareAndSwap(stateBound, stateStopped)
	if s.state.Load() == stateStopped {
		s.removeFile()
	}
	return s.kernelListener.Close()
}

// File returns a duplicate of the descriptor, which counts as handed out.
func (s *socket) File() (*os.File, error) {
	f, err := dup(s)
	if err != nil {
		return nil, err
	}
	if _, err := s.handOut(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// handOut is called when there is a duplicate, so that a socket of which there
// is none stays ours alone. It reports whether takeBack would undo it.
func (s *socket) handOut() (undo bool, err error) {
	undo = s.state.CompareAndSwap(stateBound, stateHandedOut)
	if !undo && s.state.Load() == stateStopped {
		err = net.ErrClosed
	}
	return undo, err
}

func (s *socket) takeBack() { s.state.CompareAndSwap(stateHandedOut, stateBound) }

func (s *socket) stopQueue() error {
	if !s.state.CompareAndSwap(stateBound, stateStopped) {
		return nil
	}
	s.removeFile()
	if _, ok := s.kernelListener.(*net.UnixListener); ok && (shutQueue(s) == nil || s.file != nil) {
		return nil
	}
	return listenAgain(s, 0)
}

func (s *socket) removeFile() {
	if s.file != nil {
		s.unlink.Do(s.file.remove)
	}
}

// setConnKeepAlive ignores errors, as net does: a connection that its peer has
// closed already must not look like a failure of Accept.
func setConnKeepAlive(c net.Conn, ka net.KeepAliveConfig) {
	if c, ok := c.(*net.TCPConn); ok {
		c.SetKeepAliveConfig(ka)
	}
}

// withFD calls f with the descriptor of c.
func withFD(c syscall.Conn, f func(fd int) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
