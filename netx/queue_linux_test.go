package netx_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// takeAll takes what is queued.
func takeAll(t *testing.T, ln net.Listener) (conns []net.Conn) {
	t.Helper()
	for {
		c, err := netx.AcceptQueued(ln)
		if err == netx.ErrQueueEmpty {
			return conns
		}
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
	}
}

func TestQueuedConnectionsAreTakenAndNoneIsReset(t *testing.T) {
	for _, test := range []struct {
		name, address string
		opts          *netx.Options
	}{
		{"tcp", "127.0.0.1:0", nil},
		{"tcp6", "[::1]:0", nil},
		{"MPTCP", "127.0.0.1:0", &netx.Options{MPTCP: true}},
		{"sharded", "127.0.0.1:0", &netx.Options{Shards: 3}},
		{"unix", "unix://" + socketPath(t), nil},
		{"abstract", abstract(), nil},
		{"mem", "mem:queued", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			const queued = 20
			ln := open(t, test.address, test.opts)
			var clients []net.Conn
			for i := range queued {
				c := connect(t, ln)
				_, err := fmt.Fprintf(c, "%02d", i)
				require.NoError(t, err)
				clients = append(clients, c)
			}
			if l, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
				require.NoError(t, l.SetDeadline(time.Unix(1, 0)), "a deadline does not matter")
			}
			require.NoError(t, netx.StopQueue(ln))
			require.NoError(t, netx.StopQueue(ln), "again")
			conns := takeAll(t, ln)
			require.NoError(t, ln.Close())
			require.Len(t, conns, queued)

			heard := map[string]bool{}
			for _, c := range conns {
				var b [2]byte
				_, err := io.ReadFull(c, b[:])
				require.NoError(t, err)
				heard[string(b[:])] = true
				_, err = c.Write(b[:])
				require.NoError(t, err)
				switch ln.Addr().Network() {
				case "tcp":
					require.IsType(t, new(net.TCPConn), c)
				case "unix":
					require.IsType(t, new(net.UnixConn), c)
				}
			}
			require.Len(t, heard, queued)
			for i, c := range clients {
				var b [2]byte
				_, err := io.ReadFull(c, b[:])
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("%02d", i), string(b[:]))
			}
			_, err := netx.AcceptQueued(ln)
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

func TestStopQueueRefusesNewcomers(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		ln := open(t, "127.0.0.1:0", nil)
		require.NoError(t, netx.StopQueue(ln))
		require.Zero(t, tcpBacklog(t, ln))
	})
	t.Run("unix", func(t *testing.T) {
		path := socketPath(t)
		ln := open(t, "unix://"+path, nil)
		require.NoError(t, netx.StopQueue(ln))
		requireEmptyDir(t, path)
		successor := open(t, "unix://"+path, nil)
		require.NoError(t, ln.Close())
		connect(t, successor)
	})
	// A client that has looked the path up, and has not come to queue up yet when
	// the file goes away, reaches the socket all the same: here by another name.
	t.Run("unix, under way", func(t *testing.T) {
		path := socketPath(t)
		other := path + ".other"
		ln := open(t, "unix://"+path, nil)
		early := connect(t, ln)
		require.NoError(t, os.Link(path, other))
		require.NoError(t, netx.StopQueue(ln))
		_, err := net.Dial("unix", other)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		conns := takeAll(t, ln)
		require.NoError(t, ln.Close())
		require.Len(t, conns, 1)
		require.NoError(t, conns[0].Close())
		_, err = early.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
	t.Run("abstract", func(t *testing.T) {
		ln := open(t, abstract(), nil)
		accepted := make(chan error)
		go func() {
			_, err := ln.Accept()
			accepted <- err
		}()
		require.NoError(t, netx.StopQueue(ln))
		for range 3 {
			_, err := netx.Dial(t.Context(), addr.FromNet(ln.Addr()))
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
		select {
		case err := <-accepted:
			require.NoError(t, err, "Accept under way goes on until Close")
		case <-time.After(10 * time.Millisecond):
		}
		require.NoError(t, ln.Close())
		require.ErrorIs(t, <-accepted, net.ErrClosed)
	})
	t.Run("mem", func(t *testing.T) {
		ln := open(t, "mem:refuses", nil)
		require.NoError(t, netx.StopQueue(ln))
		_, err := netx.Dial(t.Context(), addr.MustParse("mem:refuses"))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		successor := open(t, "mem:refuses", nil)
		require.NoError(t, ln.Close())
		connect(t, successor)
	})
}

func TestStopQueueLeavesWhatOthersHoldToo(t *testing.T) {
	path := socketPath(t)
	inherited := func(t *testing.T) net.Listener {
		outer, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { outer.Close() })
		f, err := outer.(*net.TCPListener).File()
		require.NoError(t, err)
		defer f.Close()
		return open(t, fmt.Sprintf("fd:%d", f.Fd()), nil)
	}
	for _, test := range []struct {
		name string
		open func(*testing.T) net.Listener
	}{
		{"inherited", inherited},
		{"net.Listen", func(t *testing.T) net.Listener {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { ln.Close() })
			return ln
		}},
		{"handed out by Files", func(t *testing.T) net.Listener {
			ln := open(t, "127.0.0.1:0", nil)
			files, err := netx.Files(ln)
			require.NoError(t, err)
			require.NoError(t, files[0].Close())
			return ln
		}},
		{"handed out by File", func(t *testing.T) net.Listener {
			ln := open(t, "unix://"+path, nil)
			f, err := ln.(interface{ File() (*os.File, error) }).File()
			require.NoError(t, err)
			require.NoError(t, f.Close())
			return ln
		}},
		{"sharded and handed out", func(t *testing.T) net.Listener {
			ln := open(t, "127.0.0.1:0", &netx.Options{Shards: 2})
			files, err := netx.Files(ln)
			require.NoError(t, err)
			for _, f := range files {
				require.NoError(t, f.Close())
			}
			return ln
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ln := test.open(t)
			require.NoError(t, netx.StopQueue(ln))
			connect(t, ln)
			connect(t, ln)
			connect(t, ln)
			require.Len(t, takeAll(t, ln), 3)
			require.NoError(t, ln.Close())
			if ln.Addr().Network() == "unix" {
				require.FileExists(t, path, "it is the other holder's to remove")
			}
		})
	}
}

func TestFilesFailsAfterStopQueue(t *testing.T) {
	ln := open(t, "127.0.0.1:0", nil)
	require.NoError(t, netx.StopQueue(ln))
	_, err := netx.Files(ln)
	require.ErrorIs(t, err, net.ErrClosed)
}

// plain hides everything but net.Listener's methods.
type plain struct{ net.Listener }

type ownQueue struct {
	net.Listener
	err error
}

func (q ownQueue) AcceptQueued() (net.Conn, error) { return nil, q.err }

type emptyError struct{ empty bool }

func (e emptyError) Error() string    { return "empty?" }
func (e emptyError) QueueEmpty() bool { return e.empty }

func TestAcceptQueuedOfOtherListeners(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	path := socketPath(t)
	unixListener, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer unixListener.Close()

	for _, ln := range []net.Listener{tcp, unixListener} {
		_, err = netx.AcceptQueued(ln)
		require.Equal(t, netx.ErrQueueEmpty, err)
		connect(t, ln)
		require.Len(t, takeAll(t, ln), 1)
		require.NoError(t, netx.StopQueue(plain{ln}))
	}
	connect(t, tcp)
	c := takeAll(t, tcp)[0]
	require.Equal(t, 1, getsockopt(t, c, unix.SOL_SOCKET, unix.SO_KEEPALIVE), "as from net's Accept")
	require.NoError(t, unixListener.Close())
	require.NoFileExists(t, path, "net's listener removes its own file")

	_, err = netx.AcceptQueued(plain{tcp})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = netx.AcceptQueued(ownQueue{tcp, emptyError{true}})
	require.Equal(t, netx.ErrQueueEmpty, err)
	_, err = netx.AcceptQueued(ownQueue{tcp, emptyError{false}})
	require.Equal(t, emptyError{false}, err)
}

// os/exec makes a socket blocking, for all who have it, when it is given net's
// File; AcceptQueued must not wait then.
func TestAcceptQueuedOfASocketThatOthersMadeBlocking(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	require.NoError(t, err)
	defer f.Close()
	f.Fd() // as os/exec does
	_, err = netx.AcceptQueued(ln)
	require.Equal(t, netx.ErrQueueEmpty, err)
}

func init() { children["descriptors"] = runOutOfDescriptors }

// runOutOfDescriptors checks that a connection for which there is no
// descriptor stays in the queue.
func runOutOfDescriptors(*bufio.Reader, []string) error {
	ln, err := listenChild("127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
	}
	limit := &syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, limit); err != nil {
		return err
	}
	var hoard []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		hoard = append(hoard, f)
	}
	for free := range 2 { // none, then too few
		if free > 0 {
			hoard[0].Close()
			hoard = hoard[1:]
		}
		for range 5 {
			if c, err := netx.AcceptQueued(ln); !errors.Is(err, syscall.EMFILE) {
				return fmt.Errorf("with %d descriptors: %v, %v", free, c, err)
			}
		}
	}
	for _, f := range hoard {
		f.Close()
	}
	for i := range 3 {
		c, err := netx.AcceptQueued(ln)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		c.Close()
	}
	fmt.Println("all there")
	return nil
}

func TestAcceptQueuedWithoutDescriptorsLosesNothing(t *testing.T) {
	require.Equal(t, "all there", startChild(t, "descriptors").read())
}
