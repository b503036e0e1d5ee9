package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleWireLog() {
	g, dial := serve(greet, middleware.WireLog(os.Stdout, &middleware.WireLogOptions{MaxBytes: 80}))
	nc := dial()
	hear(nc)
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n")
	nc.Close()
	ended(g, 1)
	g.Close()
	// Output:
	// conn 1 > 5 bytes
	// 00000000  68 65 6c 6c 6f                                    |hello|
	// conn 1 < 25 bytes
	// 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|
	// 00000010  48 6f 73 74 3a 20 78 0d  0a                       |Host: x..|
}

func TestWireLogIsBounded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStage(t, echo, middleware.WireLog(&log, &middleware.WireLogOptions{MaxBytes: 10}))
		nc := s.dial()
		for range 100 {
			_, err := io.WriteString(nc, "12345678")
			require.NoError(t, err)
			_, err = io.ReadFull(nc, make([]byte, 8))
			require.NoError(t, err)
		}
		nc.Close()
		s.awaitEnds(t, 1)
		require.Equal(t, 4, strings.Count(log.String(), "conn 1"))
		require.Contains(t, log.String(), "conn 1 < 2 bytes")
		require.Contains(t, log.String(), "conn 1 > 2 bytes")
	})
}

// What is shown through io.Copy is exact, whichever side has the wrapper, and
// nothing is lost where the kernel takes over.
func TestWireLogUnderCopies(t *testing.T) {
	body := strings.Repeat("0123456789", 20_000)
	for name, tc := range map[string]struct {
		h    lgrp.Handler
		text string
	}{
		"writes to a file": {func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				return err
			}
			defer f.Close()
			if n, err := io.Copy(f, nc); err != nil || n != int64(len(body)) {
				return fmt.Errorf("%d bytes, %w", n, err)
			}
			got, err := os.ReadFile(f.Name())
			if err == nil && string(got) != body {
				err = fmt.Errorf("other bytes")
			}
			return err
		}, "<"},
		"reads from a file": {func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			if n, err := io.Copy(nc, f); err != nil || n != int64(len(body)) {
				return fmt.Errorf("%d bytes, %w", n, err)
			}
			_, err = io.Copy(io.Discard, nc)
			return err
		}, ">"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s, address := newTCPStage(t, tc.h, middleware.WireLog(&log, &middleware.WireLogOptions{MaxBytes: 50_000}))
			nc, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer nc.Close()
			if tc.text == "<" {
				_, err = io.WriteString(nc, body)
				require.NoError(t, err)
				require.NoError(t, netx.CloseWrite(nc))
			} else {
				require.NoError(t, netx.CloseWrite(nc))
				got, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.Equal(t, body, string(got))
			}
			e := s.awaitEnds(t, 1)[0]
			require.NoError(t, e.err)
			var shown int
			for _, line := range strings.Split(log.String(), "\n") {
				var n int
				if k, _ := fmt.Sscanf(line, "conn 1 "+tc.text+" %d bytes", &n); k == 1 {
					shown += n
				}
			}
			require.Equal(t, 50_000, shown)
		})
	}
}

func TestWireLogAndPcapAllocations(t *testing.T) {
	a, _ := testkit.NewConnPair(t)
	ctx, c := context.Background(), &lgrp.AnyConn{}
	pass := func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }
	w := middleware.WireLog(io.Discard, nil)(pass)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = w(ctx, a, c) }), 2.0)
	p := middleware.Pcap(io.Discard, nil)(pass)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = p(ctx, a, c) }), 110.0) // six packets
}

func TestWireLogAndPcapPanicOnMisuse(t *testing.T) {
	require.PanicsWithValue(t, "middleware: WireLog with a nil io.Writer", func() { middleware.WireLog(nil, nil) })
	require.PanicsWithValue(t, "middleware: Pcap with a nil io.Writer", func() { middleware.Pcap(nil, nil) })
}
