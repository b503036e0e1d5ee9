package netx

import (
	"io"
	"math"
	"net"
	"os"
	"reflect"
	"syscall"

	"golang.org/x/sys/unix"
)

// spliceToUnix moves bytes inside the kernel from src to dst until src ends. It
// is for the pairs that io.Copy copies by hand: between two unix sockets, and
// to one from a TCP connection whose bytes m counts. m may be nil.
//
// If handled is false, nothing was moved and an ordinary copy has to do it.
func spliceToUnix(dst *net.UnixConn, src io.Reader, m *Meter) (total int64, handled bool, err error) {
	left := int64(math.MaxInt64)
	if lr, ok := src.(*io.LimitedReader); ok {
		src, left = lr.R, lr.N
		defer func() { lr.N -= total }()
	}
	from, ok := streamSocket(src)
	if _, fits := streamSocket(dst); !ok || !fits {
		return 0, false, nil
	}
	in, err := from.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	out, err := dst.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	// Not pooled, as in package internal/poll: it lasts as long as the copy, and
	// so nothing is left open when that is over.
	var pipe [2]int
	if unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return 0, false, nil
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	_, _ = unix.FcntlInt(uintptr(pipe[0]), unix.F_SETPIPE_SZ, meterStep) // a smaller one works too

	for left > 0 {
		most := int(min(left, meterStep))
		if m != nil {
			if most, err = m.before(inward, most); err != nil {
				return total, true, err
			}
		}
		n, err := spliceReady(in.Read, func(fd int) (int64, error) {
			return unix.Splice(fd, nil, pipe[1], nil, most, unix.SPLICE_F_NONBLOCK)
		})
		if err == unix.EINVAL && total == 0 {
			return 0, false, nil // a kind of socket that the kernel cannot splice
		}
		if err != nil || n == 0 {
			return total, true, os.NewSyscallError("splice", err)
		}
		for n > 0 {
			k, err := spliceReady(out.Write, func(fd int) (int64, error) {
				return unix.Splice(pipe[0], nil, fd, nil, int(n), unix.SPLICE_F_NONBLOCK)
			})
			if err != nil {
				return total, true, os.NewSyscallError("splice", err)
			}
			n, total, left = n-k, total+k, left-k
			if m != nil {
				m.after(inward, int(k))
			}
		}
	}
	return total, true, nil
}

// spliceReady calls splice when the socket is ready and until it does something.
func spliceReady(wait func(func(uintptr) bool) error, splice func(fd int) (int64, error)) (n int64, err error) {
	werr := wait(func(fd uintptr) bool {
		for {
			n, err = splice(int(fd))
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if werr != nil {
		return 0, werr // a deadline, or closed
	}
	return n, err
}

// streamSocket tells the sockets of package net from wrappers that embed them
// and want to see the bytes, and from packet sockets, which have boundaries to
// keep. TCPConn.WriteTo passes itself on as an unexported type.
func streamSocket(v any) (syscall.Conn, bool) {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	nc, ok := v.(net.Conn)
	if !ok || t.PkgPath() != "net" {
		return nil, false
	}
	if network := nc.LocalAddr().Network(); network != "tcp" && network != "unix" {
		return nil, false
	}
	sc, ok := v.(syscall.Conn)
	return sc, ok
}
