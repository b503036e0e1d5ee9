package netx_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/stretchr/testify/require"
)

func TestPeek(t *testing.T) {
	for _, k := range baseConns {
		t.Run(k.name, func(t *testing.T) {
			near, far := k.pair(t)
			go func() {
				_, _ = far.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
				far.Close()
			}()
			head, nc, err := netx.Peek(near, 3)
			require.NoError(t, err)
			require.Equal(t, "GET", string(head))
			require.Equal(t, methodsOf(near), methodsOf(nc))

			again, same, err := netx.Peek(nc, 5)
			require.NoError(t, err)
			require.Equal(t, "GET /", string(again))
			require.Equal(t, nc, same, "another wrapper")
			require.Equal(t, "GET", string(head), "the first slice stays")

			some, same, err := netx.PeekAtLeast(nc, 6, 1<<10)
			require.NoError(t, err)
			require.Equal(t, nc, same)
			require.Equal(t, "GET / HTTP/1.1\r\n\r\n"[:len(some)], string(some))
			require.GreaterOrEqual(t, len(some), 6)
			fewer, _, err := netx.Peek(nc, 2)
			require.NoError(t, err)
			require.Equal(t, "GE", string(fewer))

			rest, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.Equal(t, "GET / HTTP/1.1\r\n\r\n", string(rest))
		})
	}
}

func TestPeekOfNothing(t *testing.T) {
	near, far := tcpPair(t)
	head, nc, err := netx.Peek(near, 0)
	require.NoError(t, err)
	require.Empty(t, head)
	require.Same(t, near, nc)
	require.NoError(t, far.Close())
	head, nc, err = netx.Peek(near, 1)
	require.ErrorIs(t, err, io.EOF)
	require.Empty(t, head)
	require.Same(t, near, nc)
}

// SyscallConn, Underlying and NetConn lead past pending bytes, and only then are
// they shut.
func TestPeekedBytesAreNotGoneRound(t *testing.T) {
	near, far := tcpPair(t)
	_, err := far.Write([]byte("abc"))
	require.NoError(t, err)
	_, nc, err := netx.Peek(near, 3)
	require.NoError(t, err)
	open := func(nc net.Conn) bool {
		_, ok := netx.Underlying[*net.TCPConn](nc)
		_, err := nc.(syscall.Conn).SyscallConn()
		require.Equal(t, ok, err == nil)
		require.Equal(t, ok, nc.(netx.Layer).NetConn() == near)
		return ok
	}
	require.False(t, open(nc))
	_, err = io.ReadFull(nc, make([]byte, 2))
	require.NoError(t, err)
	require.False(t, open(nc))
	_, err = io.ReadFull(nc, make([]byte, 1))
	require.NoError(t, err)
	require.True(t, open(nc))

	_, err = far.Write([]byte("d"))
	require.NoError(t, err)
	_, _, err = netx.Peek(nc, 1)
	require.NoError(t, err)
	require.False(t, open(nc), "peeked again")
	_, ok := netx.Underlying[*net.TCPConn](netx.WithCloseNotify(nc))
	require.False(t, ok, "through another wrapper")
	require.NoError(t, nc.Close())
	_, err = nc.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed, "a closed connection has nothing to read")
}

func TestPeekDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memconn.Pair(nil, nil, nil)
		defer far.Close()
		_, err := far.Write([]byte("ab"))
		require.NoError(t, err)
		require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Second)))
		began := time.Now()
		head, nc, err := netx.Peek(near, 3)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.True(t, netx.IsTimeout(err))
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, "ab", string(head))

		require.NoError(t, nc.SetReadDeadline(time.Time{}))
		_, err = far.Write([]byte("c"))
		require.NoError(t, err)
		head, nc, err = netx.Peek(nc, 3)
		require.NoError(t, err)
		require.Equal(t, "abc", string(head))
		require.NoError(t, far.Close())
		head, nc, err = netx.Peek(nc, 9)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, "abc", string(head))
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
		require.NoError(t, nc.Close())
	})
}

// Nothing is waited for beyond what was asked: a server that speaks after the
// first bytes is not kept waiting.
func TestPeekDoesNotWaitForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memconn.Pair(nil, nil, nil)
		go func() {
			for _, b := range []byte("abcde") {
				time.Sleep(time.Second)
				_, _ = far.Write([]byte{b})
			}
		}()
		began := time.Now()
		head, nc, err := netx.PeekAtLeast(near, 1, 4<<10)
		require.NoError(t, err)
		require.Equal(t, "a", string(head))
		require.Equal(t, time.Second, time.Since(began))
		head, nc, err = netx.PeekAtLeast(nc, 3, 4<<10)
		require.NoError(t, err)
		require.Equal(t, "abc", string(head))
		require.Equal(t, 3*time.Second, time.Since(began))
		_, nc, err = netx.PeekAtLeast(nc, 2, 4<<10)
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(began))
		got := make([]byte, 5)
		_, err = io.ReadFull(nc, got)
		require.NoError(t, err)
		require.Equal(t, "abcde", string(got))
		nc.Close()
		far.Close()
	})
}

// A length that a peer announces costs nothing until it sends.
func TestPeekSetsNoMemoryAsideForWhatHasNotCome(t *testing.T) {
	near, far := closing(t, net.Pipe)
	go func() {
		_, _ = far.Write([]byte("x"))
		far.Close()
	}()
	head, _, err := netx.Peek(near, 1<<50)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "x", string(head))
}

func TestPeekWriteToKeepsWhatIsNotTaken(t *testing.T) {
	near, far := tcpPair(t)
	_, err := far.Write([]byte("abcdef"))
	require.NoError(t, err)
	require.NoError(t, far.Close())
	_, nc, err := netx.Peek(near, 4)
	require.NoError(t, err)
	wt := nc.(io.WriterTo)
	broken := errors.New("broken")
	n, err := wt.WriteTo(writerFunc(func([]byte) (int, error) { return 1, broken }))
	require.ErrorIs(t, err, broken)
	require.EqualValues(t, 1, n)
	n, err = wt.WriteTo(writerFunc(func([]byte) (int, error) { return 1, nil }))
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.EqualValues(t, 1, n)
	var b bytes.Buffer
	n, err = wt.WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	require.Equal(t, "cdef", b.String())
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestPeekOfAConnThatReadsNothing(t *testing.T) {
	idle := &scripted{read: func([]byte) (int, error) { return 0, nil }}
	_, _, err := netx.Peek(idle, 1)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// FuzzPeek runs any sequence of peeks, reads and copies over any chunking. The
// bytes that come out are those that went in.
func FuzzPeek(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1"), []byte{3, 0x42, 0x81, 0xc0}, byte(0))
	f.Add(payload(5000), []byte{0x7f, 0xff, 0x7f, 0x01, 0x20, 0xc1}, byte(1))
	f.Add(payload(300), []byte{0x01, 0x40, 0x3f, 0x80, 0x3f}, byte(2))
	f.Add([]byte{}, []byte{0x05, 0x85}, byte(3))
	f.Fuzz(func(t *testing.T, content, ops []byte, chunking byte) {
		var r io.Reader = bytes.NewReader(content)
		r = []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r },
			iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
		}[chunking%4](r)
		var nc net.Conn = &scripted{read: r.Read}
		want := content // what has not been read yet
		for _, op := range ops {
			n := int(op&0x3f) * 7
			switch op >> 6 {
			case 0, 1:
				most := n
				if op>>6 == 1 {
					most = 3 * n
				}
				var head []byte
				var err error
				head, nc, err = netx.PeekAtLeast(nc, n, most)
				if !bytes.HasPrefix(want, head) || len(head) > most {
					t.Fatalf("peeked %q of %q", head, want)
				}
				if (err == nil) != (len(head) >= n) || len(head) < min(n, len(want)) {
					t.Fatalf("peeked %d of %d, at least %d: %v", len(head), len(want), n, err)
				}
			case 2:
				got := make([]byte, max(n, 1)) // iotest hangs at nothing
				n, _ = nc.Read(got)
				if !bytes.HasPrefix(want, got[:n]) {
					t.Fatalf("read %q of %q", got[:n], want)
				}
				want = want[n:]
			case 3:
				got, err := io.ReadAll(io.LimitReader(nc, int64(n)))
				if err != nil || !bytes.Equal(got, want[:min(n, len(want))]) {
					t.Fatalf("read %q of %q: %v", got, want, err)
				}
				want = want[len(got):]
			}
		}
		var rest bytes.Buffer
		if _, err := io.Copy(&rest, nc); err != nil || !bytes.Equal(rest.Bytes(), want) {
			t.Fatalf("left %q of %q: %v", rest.Bytes(), want, err)
		}
	})
}
