package netx_test

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// getsockopt asks the kernel.
func getsockopt(t *testing.T, c any, level, name int) int {
	t.Helper()
	rc, err := c.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	var value int
	var serr error
	require.NoError(t, rc.Control(func(fd uintptr) { value, serr = unix.GetsockoptInt(int(fd), level, name) }))
	require.NoError(t, serr)
	return value
}

func TestKeepAliveOfAcceptedConnections(t *testing.T) {
	type probes struct{ on, idle, interval, count int }
	system := func() probes {
		return probes{0, sysctl(t, "net/ipv4/tcp_keepalive_time"), sysctl(t, "net/ipv4/tcp_keepalive_intvl"), sysctl(t, "net/ipv4/tcp_keepalive_probes")}
	}()
	for _, test := range []struct {
		name string
		set  *net.KeepAliveConfig
		want probes
	}{
		{"defaults", nil, probes{1, 15, 15, 9}},
		{"enabled with the defaults", &net.KeepAliveConfig{Enable: true}, probes{1, 15, 15, 9}},
		{"all set", &net.KeepAliveConfig{Enable: true, Idle: 40 * time.Second, Interval: 7 * time.Second, Count: 3}, probes{1, 40, 7, 3}},
		{"rounded up", &net.KeepAliveConfig{Enable: true, Idle: 1500 * time.Millisecond, Interval: time.Millisecond}, probes{1, 2, 1, 9}},
		{"the system's own", &net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}, probes{1, system.idle, system.interval, system.count}},
		{"off", &net.KeepAliveConfig{}, system},
	} {
		get := func(c net.Conn) probes {
			return probes{
				getsockopt(t, c, unix.SOL_SOCKET, unix.SO_KEEPALIVE),
				getsockopt(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE),
				getsockopt(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL),
				getsockopt(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPCNT),
			}
		}
		for _, how := range []struct {
			name string
			opts netx.Options
		}{{"plain", netx.Options{}}, {"sharded", netx.Options{Shards: 2}}, {"MPTCP", netx.Options{MPTCP: true}}} {
			t.Run(test.name+"/"+how.name, func(t *testing.T) {
				how.opts.KeepAlive = test.set
				needMPTCP(t, &how.opts)
				ln := open(t, "127.0.0.1:0", &how.opts)
				connect(t, ln)
				require.Equal(t, test.want, get(accept(t, ln)), "from Accept")
			})
			t.Run(test.name+"/"+how.name+" queued", func(t *testing.T) {
				how.opts.KeepAlive = test.set
				needMPTCP(t, &how.opts)
				ln := open(t, "127.0.0.1:0", &how.opts)
				connect(t, ln)
				c, err := netx.AcceptQueued(ln)
				require.NoError(t, err)
				defer c.Close()
				require.Equal(t, test.want, get(c), "from AcceptQueued")
			})
		}
		t.Run(test.name+"/MPTCP client", func(t *testing.T) {
			opts := &netx.Options{MPTCP: true, KeepAlive: test.set}
			needMPTCP(t, opts)
			ln := open(t, "127.0.0.1:0", opts)
			var d net.Dialer
			d.SetMultipathTCP(true)
			client, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
			require.NoError(t, err)
			defer client.Close()
			require.Equal(t, test.want, get(accept(t, ln)))
		})
		t.Run(test.name+"/inherited", func(t *testing.T) {
			outer, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer outer.Close()
			f, err := outer.(*net.TCPListener).File()
			require.NoError(t, err)
			defer f.Close()
			ln := open(t, "fd:"+strconv.Itoa(int(f.Fd())), &netx.Options{KeepAlive: test.set})
			connect(t, ln)
			require.Equal(t, test.want.on, get(accept(t, ln)).on)
			connect(t, ln)
			c, err := netx.AcceptQueued(ln)
			require.NoError(t, err)
			defer c.Close()
			require.Equal(t, test.want.on, get(c).on)
			require.Zero(t, getsockopt(t, outer, unix.SOL_SOCKET, unix.SO_KEEPALIVE), "it is not ours alone")
		})
	}
}

// needMPTCP skips a test of it where the kernel has none, has it switched off, or is
// too old to let its sockets be configured.
func needMPTCP(t *testing.T, opts *netx.Options) {
	t.Helper()
	if opts == nil || !opts.MPTCP {
		return
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Skip("SKIPPED: no MPTCP here: ", err)
	}
	defer unix.Close(fd)
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); err != nil {
		t.Skip("SKIPPED: MPTCP without keepalive options here: ", err)
	}
}

func sysctl(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(readProc(t, "/proc/sys/"+name))
	require.NoError(t, err)
	return n
}

func TestOptionsReachTheKernel(t *testing.T) {
	plain := open(t, "127.0.0.1:0", nil)
	for _, test := range []struct {
		name        string
		opts        netx.Options
		level, opt  int
		want, unset int
	}{
		{"ReusePort", netx.Options{ReusePort: true}, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, 0},
		{"MPTCP", netx.Options{MPTCP: true}, unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_MPTCP, unix.IPPROTO_TCP},
		{"DeferAccept", netx.Options{DeferAccept: time.Second}, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1, 0},
		{"DeferAccept rounded up", netx.Options{DeferAccept: 2500 * time.Millisecond}, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 3, 0},
		{"FastOpen", netx.Options{FastOpen: 17}, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 17, 0},
		{"KeepAlive", netx.Options{}, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			needMPTCP(t, &test.opts)
			ln := open(t, "127.0.0.1:0", &test.opts)
			require.Equal(t, test.want, getsockopt(t, ln, test.level, test.opt))
			require.Equal(t, test.unset, getsockopt(t, plain, test.level, test.opt), "without the option")
			connect(t, ln).Write([]byte("x"))
			accept(t, ln)
			ignored := open(t, abstract(), &test.opts)
			connect(t, ignored)
			accept(t, ignored)
		})
	}
}

func TestReusePortIsOptIn(t *testing.T) {
	share := &netx.Options{ReusePort: true}
	first := open(t, "127.0.0.1:0", share)
	open(t, first.Addr().String(), share)
	for _, opts := range []*netx.Options{nil, {Shards: 2}} {
		_, err := netx.Listen(t.Context(), addr.FromNet(first.Addr()), opts)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	}
	alone := open(t, "127.0.0.1:0", nil)
	_, err := netx.Listen(t.Context(), addr.FromNet(alone.Addr()), share)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestBacklog(t *testing.T) {
	most := sysctl(t, "net/core/somaxconn")
	for _, test := range []struct{ name, address string }{
		{"tcp", "127.0.0.1:0"},
		{"sharded", "127.0.0.1:0"},
	} {
		for backlog, want := range map[int]int{0: most, -1: most, 7: 7, most + 1: most} {
			t.Run(test.name+" "+strconv.Itoa(backlog), func(t *testing.T) {
				opts := &netx.Options{Backlog: backlog}
				lns := []net.Listener{}
				if test.name == "sharded" {
					opts.Shards = 2
					lns = open(t, test.address, opts).(interface{ Shards() []net.Listener }).Shards()
				} else {
					lns = append(lns, open(t, test.address, opts))
				}
				for _, ln := range lns {
					require.Equal(t, want, tcpBacklog(t, ln))
				}
			})
		}
	}
	for _, address := range []string{abstract(), "unix://" + socketPath(t)} {
		for _, backlog := range []int{1, 5} {
			t.Run("unix "+strconv.Itoa(backlog), func(t *testing.T) {
				ln := open(t, address, &netx.Options{Backlog: backlog})
				n := 0
				for ; ; n++ {
					c, err := net.Dial("unix", ln.Addr().String())
					if err != nil {
						require.ErrorIs(t, err, syscall.EAGAIN)
						break
					}
					defer c.Close()
				}
				require.Equal(t, backlog+1, n, "the kernel queues one more than it is told")
				require.NoError(t, ln.Close())
			})
		}
	}
}

// tcpBacklog reads what tcp(7) reports of a listening socket in tcpi_sacked.
func tcpBacklog(t *testing.T, ln net.Listener) int {
	t.Helper()
	n, err := backlogOf(ln)
	require.NoError(t, err)
	return n
}

func backlogOf(ln net.Listener) (int, error) {
	rc, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var info *unix.TCPInfo
	if cerr := rc.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil || err != nil {
		return 0, errors.Join(cerr, err)
	}
	return int(info.Sacked), nil
}

func TestControl(t *testing.T) {
	path := socketPath(t)
	for _, test := range []struct{ address, network, to string }{
		{"127.0.0.1:0", "tcp4", "127.0.0.1:0"},
		{"tcp6://[::1]:0", "tcp6", "[::1]:0"},
		{"unix://" + path, "unix", path},
	} {
		t.Run(test.network, func(t *testing.T) {
			var network, to string
			var reusePort int
			ln := open(t, test.address, &netx.Options{
				ReusePort: true,
				Control: func(n, a string, c syscall.RawConn) error {
					network, to = n, a
					return c.Control(func(fd uintptr) {
						reusePort, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT)
						unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000)
					})
				},
			})
			require.Equal(t, test.network, network)
			require.Equal(t, test.to, to)
			require.Equal(t, 200_000, getsockopt(t, ln, unix.SOL_SOCKET, unix.SO_RCVBUF), "the kernel doubles it")
			if network != "unix" {
				require.Equal(t, 1, reusePort, "called after the other options")
			}
		})
	}
	refused := errors.New("refused")
	_, err := netx.Listen(t.Context(), addr.MustParse("127.0.0.1:0"), &netx.Options{
		Control: func(string, string, syscall.RawConn) error { return refused },
	})
	require.ErrorIs(t, err, refused)
}

func TestOptionsAreCopied(t *testing.T) {
	opts := &netx.Options{KeepAlive: &net.KeepAliveConfig{Enable: true, Count: 3}, Shards: 2}
	ln := open(t, "127.0.0.1:0", opts)
	require.Equal(t, &netx.Options{KeepAlive: &net.KeepAliveConfig{Enable: true, Count: 3}, Shards: 2}, opts)
	opts.KeepAlive.Enable = false
	connect(t, ln)
	require.Equal(t, 1, getsockopt(t, accept(t, ln), unix.SOL_SOCKET, unix.SO_KEEPALIVE))
}
