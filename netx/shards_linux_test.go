package netx_test

import (
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func shardsOf(t *testing.T, ln net.Listener) []net.Listener {
	t.Helper()
	s, ok := ln.(interface{ Shards() []net.Listener })
	require.True(t, ok, "%T", ln)
	return s.Shards()
}

func TestShardsShareOneResolvedPort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0", "localhost:0"} {
		t.Run(address, func(t *testing.T) {
			ln := open(t, address, &netx.Options{Shards: 4})
			all := shardsOf(t, ln)
			require.Len(t, all, 4)
			for _, s := range all {
				require.Equal(t, ln.Addr(), s.Addr())
				require.NotZero(t, s.Addr().(*net.TCPAddr).Port)
				require.Equal(t, 1, getsockopt(t, s, unix.SOL_SOCKET, unix.SO_REUSEPORT))
			}
		})
	}
	t.Run("one is not sharded", func(t *testing.T) {
		for _, n := range []int{-1, 0, 1} {
			_, sharded := open(t, "127.0.0.1:0", &netx.Options{Shards: n}).(interface{ Shards() []net.Listener })
			require.False(t, sharded)
		}
	})
}

// Connections must reach the first shard too, which was alone when it began to
// listen, and every other.
func TestShardsAllGetConnections(t *testing.T) {
	for name, opts := range map[string]*netx.Options{
		"plain":     {Shards: 3},
		"ReusePort": {Shards: 3, ReusePort: true},
		"MPTCP":     {Shards: 3, MPTCP: true},
	} {
		t.Run(name, func(t *testing.T) {
			ln := open(t, "127.0.0.1:0", opts)
			all := shardsOf(t, ln)
			const clients = 90
			for range clients {
				connect(t, ln)
			}
			total := 0
			for i, s := range all {
				n := len(takeAll(t, s))
				require.NotZero(t, n, "shard %d", i) // by chance in 1 of 10^15 runs
				total += n
			}
			require.Equal(t, clients, total)
		})
	}
}

func TestShardsKeepTheAddressToThemselves(t *testing.T) {
	ln := open(t, "127.0.0.1:0", &netx.Options{Shards: 3})
	a := addr.FromNet(ln.Addr())
	for name, opts := range map[string]*netx.Options{
		"a plain listener":         nil,
		"another sharded listener": {Shards: 3},
	} {
		_, err := netx.Listen(t.Context(), a, opts)
		require.ErrorIs(t, err, syscall.EADDRINUSE, name)
	}
	require.NoError(t, ln.Close())
	open(t, a.String(), &netx.Options{Shards: 3})
}

// Of many instances that start at once on one port at most one may come up,
// and it must be whole: the first to listen wins, and nobody joins by accident.
func TestShardsRace(t *testing.T) {
	total := 0
	for range 20 {
		probe := open(t, "127.0.0.1:0", nil)
		a := addr.FromNet(probe.Addr())
		require.NoError(t, probe.Close())
		lns := make([]net.Listener, 8)
		errs := make([]error, len(lns))
		var wg sync.WaitGroup
		for i := range lns {
			wg.Go(func() { lns[i], errs[i] = netx.Listen(t.Context(), a, &netx.Options{Shards: 2}) })
		}
		wg.Wait()
		owners := 0
		for i, ln := range lns {
			if errs[i] == nil {
				owners++
				require.NoError(t, ln.Close())
				continue
			}
			require.ErrorIs(t, errs[i], syscall.EADDRINUSE)
		}
		require.LessOrEqual(t, owners, 1)
		total += owners
	}
	require.NotZero(t, total)
}

func TestShardsAcceptForThoseWhoDoNotKnow(t *testing.T) {
	ln := open(t, "127.0.0.1:0", &netx.Options{Shards: 3})
	const clients = 30
	for range clients {
		connect(t, ln)
	}
	for range clients {
		require.IsType(t, new(net.TCPConn), accept(t, ln))
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = ln.Accept() })
	}
	require.NoError(t, ln.Close())
	wg.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, net.ErrClosed)
	}
	require.ErrorIs(t, ln.Close(), net.ErrClosed)
	_, err := ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestShardsCloseLeaksNothing(t *testing.T) {
	before := openDescriptors(t)
	ln := open(t, "127.0.0.1:0", &netx.Options{Shards: 3})
	clients := []net.Conn{connect(t, ln), connect(t, ln), connect(t, ln), connect(t, ln)}
	c, err := ln.Accept() // the goroutines hold others now
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, ln.Close())
	for _, c := range clients {
		require.NoError(t, c.Close())
	}
	requireNoneLeft(t, before)
}

// openDescriptors counts them by what they are open on, but for pipes: those
// that splice has used wait in a pool, until the garbage collector empties it.
// Tests that use it must not run in parallel.
func openDescriptors(t *testing.T) map[string]int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	open := map[string]int{}
	for _, e := range entries {
		if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(link, "pipe:") {
			open[link]++
		}
	}
	return open
}

// requireNoneLeft fails if anything is open that was not before. What was need
// not be: connections of earlier tests may have been closed meanwhile.
func requireNoneLeft(t *testing.T, before map[string]int) {
	t.Helper()
	for name, n := range openDescriptors(t) {
		require.LessOrEqual(t, n, before[name], "open on %s", name)
	}
}
