package netx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func TestListenReturnsNetsOwnThings(t *testing.T) {
	for _, test := range []struct {
		address  string
		addrType net.Addr
		connType net.Conn
	}{
		{"127.0.0.1:0", new(net.TCPAddr), new(net.TCPConn)},
		{":0", new(net.TCPAddr), new(net.TCPConn)},
		{"localhost:0", new(net.TCPAddr), new(net.TCPConn)},
		{"tcp4://:0", new(net.TCPAddr), new(net.TCPConn)},
		{"tcp6://[::1]:0", new(net.TCPAddr), new(net.TCPConn)},
		{"unix://" + socketPath(t), new(net.UnixAddr), new(net.UnixConn)},
		{abstract(), new(net.UnixAddr), new(net.UnixConn)},
	} {
		t.Run(test.address, func(t *testing.T) {
			ln := open(t, test.address, nil)
			require.IsType(t, test.addrType, ln.Addr())
			client := connect(t, ln)
			require.IsType(t, test.connType, client)
			server := accept(t, ln)
			require.IsType(t, test.connType, server)
			_, err := client.Write([]byte("ping"))
			require.NoError(t, err)
			var b [4]byte
			_, err = io.ReadFull(server, b[:])
			require.NoError(t, err)

			d, ok := ln.(interface{ SetDeadline(time.Time) error })
			require.True(t, ok)
			require.NoError(t, d.SetDeadline(time.Unix(1, 0)))
			_, err = ln.Accept()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Implements(t, (*syscall.Conn)(nil), ln)

			require.NoError(t, ln.Close())
			_, err = ln.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, ln.Close(), net.ErrClosed)
		})
	}
	t.Run("tcp4 is IPv4 only", func(t *testing.T) {
		ln := open(t, "tcp4://:0", nil)
		require.True(t, ln.Addr().(*net.TCPAddr).IP.To4() != nil)
	})
}

func TestListenErrors(t *testing.T) {
	taken := open(t, "127.0.0.1:0", nil)
	open(t, "mem:taken", nil)
	cancelled, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	for _, test := range []struct {
		name string
		ctx  context.Context
		addr string
		is   error
		says string
	}{
		{"no address", t.Context(), "", nil, "no address"},
		{"taken port", t.Context(), taken.Addr().String(), syscall.EADDRINUSE, "listen tcp " + taken.Addr().String() + ": bind: address already in use"},
		{"taken name", t.Context(), "mem:taken", syscall.EADDRINUSE, "listen mem mem:taken: bind: address already in use"},
		{"cancelled", cancelled, "127.0.0.1:0", why, "enough"},
		{"address of another machine", t.Context(), "192.0.2.1:0", syscall.EADDRNOTAVAIL, "192.0.2.1:0"},
		{"range", t.Context(), "127.0.0.1:8000-8010", nil, "8000 to 8010 are several ports: one listener cannot serve them: use ListenAll or AddAll"},
		{"interface that does not exist", t.Context(), "tcp://%nope0:80", nil, "interface nope0: "},
		{"unregistered scheme", t.Context(), "quic://[::1]:443", errors.ErrUnsupported, "scheme quic: not registered"},
		{"descriptor that is not open", t.Context(), "fd:999", syscall.EBADF, "descriptor 999: is not open"},
		{"not activated", t.Context(), "systemd:web", nil, "LISTEN_PID is not set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a addr.Addr
			if test.addr != "" {
				a = addr.MustParse(test.addr)
			}
			ln, err := netx.Listen(test.ctx, a, nil)
			require.Nil(t, ln)
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, a, op.Addr)
			require.Equal(t, 1, strings.Count(err.Error(), "listen "), err.Error())
		})
	}
}

// freeRange returns the first of n adjoining ports that were free just now. It
// looks below those that the kernel gives to clients.
func freeRange(t *testing.T, n int) int {
	t.Helper()
	for port := 10_000 + os.Getpid()%10_000; port < 30_000; port += n {
		lns, err := netx.ListenAll(t.Context(), []addr.Addr{rangeOf("127.0.0.1", port, n)}, nil)
		for _, ln := range lns {
			ln.Close()
		}
		if err == nil {
			return port
		}
	}
	t.Fatal("no free range of ports")
	return 0
}

func rangeOf(host string, first, n int) addr.Addr {
	return addr.MustParse(fmt.Sprintf("%s:%d-%d", host, first, first+n-1))
}

func TestListenAll(t *testing.T) {
	path := socketPath(t)
	var ports addr.Addr
	var lns []net.Listener
	for err := error(syscall.EADDRINUSE); errors.Is(err, syscall.EADDRINUSE); { // somebody else may be faster
		ports = rangeOf("127.0.0.1", freeRange(t, 3), 3)
		lns, err = netx.ListenAll(t.Context(), []addr.Addr{
			addr.MustParse("unix://" + path),
			ports,
			addr.MustParse("mem:all"),
			addr.MustParse("tcp4://%lo:0"),
		}, &netx.Options{DeferAccept: time.Second})
		if err != nil {
			require.ErrorIs(t, err, syscall.EADDRINUSE)
		}
	}
	var got []string
	for _, ln := range lns {
		got = append(got, ln.Addr().String())
		require.NoError(t, ln.Close())
	}
	require.Len(t, got, 6)
	require.Equal(t, path, got[0])
	for i, a := range ports.Expand() {
		require.Equal(t, a.String(), got[1+i])
	}
	require.Equal(t, "mem:all", got[4])
	require.True(t, strings.HasPrefix(got[5], "127.0.0.1:"))
	requireEmptyDir(t, path)

	lns, err := netx.ListenAll(t.Context(), nil, nil)
	require.NoError(t, err)
	require.Empty(t, lns)
}

// An address that was forgotten in a configuration is no reason to start with a
// listener less.
func TestListenAllOnNoAddress(t *testing.T) {
	lns, err := netx.ListenAll(t.Context(), []addr.Addr{addr.MustParse("mem:beside-none"), {}}, nil)
	require.ErrorContains(t, err, "no address")
	require.Empty(t, lns)
	open(t, "mem:beside-none", nil)
	all, err := netx.Expand(addr.Addr{})
	require.ErrorContains(t, err, "no address")
	require.Empty(t, all)
}

func TestListenAllLeaksNothingOnFailure(t *testing.T) {
	path := socketPath(t)
	taken := open(t, "127.0.0.1:0", nil)
	panics := fmt.Sprintf("panics%d", names.Add(1)) // schemes stay registered
	netx.Register(panics, func(context.Context, addr.Addr, *netx.Options) (net.Listener, error) { panic("registered") }, nil)
	first := rangeOf("127.0.0.1", freeRange(t, 4), 4)
	all := func(last string) []addr.Addr {
		return []addr.Addr{
			addr.MustParse("127.0.0.1:0"),
			addr.MustParse("unix://" + path),
			addr.MustParse("mem:leak"),
			first,
			addr.MustParse(last),
		}
	}
	before := openDescriptors(t)
	for _, last := range []string{taken.Addr().String(), "quic://x:1", "tcp://%nope0:1", "unix://" + path, "mem:leak", "fd:998", "systemd:x"} {
		lns, err := netx.ListenAll(t.Context(), all(last), &netx.Options{Shards: 2})
		require.Error(t, err, last)
		require.Nil(t, lns)
		requireNoneLeft(t, before)
		requireEmptyDir(t, path)
		require.NoError(t, open(t, "mem:leak", nil).Close())
	}
	require.PanicsWithValue(t, "registered", func() { netx.ListenAll(t.Context(), all(panics+":x"), nil) })
	requireNoneLeft(t, before)
	requireEmptyDir(t, path)
}

func TestListenOnInterface(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("no interface lo: ", err)
	}
	prefixes, err := lo.Addrs()
	require.NoError(t, err)
	want := map[string]int{}
	for _, p := range prefixes {
		if p.(*net.IPNet).IP.To4() != nil {
			want["tcp4"]++
		} else {
			want["tcp6"]++
		}
		want["tcp"]++
	}
	for scheme, n := range want {
		each, err := netx.Expand(addr.MustParse(scheme + "://%lo:0"))
		require.NoError(t, err)
		require.Len(t, each, n)
		for _, a := range each {
			require.Equal(t, scheme, a.Scheme())
			ip, ok := a.IP()
			require.True(t, ok)
			require.True(t, ip.IsLoopback() || ip.IsLinkLocalUnicast())
		}
		lns, err := netx.ListenAll(t.Context(), []addr.Addr{addr.MustParse(scheme + "://%lo:0")}, nil)
		require.NoError(t, err)
		for _, ln := range lns {
			connect(t, ln)
			require.NoError(t, ln.Close())
		}
		ln, err := netx.Listen(t.Context(), addr.MustParse(scheme+"://%lo:0"), nil)
		if n == 1 {
			require.NoError(t, err)
			require.NoError(t, ln.Close())
		} else {
			require.ErrorContains(t, err, "use ListenAll or AddAll")
		}
	}
	each, err := netx.Expand(addr.MustParse("tcp4://%lo:8000-8002"))
	require.NoError(t, err)
	require.Len(t, each, 3*want["tcp4"])
}
