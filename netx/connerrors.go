package netx

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
)

// IsClosed reports whether err comes of using a connection or listener that
// this side has closed: net.ErrClosed, or io.ErrClosedPipe as net.Pipe has it.
// The peer's close is io.EOF or [IsReset].
func IsClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

// IsTimeout reports whether err is a timeout: a deadline that has passed, also a
// context's, or the kernel giving up on a silent peer (ETIMEDOUT).
func IsTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// IsReset reports whether err says that the peer has gone without an orderly
// end, or that the connection was aborted: ECONNRESET, ECONNABORTED and EPIPE.
// EPIPE is also what writing after one's own [CloseWrite] gives.
func IsReset(err error) bool {
	return slices.ContainsFunc(resetErrors[:], func(target error) bool { return errors.Is(err, target) })
}
