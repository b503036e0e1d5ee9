package netx_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/listengroup/listengroup/netx"
	"github.com/stretchr/testify/require"
)

// userBytes returns how many bytes this process has read through buffers of its
// own: those of read(2) and its kin, not those of splice(2).
func userBytes(t testing.TB) (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("SKIPPED: no I/O accounting in this kernel: ", err)
	}
	_, err = fmt.Sscanf(strings.Fields(string(text))[1], "%d", &n)
	require.NoError(t, err)
	return n
}

// TestSpliceIsKept copies between sockets under wrappers and looks whether the
// bytes came through this process: besides the test's own peer nobody reads them.
func TestSpliceIsKept(t *testing.T) {
	const size = 16 << 20
	type pair = func(testing.TB) (net.Conn, net.Conn)
	type wrap = func(net.Conn) net.Conn
	bare := func(nc net.Conn) net.Conn { return nc }
	counted := func(nc net.Conn) net.Conn {
		nc, _ = netx.CountConn(nc, nil)
		return nc
	}
	stacked := func(nc net.Conn) net.Conn {
		for range 3 {
			nc = netx.WithCloseNotify(counted(nc))
		}
		return nc
	}
	peeked := func(nc net.Conn) net.Conn {
		_, nc, err := netx.Peek(counted(nc), 1000)
		require.NoError(t, err)
		return nc
	}
	ioCopy := func(dst, src net.Conn) error {
		_, err := io.Copy(dst, src)
		return err
	}
	proxy := func(dst, src net.Conn) error {
		_, _, err := netx.Proxy(context.Background(), src, dst)
		return err
	}
	for _, c := range []struct {
		name     string
		src, dst pair
		in, out  wrap
		copy     func(dst, src net.Conn) error
		spliced  bool
	}{
		{"io.Copy TCP, bare", tcpPair, tcpPair, bare, bare, ioCopy, true},
		{"io.Copy TCP, counted source", tcpPair, tcpPair, counted, bare, ioCopy, true},
		{"io.Copy TCP, counted target", tcpPair, tcpPair, bare, counted, ioCopy, true},
		{"io.Copy TCP, counted both", tcpPair, tcpPair, counted, counted, ioCopy, true},
		{"io.Copy TCP, stacks", tcpPair, tcpPair, stacked, stacked, ioCopy, true},
		{"io.Copy TCP, peeked", tcpPair, tcpPair, peeked, stacked, ioCopy, true},
		{"io.Copy stack on TCP to unix", tcpPair, unixPair, stacked, bare, ioCopy, true},
		{"io.Copy unix to stack on TCP", unixPair, tcpPair, bare, stacked, ioCopy, true},
		{"Proxy TCP", tcpPair, tcpPair, bare, bare, proxy, true},
		{"Proxy stacks on TCP", tcpPair, tcpPair, stacked, stacked, proxy, true},
		{"Proxy peeked TCP to unix", tcpPair, unixPair, peeked, bare, proxy, true},
		{"Proxy unix to unix", unixPair, unixPair, bare, bare, proxy, true},
		// What the documents say is lost, and the proof that this test can see it.
		{"io.Copy TCP, struct", tcpPair, tcpPair, func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} }, bare, ioCopy, false},
		{"io.Copy counted unix", unixPair, tcpPair, counted, bare, ioCopy, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, feeding := c.src(t)
			dst, draining := c.dst(t)
			fed := make(chan error, 1)
			go func() {
				buf := make([]byte, 64<<10)
				for range size / len(buf) {
					if _, err := feeding.Write(buf); err != nil {
						fed <- err
						return
					}
				}
				fed <- netx.CloseWrite(feeding)
			}()
			drained := make(chan int64, 1)
			go func() {
				n, _ := io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{draining})
				draining.Close()
				drained <- n
			}()
			in, out := c.in(src), c.out(dst)
			before := userBytes(t)
			require.NoError(t, c.copy(out, in))
			require.NoError(t, out.Close())
			require.EqualValues(t, size, <-drained)
			require.NoError(t, <-fed)
			twice := userBytes(t)-before > size*3/2
			require.Equal(t, c.spliced, !twice, "spliced")
		})
	}
}
