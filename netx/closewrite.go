package netx

import "net"

// CloseWrite half-closes nc: the peer reads what was written and then the end,
// and can go on sending. It asks nc itself and then, in turn, the connections
// that nc wraps; on a *tls.Conn it sends close_notify, which fails before the
// handshake.
//
// The error matches errors.ErrUnsupported if none can, as with net.Pipe.
func CloseWrite(nc net.Conn) error {
	if c, ok := search[closeWriter](nc, beneath); ok {
		return c.CloseWrite()
	}
	return unsupported("close for writing", nc)
}
