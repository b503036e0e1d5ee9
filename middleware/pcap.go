package middleware

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/listengroup/listengroup/lgrp"
)

// PcapOptions are the settings of [Pcap]. A nil *PcapOptions means all
// defaults.
type PcapOptions struct {
	// MaxBytes is how many bytes of each connection are captured in each
	// direction. Defaults to 1 MiB.
	MaxBytes int64

	// OnError is told of the first error of the writer, after which nothing
	// more is written. It is called on the goroutine of a connection. Defaults
	// to nil: nobody is told.
	OnError func(error)
}

// Pcap writes what connections read and write to w, as a pcapng file
// (draft-ietf-opsawg-pcapng) that tshark and Wireshark open. They see a TCP
// conversation for each connection, between its RemoteAddr and LocalAddr, with
// the segments, handshake and end made up around what was read and written;
// connections without IP addresses have ones in 127.0.0.0/8. A comment at the
// beginning of each says which connection it is.
//
// It is for looking at a protocol without privileges and in plaintext: behind
// [TLS] (but for HTTP/2, which needs TLS to be last) there is nothing to be
// decrypted, behind ProxyProtocol the addresses are the real ones.
//
// Each read or write is at least one Write to w, on the connection's goroutine,
// one at a time; wrap a file in nothing or flush it after the group has been
// shut down. Until MaxBytes are over the stream is moved by reads and writes
// alone; then splice and sendfile are back. The head of the file is written at
// once. opts may be nil. Pcap panics if w is.
func Pcap(w io.Writer, opts *PcapOptions) lgrp.Middleware {
	if w == nil {
		panic("middleware: Pcap with a nil io.Writer")
	}
	most := int64(1 << 20)
	f := &pcapFile{w: w}
	if opts != nil {
		f.onError = opts.OnError
		if opts.MaxBytes > 0 {
			most = opts.MaxBytes
		}
	}
	f.begin()
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			talk := newPcapTalk(f, nc.RemoteAddr(), nc.LocalAddr(), c.ID())
			talk.open(fmt.Sprintf("connection %d of listener %s, peer %v", c.ID(), c.ListenerID(), nc.RemoteAddr()))
			defer talk.close()
			return next(ctx, tap(nc, most, talk.data), c)
		}
	}
}
