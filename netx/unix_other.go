//go:build !unix || aix

package netx

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/listengroup/listengroup/addr"
)

// A socketFile exists where unix sockets can be listened on.
type socketFile struct{}

func (*socketFile) remove() {}

// listenUnix fails: there is no flock(2) here, or there are no modes.
func listenUnix(context.Context, addr.Addr, *Options) (net.Listener, error) {
	return nil, fmt.Errorf("unix sockets: %w", errors.ErrUnsupported)
}

func checkPath(string) error { return nil }
