package netx

import (
	"io"
	"net"
	"syscall"
)

// A Layer is a connection wrapper: a net.Conn that names the one beneath it.
// It is what [Wrap] asks for. Embed [Base], [Through] or [Meter] to have most
// of its methods.
type Layer interface {
	net.Conn

	// NetConn returns the connection that the layer wraps, by the convention
	// that crypto/tls began and [Underlying] follows.
	NetConn() net.Conn
}

// Wrap returns l as a connection that can do what l and the connection beneath
// it can both do. Of the optional methods
//
//	ReadFrom(io.Reader) (int64, error)       // io.ReaderFrom
//	WriteTo(io.Writer) (int64, error)        // io.WriterTo
//	CloseWrite() error
//	SyscallConn() (syscall.RawConn, error)   // syscall.Conn
//
// the result has those that l has and that l.NetConn() has too: io.Copy still
// splices, half-close still works, and nobody is promised what the socket
// cannot do. So a layer has every optional method that stays correct with what
// it changes, and leaves out the others: one that overrides Read without a
// WriteTo that goes through it must not have WriteTo, and overriding Write is
// the same for ReadFrom.
//
// What no wrapper can keep is the writev of [net.Buffers], which only the
// standard library's own types have: through a layer each buffer is one Write.
// Other methods of the wrapped connection are reached through [Underlying],
// and so is l itself: Underlying[*yourLayer](nc).
//
// Give Wrap a pointer: the result is then as small as the pointer and costs no
// allocation beside that of *l. l.NetConn must return the wrapped connection
// from the start.
func Wrap[L Layer](l L) net.Conn {
	switch methodsOf(l) & methodsOf(l.NetConn()) {
	case canReadFrom:
		return layerR[L]{layer0[L]{l}}
	case canWriteTo:
		return layerW[L]{layer0[L]{l}}
	case canReadFrom | canWriteTo:
		return layerRW[L]{layerR[L]{layer0[L]{l}}}
	case canCloseWrite:
		return layerC[L]{layer0[L]{l}}
	case canReadFrom | canCloseWrite:
		return layerRC[L]{layerR[L]{layer0[L]{l}}}
	case canWriteTo | canCloseWrite:
		return layerWC[L]{layerW[L]{layer0[L]{l}}}
	case canReadFrom | canWriteTo | canCloseWrite:
		return layerRWC[L]{layerRW[L]{layerR[L]{layer0[L]{l}}}}
	case canSyscallConn:
		return layerS[L]{layer0[L]{l}}
	case canReadFrom | canSyscallConn:
		return layerRS[L]{layerR[L]{layer0[L]{l}}}
	case canWriteTo | canSyscallConn:
		return layerWS[L]{layerW[L]{layer0[L]{l}}}
	case canReadFrom | canWriteTo | canSyscallConn:
		return layerRWS[L]{layerRW[L]{layerR[L]{layer0[L]{l}}}}
	case canCloseWrite | canSyscallConn:
		return layerCS[L]{layerC[L]{layer0[L]{l}}}
	case canReadFrom | canCloseWrite | canSyscallConn:
		return layerRCS[L]{layerRC[L]{layerR[L]{layer0[L]{l}}}}
	case canWriteTo | canCloseWrite | canSyscallConn:
		return layerWCS[L]{layerWC[L]{layerW[L]{layer0[L]{l}}}}
	case canReadFrom | canWriteTo | canCloseWrite | canSyscallConn:
		return layerRWCS[L]{layerRWC[L]{layerRW[L]{layerR[L]{layer0[L]{l}}}}}
	}
	return layer0[L]{l}
}

// The optional methods, as bits of a set.
const (
	canReadFrom = 1 << iota
	canWriteTo
	canCloseWrite
	canSyscallConn
)

type closeWriter interface{ CloseWrite() error }

func methodsOf(v any) (set int) {
	if _, ok := v.(io.ReaderFrom); ok {
		set |= canReadFrom
	}
	if _, ok := v.(io.WriterTo); ok {
		set |= canWriteTo
	}
	if _, ok := v.(closeWriter); ok {
		set |= canCloseWrite
	}
	if _, ok := v.(syscall.Conn); ok {
		set |= canSyscallConn
	}
	return set
}
