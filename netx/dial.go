package netx

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/listengroup/listengroup/addr"
)

// Dial connects to a, which is of scheme tcp, tcp4, tcp6, unix, mem or a
// registered one. It returns net's connection itself for TCP and unix sockets.
// A host that is empty or unspecified is this machine. Cancelling ctx ends
// only the connecting.
//
// Errors are *[net.OpError], as those of Listen.
func Dial(ctx context.Context, a addr.Addr) (net.Conn, error) {
	c, err := dial(ctx, a)
	if err != nil {
		return nil, opError("dial", a, err)
	}
	return c, nil
}

func dial(ctx context.Context, a addr.Addr) (net.Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if a.IsZero() {
		return nil, errNoAddress
	}
	s, err := lookup(a.Scheme())
	if err != nil {
		return nil, err
	}
	switch {
	case s.dial == nil:
		return nil, fmt.Errorf("scheme %s: cannot be dialled: %w", a.Scheme(), errors.ErrUnsupported)
	case a.IsRange():
		return nil, errors.New("a range of ports cannot be dialled")
	case a.Interface() != "":
		return nil, errors.New("an interface cannot be dialled")
	}
	return s.dial(ctx, a)
}

func dialNet(ctx context.Context, a addr.Addr) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, a.Scheme(), a.HostPort())
}

func dialUnix(ctx context.Context, a addr.Addr) (net.Conn, error) {
	if err := checkPath(a.Path()); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", a.Path())
}
