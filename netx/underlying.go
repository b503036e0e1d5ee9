package netx

import "net"

// Underlying looks for a connection of type T: nc itself, or one of those that
// it wraps, as told by their NetConn methods, the outermost first. T may be an
// interface.
//
//	if tcp, ok := netx.Underlying[*net.TCPConn](nc); ok {
//		err = tcp.SetNoDelay(false)
//	}
//
// It is meant for asking and setting options. Reading from a connection beneath
// another, or writing to it, takes bytes from those above it: the *net.TCPConn
// under a *tls.Conn carries ciphertext. Where [Peek] has bytes that nobody has
// read yet, Underlying stops and reports false.
func Underlying[T any](nc net.Conn) (T, bool) { return search[T](nc, netConnOf) }

// beneath is for what does not touch the stream of bytes: unlike Underlying it
// goes through pending peeked bytes.
func beneath(nc net.Conn) net.Conn {
	if p, ok := peekedOf(nc); ok {
		return p.Conn
	}
	return netConnOf(nc)
}

// netConnOf returns what nc says that it wraps, nil if nothing.
func netConnOf(nc net.Conn) net.Conn {
	if u, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return u.NetConn()
	}
	return nil
}

// maxLayers ends the search through a chain that leads back to itself.
const maxLayers = 100

func search[T any](nc net.Conn, next func(net.Conn) net.Conn) (found T, ok bool) {
	// A layer may have methods that Wrap has hidden for good reason, so it is
	// offered as what it is but not as an interface.
	concrete := any(found) != nil
	for range maxLayers {
		if nc == nil {
			break
		}
		if found, ok = nc.(T); ok {
			return found, true
		}
		if l, is := nc.(layered); is && concrete {
			if found, ok = l.layer().(T); ok {
				return found, true
			}
		}
		nc = next(nc)
	}
	return found, false
}
