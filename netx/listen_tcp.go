package netx

import (
	"context"
	"net"
	"syscall"

	"github.com/listengroup/listengroup/addr"
)

func listenTCP(ctx context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	if o.Shards > 1 {
		return listenShards(ctx, a, o)
	}
	return bindTCP(ctx, a.Scheme(), a.HostPort(), o)
}

func bindTCP(ctx context.Context, network, hostPort string, o *Options) (*socket, error) {
	s := new(socket)
	lc := net.ListenConfig{
		KeepAlive: -1, // else net sets it on every connection, in four system calls
		Control: func(network, address string, c syscall.RawConn) error {
			return o.control(network, address, c, func(fd int) (err error) {
				s.inherits, err = o.setTCP(fd)
				return err
			})
		},
	}
	lc.SetMultipathTCP(o.MPTCP)
	ln, err := lc.Listen(ctx, network, hostPort)
	if err != nil {
		return nil, err
	}
	s.kernelListener = ln.(*net.TCPListener)
	s.state.Store(stateBound)
	if !s.inherits {
		s.tune = o.KeepAlive
		if s.tune == nil {
			s.tune = &net.KeepAliveConfig{Enable: true}
		}
	}
	if o.Backlog > 0 {
		// net listens with the maximum. That is for connections that come
		// between the two calls; afterwards the queue has its length.
		if err := listenAgain(s, o.Backlog); err != nil {
			ln.Close()
			return nil, optionError("Backlog", err)
		}
	}
	return s, nil
}
