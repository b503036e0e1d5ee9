package testkit_test

import (
	"context"
	"net"
	"testing"

	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/listengroup/listengroup/testkit"
)

func TestConnLaws(t *testing.T) {
	for _, tr := range append(memory, testkit.Buffered(1, 0), testkit.Loopback()) {
		t.Run(tr.String(), func(t *testing.T) {
			testkit.TestConn(t, func(t testkit.TB) (net.Conn, net.Conn) {
				return testkit.NewConnPair(t, tr)
			}, &testkit.LawOptions{Real: tr == testkit.Loopback()})
		})
	}
	t.Run("memconn", func(t *testing.T) {
		testkit.TestConn(t, func(t testkit.TB) (net.Conn, net.Conn) {
			local, remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}
			return memconn.Pair(local, remote, nil)
		})
	})
	t.Run("the kernel", func(t *testing.T) {
		testkit.TestConn(t, func(t testkit.TB) (net.Conn, net.Conn) {
			a, b := testkit.NewConnPair(t, testkit.Loopback())
			return a.NetConn(), b.NetConn()
		}, &testkit.LawOptions{Real: true})
	})
	// What is wrong with net.Pipe, and the proof that the suite sees it.
	t.Run("net.Pipe", func(t *testing.T) {
		testkit.WatchFaster(t)
		testkit.TestConn(t, func(t testkit.TB) (net.Conn, net.Conn) { return net.Pipe() },
			&testkit.LawOptions{Deviations: map[string]string{
				"ConcurrentUse":                  "two Writes wait for a mutex, which stops a bubble's clock",
				"DeadlineReachesAllWaitingCalls": "two Writes wait for a mutex",
				"EmptyReadReturns":               "it waits for a Write",
				"EmptyWriteReturns":              "it waits for a Read",
				"AddressesMirror":                `its address is "pipe"`,
				"ErrorsCarryAddresses":           "it answers bare errors",
				"TimeoutsCarryAddresses":         "it answers bare errors",
				"OwnCloseIsErrClosed":            "it answers io.ErrClosedPipe",
				"CloseOnce":                      "every Close succeeds",
				"CloseEndsRead":                  "it answers io.ErrClosedPipe",
				"CloseEndsWrite":                 "it answers io.ErrClosedPipe",
				"PeerCloseEndsWrite":             "it answers io.ErrClosedPipe",
				"PeerCloseBreaksWrites":          "it answers io.ErrClosedPipe",
				"UnreadDataResets":               "it answers io.EOF",
				"DeadlineAfterPeerClosed":        "it refuses deadlines",
			}})
	})
}

func TestListenerLaws(t *testing.T) {
	for _, tr := range append(memory, testkit.Loopback()) {
		t.Run(tr.String(), func(t *testing.T) {
			testkit.TestListener(t, func(t testkit.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
				ln := testkit.Listen(t, tr)
				return ln, func(ctx context.Context) (net.Conn, error) { return ln.DialContext(ctx, "", "") }
			}, &testkit.LawOptions{Real: tr == testkit.Loopback()})
		})
	}
	t.Run("memconn", func(t *testing.T) {
		testkit.TestListener(t, func(t testkit.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
			ln := memconn.Listen(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, nil)
			port := 0
			return ln, func(ctx context.Context) (net.Conn, error) {
				port++
				return ln.Dial(ctx, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: port})
			}
		})
	})
	t.Run("the kernel", func(t *testing.T) {
		testkit.TestListener(t, func(t testkit.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatalf("%v", err)
			}
			return ln, func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", ln.Addr().String())
			}
		}, &testkit.LawOptions{Real: true})
	})
}
