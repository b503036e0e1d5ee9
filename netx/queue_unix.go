//go:build unix

package netx

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptQueued accepts without blocking. With keepAlive it also returns the
// settings that the connection has inherited, because net.FileConn replaces
// them by its own.
func acceptQueued(ln syscall.Conn, keepAlive bool) (c net.Conn, inherited net.KeepAliveConfig, err error) {
	fd := -1
	err = withFD(ln, func(lfd int) (err error) {
		fd, err = acceptReserved(lfd)
		return err
	})
	if err != nil {
		return nil, inherited, err
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	if keepAlive {
		if inherited, err = getKeepAlive(fd); err != nil {
			return nil, inherited, err
		}
	}
	c, err = net.FileConn(f)
	return c, inherited, err
}

// acceptReserved makes sure first of the second descriptor that net.FileConn
// needs, so that a connection which would have to be dropped stays queued.
func acceptReserved(lfd int) (fd int, err error) {
	// Somebody who shares the socket may have made it blocking; passing
	// net's File() to os/exec does.
	if flags, err := unix.FcntlInt(uintptr(lfd), unix.F_GETFL, 0); err != nil {
		return -1, wrapSyscall("fcntl", err)
	} else if flags&unix.O_NONBLOCK == 0 {
		if err := unix.SetNonblock(lfd, true); err != nil {
			return -1, wrapSyscall("fcntl", err)
		}
	}
	spare, err := dupFD(lfd)
	if err != nil {
		return -1, err
	}
	defer unix.Close(spare)
	for {
		fd, err = acceptNonblock(lfd)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EAGAIN) {
		return -1, ErrQueueEmpty
	}
	return fd, wrapSyscall("accept4", err)
}

func listenAgain(ln syscall.Conn, backlog int) error {
	return withFD(ln, func(fd int) error {
		return wrapSyscall("listen", unix.Listen(fd, backlog))
	})
}

// dup returns a duplicate of a socket's descriptor. It is not made by net's
// File, whose Fd method makes the socket blocking for everybody.
func dup(c syscall.Conn) (f *os.File, err error) {
	err = withFD(c, func(fd int) error {
		copied, err := dupFD(fd)
		if err == nil {
			f = os.NewFile(uintptr(copied), "socket")
		}
		return err
	})
	return f, err
}

func dupFD(fd int) (int, error) {
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return fd, wrapSyscall("fcntl", err)
}

func wrapSyscall(name string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(name, err)
}
