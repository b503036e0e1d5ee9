//go:build !unix

package netx

import (
	"errors"
	"net"
)

func checkListening(int) error { return errors.ErrUnsupported }

func isInheritable(int) bool { return false }

func listenerOf(int) (kernelListener, error) { return nil, errors.ErrUnsupported }

func useUp(int) {}

func closeOnExec(int) {}

func hasGone(net.Conn) bool { return false }
