package netx

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/listengroup/listengroup/addr"
)

// Listen opens a listener on a. Its opts may be nil.
//
// The listener's Accept returns net's connection itself, *[net.TCPConn] or
// *[net.UnixConn], and its Addr *[net.TCPAddr] or *[net.UnixAddr] with port 0
// resolved. It has the methods SetDeadline and SyscallConn of net's listeners,
// and a File that counts as handing the descriptor out, see [Files]. With
// Options.Shards above 1 it has Shards instead. Listeners of registered
// schemes and of mem: are whatever their package makes them.
//
// An address that stands for several sockets, a port range, an interface with
// several addresses or a systemd: name given to several sockets, is an error
// that names ListenAll.
//
// Cancelling ctx ends only the opening. Errors are *[net.OpError] whose Err
// wraps the system's error, such as [syscall.EADDRINUSE], or
// [errors.ErrUnsupported] for what this operating system does not have and
// for schemes that nobody has registered.
func Listen(ctx context.Context, a addr.Addr, opts *Options) (net.Listener, error) {
	ln, err := listen(ctx, a, opts.clone())
	if err != nil {
		return nil, opError("listen", a, err)
	}
	return ln, nil
}

// ListenAll opens a listener on each of addrs, in their order, as Listen does;
// an address that stands for several gives several, in the order of [Expand].
// It opens all or none: when one fails, the others are closed again and their
// files removed. A descriptor that was inherited is used up by then.
func ListenAll(ctx context.Context, addrs []addr.Addr, opts *Options) (lns []net.Listener, err error) {
	done := false
	defer func() {
		if done {
			return
		}
		for _, ln := range lns {
			ln.Close()
		}
		lns = nil
	}()
	for _, several := range addrs {
		each, err := Expand(several)
		if err != nil {
			return lns, err
		}
		for _, a := range each {
			ln, err := Listen(ctx, a, opts)
			if err != nil {
				return lns, err
			}
			lns = append(lns, ln)
		}
	}
	done = true
	return lns, nil
}

func listen(ctx context.Context, a addr.Addr, o *Options) (net.Listener, error) {
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
	if s.listen == nil {
		return nil, fmt.Errorf("scheme %s: cannot be listened on: %w", a.Scheme(), errors.ErrUnsupported)
	}
	if a, err = single(a); err != nil {
		return nil, err
	}
	return s.listen(ctx, a, o)
}

// single resolves an address that could stand for several.
func single(a addr.Addr) (addr.Addr, error) {
	if a.IsRange() {
		first, last, _ := a.PortRange()
		return a, fmt.Errorf("%d to %d are several ports: %w", first, last, errSeveral)
	}
	each, err := expand(a)
	if err != nil {
		return a, err
	}
	if len(each) != 1 {
		return a, fmt.Errorf("stands for %d sockets: %w", len(each), errSeveral)
	}
	return each[0], nil
}

var errNoAddress = errors.New("no address")

var errSeveral = errors.New("one listener cannot serve them: use ListenAll or AddAll")

// opError makes err what package net returns, with the address as it was given
// instead of the one that net made of it.
func opError(op string, a addr.Addr, err error) error {
	return &net.OpError{Op: op, Net: a.Network(), Addr: a, Err: unwrapOp(err)}
}

// unwrapOp takes away what opError is about to put around the error.
func unwrapOp(err error) error {
	if op, ok := err.(*net.OpError); ok && op.Err != nil {
		return op.Err
	}
	return err
}
