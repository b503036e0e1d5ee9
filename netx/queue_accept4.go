//go:build linux || freebsd || netbsd || openbsd || dragonfly

package netx

import "golang.org/x/sys/unix"

func acceptNonblock(lfd int) (int, error) {
	fd, _, err := unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return fd, err
}
