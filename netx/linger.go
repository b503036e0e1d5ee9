package netx

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// Linger says goodbye: it half-closes nc, so that the peer reads what was
// written and then the end, and discards what the peer still sends until it
// closes too, or for as long as wait. The caller then closes nc, or returns from
// a handler whose group does. It is what nginx calls a lingering close.
//
// Closing without it, while the peer sends or has sent what nobody has read,
// makes the kernel send a reset, which overtakes the last reply: the peer loses
// that, and cannot tell the end from a crash (RFC 9112, section 9.6, says the
// same of HTTP).
//
// A connection that cannot be half-closed is only listened to. A wait that is
// over, be it at once because wait is 0 or less, is no error; a peer that resets
// is. Linger reads, so nobody else may. It leaves no deadline for reading behind;
// nothing can be written any more.
func Linger(nc net.Conn, wait time.Duration) error {
	// ENOTCONN: it has ended or was reset, and reading tells which.
	if err := CloseWrite(nc); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	if err := nc.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	defer nc.SetReadDeadline(time.Time{})
	if _, err := io.Copy(io.Discard, nc); err != nil && !IsTimeout(err) {
		return err
	}
	return nil
}
