package netx_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleLinger() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.WriteString(nc, "too much to read, goodbye")
		netx.Linger(nc, time.Second)
	}()

	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	nc.Write(make([]byte, 1<<20)) // more than the kernel keeps for a server that does not read
	reply, err := io.ReadAll(nc)
	fmt.Println(string(reply), err)
	// Output: too much to read, goodbye <nil>
}

func TestLinger(t *testing.T) {
	for name, tc := range map[string]struct {
		wait   time.Duration
		client func(nc *testkit.Conn)
		took   time.Duration
		is     error
	}{
		"closes when it has read the end": {wait: time.Minute, client: func(nc *testkit.Conn) {
			_, _ = io.Copy(io.Discard, nc)
			time.Sleep(time.Second)
			_ = nc.Close()
		}, took: time.Second},
		"sends for ever": {wait: time.Minute, client: func(nc *testkit.Conn) {
			for {
				if _, err := nc.Write(make([]byte, 1<<10)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, took: time.Minute},
		"is silent":    {wait: time.Minute, client: func(*testkit.Conn) {}, took: time.Minute},
		"no time":      {wait: 0, client: func(*testkit.Conn) {}},
		"resets":       {wait: time.Minute, client: func(nc *testkit.Conn) { nc.Reset() }, is: syscall.ECONNRESET},
		"has gone":     {wait: time.Minute, client: func(nc *testkit.Conn) { _ = nc.Close() }},
		"closed by us": {wait: time.Minute, client: func(nc *testkit.Conn) { _ = nc.Peer().Close() }, is: net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				client, server := testkit.NewConnPair(t)
				go tc.client(client)
				begun := time.Now()
				err := netx.Linger(server, tc.wait)
				if tc.is == nil {
					require.NoError(t, err)
					require.NoError(t, server.SetReadDeadline(time.Now().Add(time.Hour)), "it is still open")
				} else {
					require.ErrorIs(t, err, tc.is)
				}
				require.Equal(t, tc.took, time.Since(begun))
			})
		})
	}
	t.Run("leaves no deadline behind", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			require.NoError(t, netx.Linger(server, time.Second))
			time.AfterFunc(time.Hour, func() { _, _ = client.Write([]byte("x")) })
			_, err := io.ReadFull(server, make([]byte, 1))
			require.NoError(t, err)
		})
	})
	t.Run("without half-close", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := net.Pipe()
			require.ErrorIs(t, netx.CloseWrite(server), errors.ErrUnsupported)
			time.AfterFunc(time.Second, func() { _ = client.Close() })
			begun := time.Now()
			require.NoError(t, netx.Linger(server, time.Minute))
			require.Equal(t, time.Second, time.Since(begun))
			_ = server.Close()
		})
	})
}

// The kernel has ENOTCONN for half-closing what has ended, and hides the reset
// behind it.
func TestLingerOverTCP(t *testing.T) {
	near, far := tcpPair(t)
	require.NoError(t, netx.Abort(far))
	require.ErrorIs(t, netx.Linger(near, time.Minute), syscall.ECONNRESET)

	near, far = tcpPair(t)
	require.NoError(t, netx.CloseWrite(near))
	require.NoError(t, far.Close())
	_, err := near.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, netx.Linger(near, time.Minute), "both had ended")
}
