package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

// tcpPair returns both ends of a loopback connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	s, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// The kernel knows what has moved, read or not, also of a splice while it
// lasts.
func TestKernelTraffic(t *testing.T) {
	const size = 256 << 10
	feeder, from := tcpPair(t)
	to, drain := tcpPair(t)
	read, _, unread, ok := middleware.KernelTraffic(from)
	require.True(t, ok)
	require.Zero(t, read)
	require.False(t, unread)

	spliced := make(chan error, 1)
	go func() {
		_, err := io.Copy(to, from)
		spliced <- err
	}()
	sent := make(chan error, 1)
	go func() {
		_, err := feeder.Write(make([]byte, size))
		sent <- err
	}()
	_, err := io.ReadFull(drain, make([]byte, size))
	require.NoError(t, err)
	require.NoError(t, <-sent)
	read, _, _, ok = middleware.KernelTraffic(from)
	require.True(t, ok)
	require.EqualValues(t, size, read, "while the copy goes on")
	require.NoError(t, feeder.CloseWrite())
	require.NoError(t, <-spliced)

	_, err = drain.Write([]byte("unread"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // when the loopback has delivered them
		n, _, unread, _ := middleware.KernelTraffic(to)
		_, written, _, _ := middleware.KernelTraffic(drain)
		return n == 6 && unread && written >= 6
	}, time.Minute, time.Millisecond)

	require.NoError(t, to.Close())
	_, _, _, ok = middleware.KernelTraffic(to)
	require.False(t, ok)
	_, _, _, ok = middleware.KernelTraffic(nullConn{})
	require.False(t, ok, "there is no kernel to ask")
}

// It is the bytes that count: those that came in, or that went out and were
// taken, spliced or not.
func TestIdleTimeoutAsksTheKernel(t *testing.T) {
	for name, test := range map[string]struct {
		traffic func(client, server *net.TCPConn) error
		idle    bool
	}{
		"nothing": {func(_, _ *net.TCPConn) error { return nil }, true},
		"bytes that nobody has read": {func(client, server *net.TCPConn) error {
			_, err := client.Write([]byte("x"))
			return err
		}, false},
		"bytes that went out": {func(client, server *net.TCPConn) error {
			_, err := server.Write([]byte("x"))
			return errors.Join(err, second(io.ReadFull(client, make([]byte, 1))))
		}, false},
		"spliced bytes": {func(client, server *net.TCPConn) error {
			a, b := tcpPair(t)
			defer b.Close()
			go io.Copy(server, b)
			_, err := a.Write([]byte("x"))
			return errors.Join(err, second(io.ReadFull(client, make([]byte, 1))))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			require.NoError(t, test.traffic(client, server))
			require.Eventually(t, func() bool {
				return middleware.IdleFor(server, 30*time.Minute, func() {}) == test.idle // of an hour
			}, time.Minute, time.Millisecond)
		})
	}
}

// What ProxyProtocol or Sniff read too much of hides the socket until somebody
// has read it, but not for good: what is spliced afterwards counts.
func TestKernelIsAskedOncePeekedBytesAreRead(t *testing.T) {
	client, server := tcpPair(t)
	_, err := client.Write([]byte("x"))
	require.NoError(t, err)
	_, nc, err := netx.Peek(server, 1)
	require.NoError(t, err)
	none := func() {}
	require.True(t, middleware.IdleFor(nc, 30*time.Minute, none), "nobody can be asked")
	require.True(t, middleware.TooSlow(nc, 1, none))
	read := func() { _ = second(nc.Read(make([]byte, 1))) } // past the meter, as a splice is for as long as it takes
	require.False(t, middleware.IdleFor(nc, 30*time.Minute, read))

	_, err = client.Write([]byte("y"))
	require.NoError(t, err)
	_, nc, err = netx.Peek(server, 1)
	require.NoError(t, err)
	require.False(t, middleware.TooSlow(nc, 1, read))
}

// A TCP connection is left as it is, and a silent one is ended.
func TestIdleTimeoutOverTCP(t *testing.T) {
	var got net.Conn
	s, address := newTCPStage(t, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		got = nc
		_, err := nc.Read(make([]byte, 1))
		return err
	}, middleware.IdleTimeout(30*time.Millisecond))
	client, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer client.Close()
	require.Equal(t, lgrp.ReasonTimeout, s.awaitEnds(t, 1)[0].why)
	require.IsType(t, new(net.TCPConn), got)
	_, err = client.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
}

// Where the kernel does not count, bytes are counted as they pass.
func TestIdleTimeoutWhereTheKernelDoesNotCount(t *testing.T) {
	defer middleware.WithoutCounters()()
	client, server := tcpPair(t)
	_, _, _, ok := middleware.KernelTraffic(server)
	require.False(t, ok)
	for _, handler := range []func(nc net.Conn) error{
		func(nc net.Conn) error { return second(nc.Write([]byte("x"))) },
		func(nc net.Conn) error { return second(nc.Read(make([]byte, 1))) },
	} {
		_, err := client.Write([]byte("x"))
		require.NoError(t, err)
		timer := middleware.NewIdleTimer(time.Hour)
		require.NoError(t, timer.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			require.NotEqual(t, net.Conn(server), nc, "metered")
			return handler(nc)
		})(t.Context(), server, new(lgrp.AnyConn)))
	}
	require.True(t, middleware.IdleFor(server, 30*time.Minute, func() {}))
	require.True(t, middleware.TooSlow(server, 1, func() {}))
	require.False(t, middleware.IdleForMetered(server, 30*time.Minute, func(nc net.Conn) { _, _ = nc.Write([]byte("x")) }))
}

// Who sends enough is not slow, nor is one whose bytes nobody takes; and the
// bytes need not have come through a Read.
func TestMinRateAsksTheKernel(t *testing.T) {
	client, server := tcpPair(t)
	require.True(t, middleware.TooSlow(server, 1, func() {}))
	_, err := client.Write(make([]byte, 100))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !middleware.TooSlow(server, 1000, func() {}) }, time.Minute, time.Millisecond, "unread")
	_, err = io.ReadFull(server, make([]byte, 100))
	require.NoError(t, err)
	require.False(t, middleware.TooSlow(server, 100, func() {}))
	require.True(t, middleware.TooSlow(server, 101, func() {}))
}

// The kernel is found beneath layers.
func TestKernelTrafficBeneathLayers(t *testing.T) {
	_, server := tcpPair(t)
	counted, _ := netx.CountConn(server, nil)
	_, _, _, ok := middleware.KernelTraffic(counted)
	require.True(t, ok)
}

// bytesRead returns how many bytes this process has read through buffers of its
// own, which splice does not.
func bytesRead(t testing.TB) (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("SKIPPED: no I/O accounting in this kernel: ", err)
	}
	_, err = fmt.Sscanf(string(text), "rchar: %d", &n)
	require.NoError(t, err)
	return n
}
