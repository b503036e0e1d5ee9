//go:build unix

package netx

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// checkListening says why a descriptor is not a listening stream socket.
func checkListening(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case errors.Is(err, unix.EBADF):
		return fmt.Errorf("is not open: %w", err)
	case errors.Is(err, unix.ENOTSOCK):
		return fmt.Errorf("is not a socket: %w", err)
	case err != nil:
		return wrapSyscall("getsockopt", err)
	case kind != unix.SOCK_STREAM:
		return fmt.Errorf("is not a stream socket: %w", errors.ErrUnsupported)
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return wrapSyscall("getsockopt", err)
	}
	if listening == 0 {
		return errors.New("is a socket that does not listen")
	}
	return nil
}

func isInheritable(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// listenerOf goes by a duplicate, for the os.File closes what it was made of.
func listenerOf(fd int) (kernelListener, error) {
	copied, err := dupFD(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(copied), "socket")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if ln, ok := ln.(kernelListener); ok {
		return ln, nil
	}
	ln.Close()
	return nil, fmt.Errorf("%T: %w", ln, errors.ErrUnsupported)
}

// useUp closes a descriptor. A standard stream's number must not become
// something that a print statement writes to.
func useUp(fd int) {
	if fd > 2 {
		unix.Close(fd)
		return
	}
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		unix.Dup2(int(null.Fd()), fd)
		null.Close()
	}
}

func closeOnExec(fd int) { unix.CloseOnExec(fd) }

// hasGone reports whether the connection beneath nc was reset.
func hasGone(nc net.Conn) bool {
	tcp, ok := search[*net.TCPConn](nc, beneath)
	return ok && errors.Is(withFD(tcp, func(fd int) error {
		_, err := unix.Getpeername(fd)
		return err
	}), unix.ENOTCONN)
}
