//go:build !linux

package netx

import (
	"errors"
	"net"
)

// setTCP refuses what only Linux has and is not merely a matter of speed.
func (o *Options) setTCP(int) (inherits bool, err error) {
	switch {
	case o.ReusePort:
		err = optionError("ReusePort", errors.ErrUnsupported)
	case o.DeferAccept > 0:
		err = optionError("DeferAccept", errors.ErrUnsupported)
	case o.FastOpen > 0:
		err = optionError("FastOpen", errors.ErrUnsupported)
	}
	return false, err
}

// getKeepAlive is not called: without setTCP's help nothing inherits.
func getKeepAlive(int) (net.KeepAliveConfig, error) {
	return net.KeepAliveConfig{}, errors.ErrUnsupported
}

func joinPort(int) error { return optionError("Shards", errors.ErrUnsupported) }
