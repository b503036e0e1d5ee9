package netx

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setTCP prepares a TCP socket that is about to be bound. It reports whether
// accepted connections will inherit keepalive from it.
func (o *Options) setTCP(fd int) (inherits bool, err error) {
	if o.ReusePort {
		if err := setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return false, optionError("ReusePort", err)
		}
	}
	if o.DeferAccept > 0 {
		if err := setInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, seconds(o.DeferAccept)); err != nil {
			return false, optionError("DeferAccept", err)
		}
	}
	if o.FastOpen > 0 {
		if err := setInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, o.FastOpen); err != nil {
			return false, optionError("FastOpen", err)
		}
	}
	err = setKeepAlive(fd, o.keepAlive())
	if err != nil && o.MPTCP {
		// MPTCP sockets of older kernels refuse some of these. Accept sets
		// them then, as on other systems.
		return false, nil
	}
	return err == nil, optionError("KeepAlive", err)
}

func setKeepAlive(fd int, ka net.KeepAliveConfig) error {
	if !ka.Enable {
		return nil // a new socket has none
	}
	if err := setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return err
	}
	for _, opt := range []struct{ name, value int }{
		{unix.TCP_KEEPIDLE, seconds(ka.Idle)},
		{unix.TCP_KEEPINTVL, seconds(ka.Interval)},
		{unix.TCP_KEEPCNT, ka.Count},
	} {
		if opt.value == 0 {
			continue
		}
		if err := setInt(fd, unix.IPPROTO_TCP, opt.name, opt.value); err != nil {
			return err
		}
	}
	return nil
}

// getKeepAlive reads back what setKeepAlive or inheritance has set.
func getKeepAlive(fd int) (ka net.KeepAliveConfig, err error) {
	var values [4]int
	for i, opt := range [...]struct{ level, name int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	} {
		if values[i], err = unix.GetsockoptInt(fd, opt.level, opt.name); err != nil {
			return ka, err
		}
	}
	return net.KeepAliveConfig{
		Enable:   values[0] != 0,
		Idle:     time.Duration(values[1]) * time.Second,
		Interval: time.Duration(values[2]) * time.Second,
		Count:    values[3],
	}, nil
}

// joinPort lets later sockets bind the port of fd, which is bound already.
func joinPort(fd int) error {
	return optionError("Shards", setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

func setInt(fd, level, name, value int) error {
	return wrapSyscall("setsockopt", syscall.SetsockoptInt(fd, level, name, value))
}
