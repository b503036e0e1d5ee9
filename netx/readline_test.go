package netx_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/stretchr/testify/require"
)

func ExampleReadLine() {
	client, server := net.Pipe()
	go fmt.Fprint(client, "Ada\r\nand what comes next")
	name, rest, err := netx.ReadLine(server, 100)
	fmt.Println(name, err)
	next := make([]byte, 19)
	_, _ = io.ReadFull(rest, next)
	fmt.Printf("%s\n", next)
	// Output:
	// Ada <nil>
	// and what comes next
}

func TestReadLine(t *testing.T) {
	for _, c := range []struct {
		sent, line, rest string
		err              error
	}{
		{"a\nrest", "a", "rest", nil},
		{"a\r\nrest", "a", "rest", nil},
		{"\n", "", "", nil},
		{"\r\r\n", "\r", "", nil},
		{"a\n\n", "a", "\n", nil},
		{"1234567\nrest", "1234567", "rest", nil},
		{"12345678\nrest", "", "12345678\nrest", netx.ErrLineTooLong},
		{"12345678", "", "12345678", netx.ErrLineTooLong},
		{"", "", "", io.EOF},
		{"half", "", "half", io.EOF},
	} {
		for _, whole := range []bool{true, false} {
			near, far := tcpPair(t)
			_, err := io.WriteString(far, c.sent)
			require.NoError(t, err)
			require.NoError(t, far.Close())
			var nc net.Conn = near
			if !whole {
				nc = netx.Wrap(&bytewise{netx.Base{Conn: near}})
			}
			line, after, err := netx.ReadLine(nc, 8)
			require.ErrorIs(t, err, c.err, "%q", c.sent)
			require.Equal(t, c.line, line, "%q", c.sent)
			rest, err := io.ReadAll(after)
			require.NoError(t, err)
			require.Equal(t, c.rest, string(rest), "%q", c.sent)
		}
	}
}

// bytewise yields one byte at a time.
type bytewise struct{ netx.Base }

func (c *bytewise) Read(p []byte) (int, error) { return iotest.OneByteReader(c.Conn).Read(p) }

func TestReadLineAgainAfterATimeout(t *testing.T) {
	near, far := tcpPair(t)
	_, err := io.WriteString(far, "beginning")
	require.NoError(t, err)
	require.NoError(t, near.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, nc, err := netx.ReadLine(near, 100)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, nc.SetReadDeadline(time.Time{}))
	_, err = io.WriteString(far, " and end\nrest")
	require.NoError(t, err)
	line, nc, err := netx.ReadLine(nc, 100)
	require.NoError(t, err)
	require.Equal(t, "beginning and end", line)
	require.NoError(t, far.Close())
	rest, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "rest", strings.TrimSpace(string(rest)))
}
