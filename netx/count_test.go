package netx_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/listengroup/listengroup/netx"
	"github.com/stretchr/testify/require"
)

// More than a step of Meter and than any socket's buffer, and odd.
const payloadSize = 1<<19 + 12_347

func payload(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}

func payloadFile(t testing.TB, content []byte) *os.File {
	name := filepath.Join(t.TempDir(), "payload")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// feed returns a connection from which content and then the end is read.
func feed(t testing.TB, pair func(testing.TB) (net.Conn, net.Conn), content []byte) net.Conn {
	near, far := pair(t)
	go func() {
		defer far.Close()
		_, _ = far.Write(content)
	}()
	return near
}

// sink returns a connection, and what was written to it once it is closed.
func sink(t testing.TB, pair func(testing.TB) (net.Conn, net.Conn)) (net.Conn, func() []byte) {
	near, far := pair(t)
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		got <- b
	}()
	return near, func() []byte {
		near.Close()
		return <-got
	}
}

// many stands for a number of operations that is not ours to say.
const many = -1

const (
	steps   = payloadSize/(256<<10) + 1 // the last one finds the end
	buffers = payloadSize/(32<<10) + 1
)

// Each of these writes all of content to nc.
var waysToWrite = []struct {
	name   string
	writes int64
	plain  int64 // writes where there is no ReadFrom
	write  func(t testing.TB, nc net.Conn, content []byte) (int64, error)
}{
	{"Write", 1, 1, func(_ testing.TB, nc net.Conn, content []byte) (int64, error) {
		n, err := nc.Write(content)
		return int64(n), err
	}},
	{"net.Buffers", 3, 3, func(_ testing.TB, nc net.Conn, content []byte) (int64, error) {
		b := net.Buffers{content[:10], content[10:2000], content[2000:]}
		return b.WriteTo(nc)
	}},
	{"io.Copy from memory", 1, 1, func(_ testing.TB, nc net.Conn, content []byte) (int64, error) {
		return io.Copy(nc, bytes.NewReader(content))
	}},
	{"ReadFrom a reader", buffers, many, func(_ testing.TB, nc net.Conn, content []byte) (int64, error) {
		return io.Copy(nc, struct{ io.Reader }{bytes.NewReader(content)})
	}},
	{"sendfile", steps, many, func(t testing.TB, nc net.Conn, content []byte) (int64, error) {
		return io.Copy(nc, payloadFile(t, content))
	}},
	{"sendfile of a part", steps, many, func(t testing.TB, nc net.Conn, content []byte) (int64, error) {
		f := payloadFile(t, append(append([]byte("head"), content...), "tail"...))
		_, err := f.Seek(4, io.SeekStart)
		require.NoError(t, err)
		n, err := io.CopyN(nc, f, int64(len(content)))
		if err == nil {
			var at int64
			at, err = f.Seek(0, io.SeekCurrent)
			require.EqualValues(t, 4+len(content), at)
		}
		return n, err
	}},
	{"splice from TCP", steps, many, func(t testing.TB, nc net.Conn, content []byte) (int64, error) {
		return io.Copy(nc, feed(t, tcpPair, content))
	}},
	{"splice from unix", steps, many, func(t testing.TB, nc net.Conn, content []byte) (int64, error) {
		return io.Copy(nc, feed(t, unixPair, content))
	}},
	{"from another counted", steps, many, func(t testing.TB, nc net.Conn, content []byte) (int64, error) {
		other, counter := netx.CountConn(feed(t, tcpPair, content), nil)
		n, err := io.Copy(nc, other)
		require.Equal(t, n, counter.Counts().BytesRead)
		return n, err
	}},
}

// Each of these reads all of content from nc.
var waysToRead = []struct {
	name  string
	reads int64
	read  func(t testing.TB, nc net.Conn) ([]byte, error)
}{
	{"Read", many, func(_ testing.TB, nc net.Conn) ([]byte, error) { return io.ReadAll(nc) }},
	{"io.Copy to memory", many, func(_ testing.TB, nc net.Conn) ([]byte, error) {
		var b bytes.Buffer
		_, err := io.Copy(&b, nc)
		return b.Bytes(), err
	}},
	{"splice to a file", steps, func(t testing.TB, nc net.Conn) ([]byte, error) {
		f := payloadFile(t, nil)
		_, err := io.Copy(f, nc)
		b, rerr := os.ReadFile(f.Name())
		require.NoError(t, rerr)
		return b, err
	}},
	{"File.ReadFrom", many, func(t testing.TB, nc net.Conn) ([]byte, error) {
		f := payloadFile(t, nil)
		_, err := f.ReadFrom(nc)
		b, rerr := os.ReadFile(f.Name())
		require.NoError(t, rerr)
		return b, err
	}},
	{"splice to TCP", steps, func(t testing.TB, nc net.Conn) ([]byte, error) {
		dst, got := sink(t, tcpPair)
		_, err := io.Copy(dst, nc)
		return got(), err
	}},
	{"TCPConn.ReadFrom", many, func(t testing.TB, nc net.Conn) ([]byte, error) {
		dst, got := sink(t, tcpPair)
		_, err := dst.(io.ReaderFrom).ReadFrom(nc)
		return got(), err
	}},
	{"splice to unix", many, func(t testing.TB, nc net.Conn) ([]byte, error) {
		dst, got := sink(t, unixPair)
		_, err := io.Copy(dst, nc)
		return got(), err
	}},
	{"to another counted", steps, func(t testing.TB, nc net.Conn) ([]byte, error) {
		dst, got := sink(t, tcpPair)
		other, counter := netx.CountConn(dst, nil)
		n, err := io.Copy(other, nc)
		require.Equal(t, n, counter.Counts().BytesWritten)
		return got(), err
	}},
}

func TestCountConnIsExact(t *testing.T) {
	content := payload(payloadSize)
	for _, b := range baseConns {
		if b.name == "StructOverTCP" {
			continue // has no more than TLS
		}
		// More than one meter: each has to see what passes the others.
		for _, depth := range []int{1, 3} {
			if depth > 1 && b.name != "TCP" {
				continue
			}
			stack := func(nc net.Conn) (net.Conn, *netx.Counter, *netx.Counter) {
				total := new(netx.Counter)
				nc, own := netx.CountConn(nc, total)
				for range depth - 1 {
					nc, _ = netx.CountConn(netx.WithCloseNotify(nc), total)
				}
				return nc, own, total
			}
			for _, way := range waysToWrite {
				t.Run(b.name+"/"+way.name, func(t *testing.T) {
					near, far := b.pair(t)
					nc, own, total := stack(near)
					got := make(chan []byte, 1)
					go func() {
						b, _ := io.ReadAll(far)
						got <- b
					}()
					n, err := way.write(t, nc, content)
					require.NoError(t, err)
					require.EqualValues(t, len(content), n)
					require.NoError(t, nc.Close())
					require.True(t, bytes.Equal(content, <-got), "other bytes arrived")

					c := own.Counts()
					require.EqualValues(t, len(content), c.BytesWritten)
					require.EqualValues(t, depth*len(content), total.Counts().BytesWritten)
					require.Zero(t, c.BytesRead+c.Reads)
					writes := way.writes
					if methodsOf(near)&readFromM == 0 {
						writes = way.plain
					}
					if writes != many && depth == 1 {
						require.Equal(t, writes, c.Writes)
						require.Equal(t, c, total.Counts())
					}
				})
			}
			for _, way := range waysToRead {
				t.Run(b.name+"/"+way.name, func(t *testing.T) {
					near, far := b.pair(t)
					nc, own, total := stack(near)
					go func() {
						_, _ = far.Write(content)
						far.Close()
					}()
					got, err := way.read(t, nc)
					require.NoError(t, err)
					require.True(t, bytes.Equal(content, got), "other bytes arrived")

					c := own.Counts()
					require.EqualValues(t, len(content), c.BytesRead)
					require.EqualValues(t, depth*len(content), total.Counts().BytesRead)
					require.Zero(t, c.BytesWritten+c.Writes)
					reads := way.reads
					if methodsOf(near)&writeToM == 0 {
						reads = many
					}
					if reads != many && depth == 1 {
						require.Equal(t, reads, c.Reads)
						require.Equal(t, c, total.Counts())
					}
				})
			}
		}
	}
}

// A long copy is seen while it lasts, a step behind at most.
func TestCountConnDuringASplice(t *testing.T) {
	src, feeding := tcpPair(t)
	dst, draining := tcpPair(t)
	in, read := netx.CountConn(src, nil)
	out, written := netx.CountConn(dst, nil)
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, in)
		copied <- err
	}()
	step := payload(256 << 10)
	for i := range 4 {
		_, err := feeding.Write(step)
		require.NoError(t, err)
		_, err = io.ReadFull(draining, step)
		require.NoError(t, err)
		require.GreaterOrEqual(t, read.Counts().BytesRead, int64(i*len(step)))
		require.GreaterOrEqual(t, written.Counts().BytesWritten, int64(i*len(step)))
	}
	require.NoError(t, feeding.Close())
	require.NoError(t, <-copied)
	require.Equal(t, netx.Counts{BytesRead: 1 << 20, Reads: 4}, read.Counts())
	require.Equal(t, netx.Counts{BytesWritten: 1 << 20, Writes: 4}, written.Counts())
}

func TestCountConnCountsWhatFails(t *testing.T) {
	near, far := closing(t, net.Pipe)
	nc, counter := netx.CountConn(near, nil)
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 3))
		far.Close()
	}()
	n, err := nc.Write([]byte("12345"))
	require.Error(t, err)
	require.Equal(t, 3, n)
	_, err = nc.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, netx.Counts{BytesWritten: 3, Writes: 1}, counter.Counts())
}

// fileSource is a file to sendfile, which uses its descriptor, and notices when
// it is read instead.
type fileSource struct {
	f     *os.File
	reads int
}

func (s *fileSource) SyscallConn() (syscall.RawConn, error) { return s.f.SyscallConn() }
func (s *fileSource) Read(p []byte) (int, error) {
	s.reads++
	return s.f.Read(p)
}

func TestSendfileIsKept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: other systems have other sendfiles")
	}
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"bare":    func(nc net.Conn) net.Conn { return nc },
		"counted": func(nc net.Conn) net.Conn { nc, _ = netx.CountConn(nc, nil); return nc },
		"stacked": func(nc net.Conn) net.Conn {
			nc, _ = netx.CountConn(netx.WithCloseNotify(nc), nil)
			nc, _ = netx.CountConn(nc, nil)
			return nc
		},
	} {
		t.Run(name, func(t *testing.T) {
			content := payload(payloadSize)
			nc, got := sink(t, tcpPair)
			src := &fileSource{f: payloadFile(t, content)}
			_, err := io.Copy(wrap(nc), src)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got()), "other bytes arrived")
			require.Zero(t, src.reads, "it was copied by hand")
		})
	}
}
