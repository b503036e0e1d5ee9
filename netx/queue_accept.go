//go:build unix && !linux && !freebsd && !netbsd && !openbsd && !dragonfly

package netx

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptNonblock holds the fork lock, for want of accept4(2): a child started
// in between would inherit the connection.
func acceptNonblock(lfd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, _, err := unix.Accept(lfd)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
