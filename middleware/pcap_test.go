package middleware_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// full is a disk with no room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func ExamplePcapOptions() {
	failed := make(chan error, 1)
	g, dial := serve(greet, middleware.Pcap(full{}, &middleware.PcapOptions{
		OnError: func(err error) { failed <- err }, // once
	}))
	defer g.Close()
	fmt.Println(hear(dial())) // clients do not suffer
	fmt.Println(errors.Is(<-failed, syscall.ENOSPC))
	// Output:
	// hello
	// true
}

func ExamplePcap() {
	var file bytes.Buffer // an *os.File, as a rule
	g, dial := serve(greet, middleware.Pcap(&file, &middleware.PcapOptions{MaxBytes: 1 << 16}))
	nc := dial()
	hear(nc)
	nc.Close()
	ended(g, 1)
	g.Close()
	fmt.Println(bytes.Contains(file.Bytes(), []byte("hello")), bytes.Contains(file.Bytes(), []byte("connection 1 of listener")))
	// Output: true true
}

// tool returns the path of a program that tests need.
func tool(t *testing.T, name, pkg string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: there is no %s here: install the Debian package %s", name, pkg)
	}
	return path
}

func TestPcapIsReadByTshark(t *testing.T) {
	tshark := tool(t, "tshark", "tshark")
	for name, tc := range map[string]struct {
		remote net.Addr
		local  net.Addr
		source string // what tshark shows of the request
	}{
		"IPv4": {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1234}, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 80}, "192.0.2.7,,1234"},
		"IPv6": {&net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 1234}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, ",2001:db8::7,1234"},
		"unix": {&net.UnixAddr{Name: "@"}, &net.UnixAddr{Name: "/run/s"}, "127.0.0.2,,1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f.pcapng")
			f, err := os.Create(path)
			require.NoError(t, err)
			mw := middleware.Pcap(f, nil)
			a, b := testkit.NewConnPair(t)
			b.SetLocalAddr(tc.local)
			a.SetLocalAddr(tc.remote)
			big := strings.Repeat("x", 100_000)
			h := mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				buf := make([]byte, 1<<10)
				n, err := nc.Read(buf)
				if err == nil {
					_, err = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big)
				}
				return fmt.Errorf("%d, %w", n, err)
			})
			drained := make(chan error, 1)
			go func() { _, err := io.Copy(io.Discard, a); drained <- err }()
			_, err = io.WriteString(a, "GET /path HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			_ = h(t.Context(), b, &lgrp.AnyConn{})
			b.Close()
			require.NoError(t, <-drained)
			require.NoError(t, f.Close())

			args := []string{"-n", "-r", path, "-d", "tcp.port==1,http", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
				"-T", "fields", "-E", "separator=,"}
			for _, field := range []string{"ip.src", "ipv6.src", "tcp.srcport", "http.request.uri", "http.content_length",
				"frame.comment", "tcp.analysis.flags", "ip.checksum.status", "tcp.checksum.status"} {
				args = append(args, "-e", field)
			}
			text, err := exec.Command(tshark, args...).Output()
			require.NoError(t, err)
			got := string(text)
			require.Contains(t, got, "connection 0 of listener")
			require.Contains(t, got, tc.source+",/path,")
			require.Contains(t, got, ",100000,")
			for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
				f := strings.Split(line, ",")
				require.Equal(t, []string{"", "1"}, []string{f[len(f)-3], f[len(f)-1]}, line) // nothing odd, a good checksum
			}
		})
	}
}

// A port that is used again is another conversation, not the first one's being
// sent again.
func TestPcapTellsConnectionsOfOnePortApart(t *testing.T) {
	tshark := tool(t, "tshark", "tshark")
	path := filepath.Join(t.TempDir(), "f.pcapng")
	f, err := os.Create(path)
	require.NoError(t, err)
	h := middleware.Pcap(f, nil)(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		return second(nc.Read(make([]byte, 100)))
	})
	for _, text := range []string{"first", "second", "third"} {
		a, b := testkit.NewConnPair(t)
		a.SetLocalAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1234})
		b.SetLocalAddr(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 80})
		_, err := io.WriteString(a, text)
		require.NoError(t, err)
		require.NoError(t, h(t.Context(), b, &lgrp.AnyConn{}))
	}
	require.NoError(t, f.Close())
	text, err := exec.Command(tshark, "-n", "-r", path, "-Y", "tcp.len > 0", "-T", "fields", "-E", "separator=,",
		"-e", "tcp.stream", "-e", "tcp.seq", "-e", "tcp.len", "-e", "tcp.analysis.flags").Output()
	require.NoError(t, err)
	require.Equal(t, "0,1,5,\n1,1,6,\n2,1,5,\n", string(text))
}

// A comment that is longer than an option can be is cut: the options that
// follow are still found.
func TestPcapCutsLongComments(t *testing.T) {
	rest := len("connection 1 of listener , peer ")
	for name, tc := range map[string]struct {
		id   string
		want func(whole int) int
	}{
		"fits":               {strings.Repeat("x", 60_000), func(whole int) int { return whole }},
		"as long as it may":  {strings.Repeat("x", 65_535-rest), func(int) int { return 65_535 }},
		"too long":           {strings.Repeat("x", 70_000), func(int) int { return 65_535 }},
		"far too long":       {strings.Repeat("x", 200_000), func(int) int { return 65_535 }},
		"between characters": {strings.Repeat("\u20ac", 40_000), func(int) int { return 65_533 }},
		"no characters":      {strings.Repeat("\x80", 70_000), func(int) int { return 65_535 }},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			ln := testkit.Listen(t)
			s := &stage{ln: ln}
			s.start(t, nothing, lgrp.ListenerSpec[struct{}]{ID: tc.id, Listener: ln, Transport: []lgrp.Middleware{middleware.Pcap(&file, nil)}})
			nc := s.dial()
			s.awaitEnds(t, 1)
			var comments []string
			for b := file.Bytes(); len(b) > 0; {
				n := binary.LittleEndian.Uint32(b[4:])
				require.Equal(t, n, binary.LittleEndian.Uint32(b[n-4:]), "a block's length stands at both ends")
				if binary.LittleEndian.Uint32(b) == 6 {
					comments = append(comments, pcapComments(t, b[:n-4])...)
				}
				b = b[n:]
			}
			require.Len(t, comments, 1)
			whole := fmt.Sprintf("connection 1 of listener %s, peer %v", tc.id, nc.LocalAddr())
			require.Equal(t, tc.want(len(whole)), len(comments[0]))
			require.True(t, strings.HasPrefix(whole, comments[0]))
		})
	}
}

// pcapComments returns the comments of a packet's block, whose options must end
// where the block does.
func pcapComments(t *testing.T, block []byte) (comments []string) {
	padded := func(n int) int { return (n + 3) &^ 3 }
	b := block[28+padded(int(binary.LittleEndian.Uint32(block[20:]))):]
	for {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if code == 0 {
			require.Len(t, b, 4)
			return comments
		}
		require.GreaterOrEqual(t, len(b), 4+padded(n)+4)
		if code == 1 {
			comments = append(comments, string(b[4:4+n]))
		}
		b = b[4+padded(n):]
	}
}

// failingWriter fails from the second call on.
type failingWriter struct{ calls int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.calls++; w.calls > 1 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestPcapWriterThatFails(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		w := &failingWriter{}
		var told []error
		s := newStage(t, asked, middleware.Pcap(w, &middleware.PcapOptions{OnError: func(err error) { told = append(told, err) }}))
		nc := s.dial()
		_, err := io.WriteString(nc, "x")
		require.NoError(t, err)
		_, err = io.ReadFull(nc, make([]byte, 1))
		require.NoError(t, err)
		nc.Close()
		s.awaitEnds(t, 1)
		require.Equal(t, []error{io.ErrShortWrite}, told)
		require.Equal(t, 2, w.calls)
	})
}
