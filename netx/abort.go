package netx

import "net"

// Abort ends nc at once, and over TCP with a reset (RST) in place of an orderly
// close: the peer's next Read fails, and what was written but not yet sent is
// dropped. It works through wrappers and leaves out their farewells, such as the
// close_notify of TLS, which could block; then it closes nc, so that they
// release what they hold.
//
// TCP is told by SO_LINGER with a time of zero, an in-memory connection by its
// Reset method. Where there are no resets, as with unix sockets, Abort is a
// plain Close of the innermost connection. A second Abort returns an error for
// which [IsClosed] is true.
func Abort(nc net.Conn) error {
	err := reset(nc)
	if beneath(nc) != nil {
		_ = nc.Close() // its socket is gone, which is no news
	}
	return err
}

func reset(nc net.Conn) error {
	if r, ok := search[interface{ Reset() error }](nc, beneath); ok {
		return r.Reset()
	}
	var lingered error
	if l, ok := search[interface{ SetLinger(sec int) error }](nc, beneath); ok {
		lingered = l.SetLinger(0)
	}
	for range maxLayers {
		inner := beneath(nc)
		if inner == nil {
			break
		}
		nc = inner
	}
	if err := nc.Close(); err != nil {
		return err
	}
	return lingered
}
