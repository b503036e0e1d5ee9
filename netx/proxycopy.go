package netx

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// copyConn copies from src to dst until src ends, inside the kernel if it can.
// refused says that the error is of dst, which has gone and takes no more.
func copyConn(dst, src net.Conn) (n int64, refused bool, err error) {
	if u, ok := dst.(*net.UnixConn); ok {
		if from, ok := src.(*net.UnixConn); ok {
			if n, handled, err := spliceToUnix(u, from, nil); handled {
				return n, errors.Is(err, syscall.EPIPE), err
			}
		}
	}
	_, in := src.(syscall.Conn)
	_, out := dst.(syscall.Conn)
	if in && out && (methodsOf(src)&canWriteTo|methodsOf(dst)&canReadFrom) != 0 {
		n, err = io.Copy(dst, src)
		return n, errors.Is(err, syscall.EPIPE) || IsReset(err) && hasGone(dst), err
	}
	w := &refusable{Writer: dst}
	n, err = copyBytes(w, src)
	return n, w.refused, err
}

// refusable remembers that it was writing that failed, and not reading.
type refusable struct {
	io.Writer
	refused bool
}

func (w *refusable) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.refused = w.refused || IsReset(err)
	return n, err
}
