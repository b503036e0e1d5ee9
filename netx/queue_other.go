//go:build !unix

package netx

import (
	"errors"
	"net"
	"os"
	"syscall"
)

func acceptQueued(syscall.Conn, bool) (net.Conn, net.KeepAliveConfig, error) {
	return nil, net.KeepAliveConfig{}, errors.ErrUnsupported
}

// listenAgain does nothing: a queue's length cannot be changed here.
func listenAgain(syscall.Conn, int) error { return nil }

func dup(syscall.Conn) (*os.File, error) { return nil, errors.ErrUnsupported }
