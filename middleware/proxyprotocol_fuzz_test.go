package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

// Whatever comes, reading ends, loses no byte behind a header, and agrees with
// another implementation on headers that both accept.
func FuzzProxyProtocol(f *testing.F) {
	for _, seed := range []string{v1TCP4, longestV1, "PROXY UNKNOWN\r\n", string(proxyV2(0x21, 0x11, inet4)), string(proxyV2(0x21, 0x21, inet6+"\x05\x00\x03abc")), string(proxyV2(0x20, 0, ""))} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed+"body"), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, optional bool) {
		near := &bytesConn{r: bytes.NewReader(data)}
		var header *middleware.ProxyHeader
		var rest []byte
		called := false
		h := middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Optional: optional})(func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) (err error) {
			called = true
			header, _ = middleware.ProxyHeaderFrom(ctx)
			rest, err = io.ReadAll(nc)
			return err
		})
		err := h(context.Background(), near, &lgrp.AnyConn{})
		if called != (err == nil) {
			t.Fatalf("called %t, error %v", called, err)
		}
		if err != nil {
			if ce, ok := errors.AsType[*lgrp.CloseError](err); !ok || ce.Reason != lgrp.ReasonHandshake {
				t.Fatalf("%v", err)
			}
			return
		}
		if !bytes.HasSuffix(data, rest) {
			t.Fatalf("%q is not the end of %q", rest, data)
		}
		if header == nil {
			if !optional || len(rest) != len(data) {
				t.Fatalf("no header, %d bytes of %d", len(rest), len(data))
			}
			return
		}
		theirs, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(data)))
		if err != nil || header.Source == nil || theirs.SourceAddr == nil {
			return // they know other limits
		}
		if _, ok := header.Source.(*net.UnixAddr); ok {
			return // they leave the names' ends to the caller
		}
		if header.Source.String() != theirs.SourceAddr.String() || header.Destination.String() != theirs.DestinationAddr.String() {
			t.Fatalf("%v %v, want %v %v", header.Source, header.Destination, theirs.SourceAddr, theirs.DestinationAddr)
		}
	})
}

// bytesConn is the server's end of a connection whose client sends r and no more.
type bytesConn struct {
	net.Conn
	r io.Reader
}

func (c *bytesConn) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c *bytesConn) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (c *bytesConn) LocalAddr() net.Addr             { return &net.TCPAddr{} }
func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }
func (c *bytesConn) SetDeadline(time.Time) error     { return nil }
