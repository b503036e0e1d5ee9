package middleware

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/listengroup/listengroup/lgrp"
)

// WireLogOptions are the settings of [WireLog]. A nil *WireLogOptions means
// all defaults.
type WireLogOptions struct {
	// MaxBytes is how many bytes of each connection are logged in each
	// direction. Defaults to 4 KiB.
	MaxBytes int64
}

// WireLog writes what connections read and write to w, as a hex dump: a line
// that says which connection, whether it read (<) or wrote (>) and how much,
// and the bytes. It is for looking at a protocol, not for keeping: what passes
// behind TLS is plaintext. It belongs where the bytes are of interest: in front
// of [TLS] the ciphertext, behind it the plaintext, but for HTTP/2, which needs
// TLS to be last. [Pcap] is the same for tshark.
//
// Each read or write is one Write to w, on the connection's goroutine, one at a
// time; an error of w's is ignored. Until MaxBytes are over the stream is moved
// by reads and writes alone; then splice and sendfile are back. opts may be nil.
// WireLog panics if w is.
func WireLog(w io.Writer, opts *WireLogOptions) lgrp.Middleware {
	if w == nil {
		panic("middleware: WireLog with a nil io.Writer")
	}
	most := int64(4 << 10)
	if opts != nil && opts.MaxBytes > 0 {
		most = opts.MaxBytes
	}
	var mu sync.Mutex
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, tap(nc, most, func(sent bool, p []byte) {
				text := wireText(c.ID(), sent, p)
				mu.Lock()
				defer mu.Unlock()
				_, _ = w.Write(text)
			}), c)
		}
	}
}

func wireText(id uint64, sent bool, p []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "conn %d %c %d bytes\n", id, map[bool]rune{true: '>', false: '<'}[sent], len(p))
	d := hex.Dumper(&b)
	_, _ = d.Write(p)
	_ = d.Close()
	return b.Bytes()
}
