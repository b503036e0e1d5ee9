package middleware_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleProxyProtocol() {
	g := lgrp.New(lgrp.Typed[struct{}, struct{}](func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		h, _ := middleware.ProxyHeaderFrom(ctx)
		id, _ := h.TLV(0x05) // PP2_TYPE_UNIQUE_ID
		fmt.Fprintln(nc, nc.RemoteAddr(), c.RemoteAddr(), nc.LocalAddr(), h.Version, string(id))
		return nil
	}), nil)
	l, err := g.Add(context.Background(), lgrp.ListenerSpec[struct{}]{
		Addr: addr.MustParse("127.0.0.1:0"),
		Transport: []lgrp.Middleware{middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{
			Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		})},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	nc.Write(proxyV2(0x21, 0x11, "\xc0\x00\x02\x07\xcb\x00\x71\x01\x04\xd2\x01\xbb"+"\x05\x00\x03abc"))
	reply, _ := io.ReadAll(nc)
	fmt.Print(string(reply))
	// Output: 192.0.2.7:1234 192.0.2.7:1234 203.0.113.1:443 2 abc
}

// proxyV2 builds a header of version 2 from what follows the signature.
func proxyV2(command, family byte, rest string) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family, 0, 0)
	binary.BigEndian.PutUint16(b[14:], uint16(len(rest)))
	return append(b, rest...)
}

func ExampleProxyHeader() {
	describe := func(x middleware.ProxyTLV) string { return fmt.Sprintf("type %#x: %q", x.Type, x.Value) }
	g, dial := serve(func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		h, ok := middleware.ProxyHeaderFrom(ctx)
		if !ok {
			fmt.Fprintln(nc, "no header")
			return nil
		}
		fmt.Fprintln(nc, "version", h.Version, "local", h.Local, "from", h.Source, "to", h.Destination)
		for _, tlv := range h.TLVs {
			fmt.Fprintln(nc, describe(tlv))
		}
		return nil
	}, middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{
		Optional:  true, // while the proxies are being reconfigured
		MaxHeader: 536,
	}))
	defer g.Close()
	for _, text := range []string{
		v1TCP4,
		string(proxyV2(0x20, 0x00, "")), // a health check
		string(proxyV2(0x21, 0x11, inet4+"\x05\x00\x03abc")),
		"",
	} {
		nc := dial()
		io.WriteString(nc, text)
		nc.(*net.TCPConn).CloseWrite()
		reply, _ := io.ReadAll(nc)
		fmt.Print(string(reply))
	}
	// Output:
	// version 1 local false from 192.0.2.7:1234 to 203.0.113.1:443
	// version 2 local true from <nil> to <nil>
	// version 2 local false from 192.0.2.7:1234 to 203.0.113.1:443
	// type 0x5: "abc"
	// no header
}

// proxyV2CRC is a header with the checksum extension between two others.
func proxyV2CRC(command byte, addrs string) []byte {
	b := proxyV2(command, 0x11, addrs+"\x04\x00\x01x"+"\x03\x00\x04\x00\x00\x00\x00"+"\x05\x00\x01y")
	binary.BigEndian.PutUint32(b[16+len(addrs)+4+3:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

const (
	v1TCP4    = "PROXY TCP4 192.0.2.7 203.0.113.1 1234 443\r\n"
	inet4     = "\xc0\x00\x02\x07\xcb\x00\x71\x01\x04\xd2\x01\xbb"
	inet6     = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x04\xd2\x01\xbb"
	longestV1 = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
)

// unixName is an address of a unix socket in version 2.
func unixName(path string) string { return path + strings.Repeat("\x00", 108-len(path)) }

func TestProxyProtocol(t *testing.T) {
	type opts = middleware.ProxyProtocolOptions
	elsewhere := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	here := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for name, tc := range map[string]struct {
		opts   *opts
		send   string
		wait   time.Duration // the client sends after
		remote string        // what is seen; empty: the socket's
		local  string
		body   string // what the handler reads
		why    lgrp.Reason
		err    string
	}{
		"v1 TCP4":               {send: v1TCP4 + "body", remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},
		"v1 TCP6":               {send: "PROXY TCP6 2001:db8::7 2001:db8::1 1234 443\r\n", remote: "[2001:db8::7]:1234", local: "[2001:db8::1]:443"},
		"v1 longest":            {send: longestV1, remote: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", local: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
		"v1 UNKNOWN":            {send: "PROXY UNKNOWN\r\nbody", body: "body"},
		"v1 UNKNOWN, 107 bytes": {send: "PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\nbody", body: "body"},
		"v1 108 bytes":          {send: "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", why: lgrp.ReasonHandshake, err: "no end of line within 107 bytes"},
		"v1 endless":            {send: "PROXY " + strings.Repeat("x", 4096), why: lgrp.ReasonHandshake, err: "no end of line within 107 bytes"},
		"v1 LF alone":           {send: "PROXY TCP4 192.0.2.7 203.0.113.1 1234 443\n", why: lgrp.ReasonHandshake, err: "unexpected EOF"},
		"v1 four fields":        {send: "PROXY TCP4 192.0.2.7 203.0.113.1 1234\r\n", why: lgrp.ReasonHandshake, err: "version 1"},
		"v1 no fields":          {send: "PROXY \r\n", why: lgrp.ReasonHandshake, err: "version 1"},
		"v1 two blanks":         {send: "PROXY TCP4  192.0.2.7 203.0.113.1 1234 443\r\n", why: lgrp.ReasonHandshake, err: "version 1"},
		"v1 UDP4":               {send: "PROXY UDP4 192.0.2.7 203.0.113.1 1234 443\r\n", why: lgrp.ReasonHandshake, err: "address of UDP4"},
		"v1 families mixed":     {send: "PROXY TCP4 192.0.2.7 2001:db8::1 1234 443\r\n", why: lgrp.ReasonHandshake, err: "address of TCP4"},
		"v1 zone":               {send: "PROXY TCP6 fe80::1%eth0 fe80::2 1234 443\r\n", why: lgrp.ReasonHandshake, err: "address of TCP6"},
		"v1 port 65536":         {send: "PROXY TCP4 192.0.2.7 203.0.113.1 65536 443\r\n", why: lgrp.ReasonHandshake, err: "port in"},
		"v1 port 0123":          {send: "PROXY TCP4 192.0.2.7 203.0.113.1 0123 443\r\n", why: lgrp.ReasonHandshake, err: "port in"},
		"v2 TCP4":               {send: string(proxyV2(0x21, 0x11, inet4)) + "body", remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},
		"v2 TCP6":               {send: string(proxyV2(0x21, 0x21, inet6)), remote: "[2001:db8::7]:1234", local: "[2001:db8::1]:443"},
		"v2 UDP4":               {send: string(proxyV2(0x21, 0x12, inet4)), remote: "192.0.2.7:1234", local: "203.0.113.1:443"},
		"v2 unix":               {send: string(proxyV2(0x21, 0x31, unixName("/run/c")+unixName("\x00abstract"))), remote: "/run/c", local: "@abstract"},
		"v2 LOCAL":              {send: string(proxyV2(0x20, 0x00, "")) + "body", body: "body"},
		"v2 LOCAL, addresses":   {send: string(proxyV2(0x20, 0x11, inet4)) + "body", body: "body"},
		"v2 LOCAL, anything":    {send: string(proxyV2(0x20, 0xff, "junk")) + "body", body: "body"},
		"v2 LOCAL, stray bytes": {send: string(proxyV2(0x20, 0x11, inet4+"\x00\x00")) + "body", body: "body"},
		"v2 LOCAL, zeros":       {send: string(proxyV2(0x20, 0x00, strings.Repeat("\x00", 10))) + "body", body: "body"},
		"v2 LOCAL, no family":   {send: string(proxyV2(0x20, 0x00, inet4)) + "body", body: "body"},
		"v2 LOCAL, half a TLV":  {send: string(proxyV2(0x20, 0x00, "\x04\x00\x01x\x04\x00\x05abcd")) + "body", body: "body"},
		"v2 LOCAL, half after":  {send: string(proxyV2(0x20, 0x00, "\x03\x00\x04abcd\x04")) + "body", body: "body"},
		"v2 LOCAL, right sum":   {send: string(proxyV2CRC(0x20, inet4)) + "body", body: "body"},
		"v2 LOCAL, wrong sum":   {send: string(proxyV2(0x20, 0x11, inet4+"\x03\x00\x04abcd")), why: lgrp.ReasonHandshake, err: "wrong checksum"},
		"v2 unspecified":        {send: string(proxyV2(0x21, 0x00, "")) + "body", body: "body"},
		"v2 65,535 bytes":       {send: string(proxyV2(0x21, 0x11, inet4+"\x04\xff\xf0"+strings.Repeat("x", 65520))) + "body", remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},
		"v2 too long for us":    {opts: &opts{MaxHeader: 512}, send: string(proxyV2(0x21, 0x11, inet4+"\x04\x02\x00"+strings.Repeat("x", 512))), why: lgrp.ReasonHandshake, err: "longer than the 512 allowed"},
		"v2 short addresses":    {send: string(proxyV2(0x21, 0x21, inet4)), why: lgrp.ReasonHandshake, err: "12 bytes of addresses, want 36"},
		"v2 family 4":           {send: string(proxyV2(0x21, 0x41, inet6)), why: lgrp.ReasonHandshake, err: "family and protocol 0x41"},
		"v2 protocol 3":         {send: string(proxyV2(0x21, 0x13, inet4)), why: lgrp.ReasonHandshake, err: "family and protocol 0x13"},
		"v2 version 3":          {send: string(proxyV2(0x31, 0x11, inet4)), why: lgrp.ReasonHandshake, err: "version and command 0x31"},
		"v2 command 2":          {send: string(proxyV2(0x22, 0x11, inet4)), why: lgrp.ReasonHandshake, err: "version and command 0x22"},
		"v2 truncated TLV":      {send: string(proxyV2(0x21, 0x11, inet4+"\x04\x00\x05abcd")), why: lgrp.ReasonHandshake, err: "4 bytes of 5"},
		"v2 half a TLV header":  {send: string(proxyV2(0x21, 0x11, inet4+"\x04\x00")), why: lgrp.ReasonHandshake, err: "truncated extension"},
		"v2 wrong checksum":     {send: string(proxyV2(0x21, 0x11, inet4+"\x03\x00\x04abcd")), why: lgrp.ReasonHandshake, err: "wrong checksum"},
		"v2 right checksum":     {send: string(proxyV2CRC(0x21, inet4)) + "body", remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},
		"v2 short checksum":     {send: string(proxyV2(0x21, 0x11, inet4+"\x03\x00\x03abc")), why: lgrp.ReasonHandshake, err: "checksum of 3 bytes"},
		"garbage":               {send: "GET / HTTP/1.1\r\n\r\n", why: lgrp.ReasonHandshake, err: "there is none"},
		"nothing":               {send: "", why: lgrp.ReasonHandshake, err: "EOF"},
		"late":                  {send: v1TCP4, wait: 11 * time.Second, why: lgrp.ReasonHandshake, err: "timeout"},
		"late, with patience":   {opts: &opts{Timeout: -1}, send: v1TCP4 + "body", wait: time.Hour, remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},

		"optional: none":              {opts: &opts{Optional: true}, send: "GET / HTTP/1.1\r\n\r\n", body: "GET / HTTP/1.1\r\n\r\n"},
		"optional: there":             {opts: &opts{Optional: true}, send: v1TCP4 + "body", remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},
		"optional: a few bytes":       {opts: &opts{Optional: true}, send: "PRO", body: "PRO"},
		"optional: silent":            {opts: &opts{Optional: true}, send: "late", wait: time.Minute, body: "late"},
		"optional: half":              {opts: &opts{Optional: true}, send: v1TCP4[:20], why: lgrp.ReasonHandshake, err: "unexpected EOF"},
		"optional: wrong":             {opts: &opts{Optional: true}, send: "PROXY \r\n", why: lgrp.ReasonHandshake, err: "version 1"},
		"optional: from elsewhere":    {opts: &opts{Optional: true, Trusted: elsewhere}, send: v1TCP4, body: v1TCP4},
		"from elsewhere":              {opts: &opts{Trusted: elsewhere}, send: v1TCP4, why: lgrp.ReasonDenied, err: "no trusted proxy"},
		"nobody is trusted":           {opts: &opts{Trusted: []netip.Prefix{}}, send: v1TCP4, why: lgrp.ReasonDenied, err: "no trusted proxy"},
		"from a trusted network":      {opts: &opts{Trusted: here}, send: v1TCP4 + "body", remote: "192.0.2.7:1234", local: "203.0.113.1:443", body: "body"},
		"without, though it must, be": {opts: &opts{Trusted: here}, send: "body", why: lgrp.ReasonHandshake, err: "there is none"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var remote, local, remoteOfC, body string
				s := newStage(t, func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
					remote, local, remoteOfC = nc.RemoteAddr().String(), nc.LocalAddr().String(), c.RemoteAddr().String()
					all, err := io.ReadAll(nc)
					body = string(all)
					return err
				}, middleware.ProxyProtocol(tc.opts))
				nc := s.dial()
				if tc.remote == "" {
					tc.remote, tc.local = nc.LocalAddr().String(), nc.RemoteAddr().String()
				}
				time.Sleep(tc.wait)
				_, _ = io.WriteString(nc, tc.send)
				_ = nc.CloseWrite()
				e := s.awaitEnds(t, 1)[0]
				if tc.why != 0 {
					require.Equal(t, tc.why, e.why, "%v", e.err)
					require.ErrorContains(t, e.err, "middleware: PROXY header: ")
					require.ErrorContains(t, e.err, tc.err)
					return
				}
				require.Equal(t, lgrp.ReasonReturned, e.why, "%v", e.err)
				require.Equal(t, []string{tc.remote, tc.remote, tc.local, tc.body}, []string{remote, remoteOfC, local, body})
			})
		})
	}
}

// A header that stops after any of its bytes, and stays so or ends there, ends
// the connection; whole, but a byte at a time, it is understood.
func TestProxyProtocolTruncatedAtEveryByte(t *testing.T) {
	for name, header := range map[string]string{
		"v1": longestV1,
		"v2": string(proxyV2(0x21, 0x11, inet4+"\x05\x00\x03abc"+"\x04\x00\x00")),
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				s := newStage(t, echo, middleware.ProxyProtocol(nil))
				n := 0
				for i := range len(header) {
					for _, ends := range []bool{true, false} {
						nc := s.dial()
						io.WriteString(nc, header[:i])
						if ends {
							nc.CloseWrite()
						}
						n++
						e := s.awaitEnds(t, n)[n-1]
						require.Equal(t, lgrp.ReasonHandshake, e.why)
						switch {
						case !ends:
							require.ErrorIs(t, e.err, os.ErrDeadlineExceeded)
						case i > 0:
							require.ErrorIs(t, e.err, io.ErrUnexpectedEOF)
						default:
							require.ErrorIs(t, e.err, io.EOF)
						}
					}
				}
				nc := s.dial()
				go func() {
					for _, b := range []byte(header + "echo") {
						nc.Write([]byte{b})
						time.Sleep(time.Millisecond)
					}
					nc.CloseWrite()
				}()
				all, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.Equal(t, "echo", string(all))
			})
		})
	}
}

// A socket that serves both families shows IPv4 peers as IPv6 ones, and
// somebody may write networks so.
func TestProxyProtocolTrustsMappedAddresses(t *testing.T) {
	for _, network := range []string{"192.0.2.0/24", "::ffff:192.0.2.0/120"} {
		t.Run(network, func(t *testing.T) { testProxyProtocolTrusts(t, network) })
	}
}

func testProxyProtocolTrusts(t *testing.T, network string) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil },
			middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Trusted: []netip.Prefix{netip.MustParsePrefix(network)}}))
		for i, tc := range []struct {
			ip  string
			why lgrp.Reason
		}{{"::ffff:192.0.2.7", lgrp.ReasonReturned}, {"::ffff:192.0.3.7", lgrp.ReasonDenied}, {"192.0.2.8", lgrp.ReasonReturned}} {
			nc := s.ln.NewConnConfig(func(nc *testkit.Conn) {
				nc.SetLocalAddr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tc.ip), 1)))
			})
			_, _ = io.WriteString(nc, v1TCP4) // who is not trusted may be gone already
			require.Equal(t, tc.why, s.awaitEnds(t, i+1)[i].why)
		}
	})
}

// Streams of multiplexers have a time-out of their own.
func TestProxyProtocolOptionalKnowsEveryTimeout(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		mux := func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error { return next(ctx, muxConn{nc}, c) }
		}
		s := newStage(t, nothing, mux, middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Optional: true}))
		s.dial()
		e := s.awaitEnds(t, 1)[0]
		require.Equal(t, lgrp.ReasonReturned, e.why, "%v", e.err)
	})
}

type muxConn struct{ net.Conn }

func (c muxConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if netx.IsTimeout(err) {
		err = muxTimeout{}
	}
	return n, err
}

type muxTimeout struct{}

func (muxTimeout) Error() string   { return "deadline reached" }
func (muxTimeout) Timeout() bool   { return true }
func (muxTimeout) Temporary() bool { return true }

func TestProxyProtocolTellsTLS(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }, middleware.ProxyProtocol(nil))
		nc := s.dial()
		nc.Write(proxyV2(0x21, 0x11, inet4+"\x01\x00\x02h2"+"\x02\x00\x09localhost"))
		e := s.awaitEnds(t, 1)[0]
		require.Equal(t, "localhost", e.info.ServerName)
		require.Equal(t, "h2", e.info.Protocol)
	})
}

// The wrapper keeps what the socket can do.
func TestProxyProtocolKeepsMethods(t *testing.T) {
	seen := make(chan error, 1)
	_, address := newTCPStage(t, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, rf := nc.(io.ReaderFrom)
		_, wt := nc.(io.WriterTo)
		tcp, ok := netx.Underlying[*net.TCPConn](nc)
		if !rf || !wt || !ok || tcp.RemoteAddr() == nc.RemoteAddr() {
			seen <- fmt.Errorf("%t %t %t", rf, wt, ok)
			return nil
		}
		seen <- netx.CloseWrite(nc)
		return nil
	}, middleware.ProxyProtocol(nil))
	nc, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, v1TCP4)
	require.NoError(t, err)
	require.NoError(t, <-seen)
}

func TestProxyProtocolAllocations(t *testing.T) {
	h := middleware.ProxyProtocol(nil)(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	for name, tc := range map[string]struct {
		header string
		most   float64
	}{
		// wrapper and buffer of the peek, text, fields, header, two addresses with their IPs, wrapper, context
		"v1": {v1TCP4, 15},
		"v2": {string(proxyV2(0x21, 0x11, inet4)), 12},
	} {
		a, b := testkit.NewConnPair(t)
		header := []byte(tc.header)
		got := testing.AllocsPerRun(100, func() {
			a.Write(header)
			if err := h(ctx, b, c); err != nil {
				t.Error(err)
			}
		})
		require.LessOrEqual(t, got, tc.most, name)
	}
}
