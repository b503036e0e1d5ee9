package netx

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Base is what a [Layer] that changes Read or Write embeds: the wrapped
// connection with NetConn, CloseWrite and SyscallConn passed on. It has neither
// ReadFrom nor WriteTo, so that io.Copy goes through the layer's own Read and
// Write; a layer that only counts or limits bytes embeds [Meter] instead, which
// keeps splice.
//
//	type rot13 struct{ netx.Base }
//
//	nc = netx.Wrap(&rot13{netx.Base{Conn: nc}})
//
// What SyscallConn returns serves Control, and Read and Write for whoever does
// their own I/O past the layer. It does not let package os do so unasked:
// io.Copy from an *os.File to a *net.UnixConn uses sendfile through SyscallConn,
// which would go round the layer's Write.
type Base struct{ net.Conn }

// NetConn returns the wrapped connection.
func (b *Base) NetConn() net.Conn { return b.Conn }

// CloseWrite half-closes the wrapped connection.
func (b *Base) CloseWrite() error { return CloseWrite(b.Conn) }

// SyscallConn gives access to the wrapped connection's descriptor.
func (b *Base) SyscallConn() (syscall.RawConn, error) {
	raw, err := syscallConnOf(b.Conn)
	if err != nil {
		return nil, err
	}
	return rawConn{raw}, nil
}

// rawConn has the methods of RawConn and no others: package os looks for
// PollFD to splice to and from a connection without asking it.
type rawConn struct{ syscall.RawConn }

func syscallConnOf(nc net.Conn) (syscall.RawConn, error) {
	if sc, ok := nc.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, unsupported("system call access", nc)
}

// Through is what a [Layer] that leaves Read and Write alone embeds: one that
// reports another address, say, or wants to know of Close. It passes on all the
// optional methods.
type Through struct{ Base }

// ReadFrom passes r to the wrapped connection's ReadFrom.
func (t *Through) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := t.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return copyBytes(t.Conn, r)
}

// WriteTo passes w to the wrapped connection's WriteTo.
func (t *Through) WriteTo(w io.Writer) (int64, error) {
	if wt, ok := t.Conn.(io.WriterTo); ok {
		return wt.WriteTo(w)
	}
	return copyBytes(w, t.Conn)
}

// SyscallConn returns what the wrapped connection's SyscallConn does.
func (t *Through) SyscallConn() (syscall.RawConn, error) { return syscallConnOf(t.Conn) }

func unsupported(what string, nc net.Conn) error {
	return fmt.Errorf("netx: %s: %T: %w", what, nc, errors.ErrUnsupported)
}
