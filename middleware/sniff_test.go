package middleware_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// One port for HTTPS, plain HTTP and a protocol of one's own.
func ExampleSniff() {
	web := middleware.HTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s, TLS: %t", r.Proto, r.TLS != nil)
	})})
	secure := middleware.Chain(middleware.TLS(serverTLS("h2", "http/1.1")))(web)
	// For a protocol that no matcher is there for.
	ping := func(head []byte) middleware.SniffResult {
		switch i := bytes.IndexByte(head, '\n'); {
		case i < 0 && len(head) < 80:
			return middleware.SniffMore
		case i >= 0 && bytes.HasPrefix(head, []byte("PING")):
			return middleware.SniffYes
		}
		return middleware.SniffNo
	}
	g := lgrp.New(lgrp.Typed[struct{}, struct{}](echo), nil)
	g.Use(middleware.Sniff([]middleware.SniffRoute{
		{Match: middleware.MatchTLS(), Handler: secure},
		{Match: middleware.MatchHTTP1(), Handler: web},
		{Match: ping, Handler: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			_, err := io.WriteString(nc, "PONG")
			return err
		}},
	}, &middleware.SniffOptions{Timeout: 5 * time.Second}))
	l, err := g.Listen(context.Background(), "127.0.0.1:0", struct{}{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(), ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	for _, scheme := range []string{"https", "http"} {
		resp, err := client.Get(scheme + "://" + l.Addr().String())
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(string(body))
	}
	for _, line := range []string{"PING 1\n", "anything else\n"} {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			fmt.Println(err)
			return
		}
		io.WriteString(nc, line)
		nc.(*net.TCPConn).CloseWrite()
		reply, _ := io.ReadAll(nc)
		fmt.Printf("%q\n", reply)
		nc.Close()
	}
	// Output:
	// HTTP/2.0, TLS: true
	// HTTP/1.1, TLS: false
	// "PONG"
	// "anything else\n"
}

// helloBytes returns what a client of crypto/tls begins with, padded by ALPN
// protocols to at least atLeast bytes.
func helloBytes(serverName string, atLeast int, protos ...string) []byte {
	for n := range 200 {
		if n > 0 {
			protos = append(protos, fmt.Sprintf("%0250d", n))
		}
		var b bytes.Buffer
		_ = tls.Client(&writeConn{w: &b}, &tls.Config{ServerName: serverName, NextProtos: protos, InsecureSkipVerify: true}).Handshake()
		if b.Len() >= atLeast {
			return b.Bytes()
		}
	}
	panic("cannot be made that long")
}

// writeConn is a connection that can only be written to.
type writeConn struct {
	net.Conn
	w io.Writer
}

func (c *writeConn) Write(p []byte) (int, error)      { return c.w.Write(p) }
func (c *writeConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (c *writeConn) Close() error                     { return nil }
func (c *writeConn) SetWriteDeadline(time.Time) error { return nil }

// inRecords cuts the handshake message of hello into records of n bytes.
func inRecords(hello []byte, n int) []byte { return records(message(hello), n) }

// message returns the handshake message of hello, which takes several records if
// it is long.
func message(hello []byte) (msg []byte) {
	for len(hello) > 0 {
		size := 5 + int(binary.BigEndian.Uint16(hello[3:]))
		msg = append(msg, hello[5:size]...)
		hello = hello[size:]
	}
	return msg
}

func records(msg []byte, n int) (out []byte) {
	for len(msg) > 0 {
		k := min(n, len(msg))
		out = append(out, 0x16, 3, 1, byte(k>>8), byte(k))
		out = append(out, msg[:k]...)
		msg = msg[k:]
	}
	return out
}

func TestSniffRoutes(t *testing.T) {
	routes := []string{"h2 for a", "a", "*.b", "tls", "http1", "http2", "ssh", "proxy", "prefix"}
	matchers := []middleware.Matcher{
		func(head []byte) middleware.SniffResult { // both
			return min(middleware.MatchSNI("a.test")(head), middleware.MatchALPN("h2")(head))
		},
		middleware.MatchSNI("A.test"), middleware.MatchSNI("other", "*.b.test"), middleware.MatchTLS(),
		middleware.MatchHTTP1("PROPFIND"), middleware.MatchHTTP2(), middleware.MatchSSH(), middleware.MatchProxy(),
		middleware.MatchPrefix("ab", "abcd\n"),
	}
	hello, a := helloBytes, message(helloBytes("a.test", 0))
	for name, tc := range map[string]struct {
		send string
		want string // the route; empty: the rest of the chain
	}{
		"h2 and a":               {string(hello("a.test", 0, "h2", "http/1.1")), "h2 for a"},
		"a":                      {string(hello("a.test", 0, "http/1.1")), "a"},
		"A.TEST":                 {string(hello("A.TEST", 0)), "a"},
		"below b":                {string(hello("x.b.test", 0)), "*.b"},
		"too far below b":        {string(hello("y.x.b.test", 0)), "tls"},
		"b itself":               {string(hello("b.test", 0)), "tls"},
		"no name":                {string(hello("", 0)), "tls"},
		"17 KiB":                 {string(inRecords(hello("x.b.test", 17<<10), 1<<14)), "*.b"},
		"17 KiB in 8 records":    {string(inRecords(hello("x.b.test", 17<<10), 2300)), "*.b"},
		"longer than MaxBytes":   {string(inRecords(hello("x.b.test", 21<<10), 1<<14)), "tls"},
		"in two records":         {string(inRecords(hello("a.test", 0), 200)), "a"},
		"first record of 1 byte": {string(records(a[:1], 1)) + string(records(a[1:], 300)), "a"},
		"too many records":       {string(inRecords(hello("a.test", 0), 3)), "tls"},
		"half a hello":           {string(hello("a.test", 0)[:100]), "tls"},
		"6 bytes of a hello":     {"\x16\x03\x01\x02\x00\x01", "tls"},
		"5 bytes of a hello":     {"\x16\x03\x01\x02\x00", ""},
		"a server hello":         {"\x16\x03\x03\x00\x7a\x02", ""},
		"SSLv2":                  {"\x80\x2e\x01\x03\x01", ""},
		"empty record":           {"\x16\x03\x01\x00\x00\x01\x00", "tls"},
		"GET":                    {"GET / HTTP/1.1\r\n\r\n", "http1"},
		"PROPFIND":               {"PROPFIND / HTTP/1.1\r\n\r\n", "http1"},
		"GETX":                   {"GETX / HTTP/1.1\r\n\r\n", ""},
		"lower case":             {"get / HTTP/1.1\r\n\r\n", ""},
		"preface":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00", "http2"},
		"half a preface":         {"PRI * HTTP/2.0", ""},
		"SSH":                    {"SSH-2.0-OpenSSH_9.2\r\n", "ssh"},
		"PROXY 1":                {v1TCP4, "proxy"},
		"PROXY 2":                {string(proxyV2(0x21, 0x11, inet4)), "proxy"},
		"prefix":                 {"abc", "prefix"},
		"nothing":                {"", ""},
		"garbage":                {"\x00\xff\x16\x03", ""},
	} {
		for _, pieces := range []struct {
			name string
			n    int
		}{{"whole", 1 << 20}, {"by byte", 1}} {
			t.Run(name+"/"+pieces.name, func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					var took string
					var got []byte
					handler := func(name string) lgrp.Handler {
						return func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) (err error) {
							took = name
							got, err = io.ReadAll(nc)
							return err
						}
					}
					var rs []middleware.SniffRoute
					for i, m := range matchers {
						rs = append(rs, middleware.SniffRoute{Match: m, Handler: handler(routes[i])})
					}
					s := newStage(t, handler(""), middleware.Sniff(rs, nil))
					nc := s.dial()
					for b := []byte(tc.send); len(b) > 0; {
						k := min(pieces.n, len(b))
						_, err := nc.Write(b[:k])
						require.NoError(t, err)
						b = b[k:]
					}
					require.NoError(t, nc.CloseWrite())
					require.Equal(t, lgrp.ReasonReturned, s.awaitEnds(t, 1)[0].why)
					require.Equal(t, tc.want, took)
					require.Equal(t, tc.send, string(got))
				})
			})
		}
	}
}

func TestSniffTimes(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  *middleware.SniffOptions
		send  string
		later string        // after an hour
		after time.Duration // when the handler starts
		end   func(nc *testkit.Conn)
		why   lgrp.Reason
	}{
		"silent":               {after: 10 * time.Second, later: "x"},
		"silent, 3 seconds":    {opts: &middleware.SniffOptions{Timeout: 3 * time.Second}, after: 3 * time.Second, later: "x"},
		"undecided":            {send: "SS", after: 10 * time.Second, later: "H"},
		"decided":              {send: "SSH-", later: "x"},
		"decided for the rest": {send: "X", later: "x"},
		"few bytes allowed":    {opts: &middleware.SniffOptions{MaxBytes: 2}, send: "SSH-"},
		"patient":              {opts: &middleware.SniffOptions{Timeout: -1}, send: "SS", later: "H-", after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				begun := time.Now()
				var after time.Duration
				h := func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					after = time.Since(begun)
					all, err := io.ReadAll(nc) // an hour: no deadline is left
					if string(all) != tc.send+tc.later {
						return fmt.Errorf("%q", all)
					}
					return err
				}
				s := newStage(t, h, middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchSSH(), Handler: h}}, tc.opts))
				nc := s.dial()
				io.WriteString(nc, tc.send)
				time.Sleep(time.Hour)
				io.WriteString(nc, tc.later)
				require.NoError(t, nc.CloseWrite())
				e := s.awaitEnds(t, 1)[0]
				require.Equal(t, lgrp.ReasonReturned, e.why, "%v", e.err)
				require.Equal(t, tc.after, after)
			})
		})
	}
}

func TestSniffEndsWithPeer(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, echo, middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchTLS(), Handler: echo}}, nil))
		require.NoError(t, s.dial().Reset())
		require.Equal(t, lgrp.ReasonPeerClosed, s.awaitEnds(t, 1)[0].why)
		s.dial()
		time.Sleep(time.Second)
		boom := errors.New("boom")
		require.True(t, s.Kill(2, boom))
		require.ErrorIs(t, s.awaitEnds(t, 2)[1].err, boom)
	})
}

func TestSniffPanicsOnMisuse(t *testing.T) {
	require.PanicsWithValue(t, "middleware: Sniff with an incomplete route: the one at 0 has no Match or no Handler", func() {
		middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchSSH()}}, nil)
	})
}

func TestSniffAllocations(t *testing.T) {
	a, b := testkit.NewConnPair(t)
	took := func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, err := io.ReadFull(nc, make([]byte, 4))
		return err
	}
	h := middleware.Sniff([]middleware.SniffRoute{
		{Match: middleware.MatchTLS(), Handler: echo}, {Match: middleware.MatchSSH(), Handler: took},
	}, nil)(echo)
	ctx, c := context.Background(), &lgrp.AnyConn{}
	banner := []byte("SSH-")
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		a.Write(banner)
		if err := h(ctx, b, c); err != nil {
			t.Error(err)
		}
	}), 4.0) // the peek's wrapper and buffer, took's four bytes, and what the pair allocates
}

// The parser agrees with crypto/tls on every ClientHello that it accepts, and
// with itself however the bytes come.
func FuzzClientHello(f *testing.F) {
	for _, seed := range [][]byte{
		helloBytes("a.test", 0, "h2"), helloBytes("", 0), inRecords(helloBytes("x.b.test", 0), 100),
		[]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
	} {
		f.Add(seed)
	}
	sni, alpn := middleware.MatchSNI("a.test"), middleware.MatchALPN("h2")
	f.Fuzz(func(t *testing.T, data []byte) {
		got := [2]middleware.SniffResult{sni(data), alpn(data)}
		for i, m := range []middleware.Matcher{sni, alpn} {
			result := middleware.SniffMore
			for n := 0; n <= len(data) && result == middleware.SniffMore; n++ {
				result = m(data[:n])
			}
			if result != got[i] {
				t.Fatalf("matcher %d: %v by byte, %v at once", i, result, got[i])
			}
		}
		var hello *tls.ClientHelloInfo
		_ = tls.Server(&writeReadConn{bytes.NewReader(data), io.Discard}, &tls.Config{
			GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				hello = h
				return nil, errors.New("enough")
			},
		}).Handshake()
		if hello == nil {
			return // crypto/tls is stricter, and looks at all of it
		}
		want := [2]bool{strings.EqualFold(hello.ServerName, "a.test"), false}
		for _, p := range hello.SupportedProtos {
			want[1] = want[1] || p == "h2"
		}
		for i := range want {
			if want[i] != (got[i] == middleware.SniffYes) {
				t.Fatalf("matcher %d: %v, crypto/tls: %+v", i, got[i], hello)
			}
		}
	})
}

type writeReadConn struct {
	r io.Reader
	w io.Writer
}

func (c *writeReadConn) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c *writeReadConn) Write(p []byte) (int, error)      { return c.w.Write(p) }
func (c *writeReadConn) Close() error                     { return nil }
func (c *writeReadConn) LocalAddr() net.Addr              { return nil }
func (c *writeReadConn) RemoteAddr() net.Addr             { return nil }
func (c *writeReadConn) SetDeadline(time.Time) error      { return nil }
func (c *writeReadConn) SetReadDeadline(time.Time) error  { return nil }
func (c *writeReadConn) SetWriteDeadline(time.Time) error { return nil }
