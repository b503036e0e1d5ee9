package netx_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/listengroup/listengroup/netx"
	"github.com/stretchr/testify/require"
)

var errQuota = errors.New("quota")

// quotaConn lets so many bytes through, each way, and then fails.
type quotaConn struct {
	netx.Meter
	in, out         int // left
	sawIn, sawOut   int
	biggest, answer int // the largest step asked for; an odd answer to give
}

func (c *quotaConn) allow(left, most int) (int, error) {
	c.biggest = max(c.biggest, most)
	if left == 0 {
		return 0, errQuota
	}
	if c.answer != 0 {
		return c.answer, nil
	}
	return min(left, most), nil
}

func (c *quotaConn) BeforeRead(most int) (int, error)  { return c.allow(c.in, most) }
func (c *quotaConn) AfterRead(n int)                   { c.in -= n; c.sawIn += n }
func (c *quotaConn) BeforeWrite(most int) (int, error) { return c.allow(c.out, most) }
func (c *quotaConn) AfterWrite(n int)                  { c.out -= n; c.sawOut += n }

// A limit is kept to the byte on every way that bytes can go, over every base,
// also where the kernel copies.
func TestMeterLimitsExactly(t *testing.T) {
	const quota = 300_001
	content := payload(payloadSize)
	for _, b := range baseConns {
		if b.name == "StructOverTCP" {
			continue // has no more than TLS
		}
		for _, way := range waysToWrite {
			if way.name == "io.Copy from memory" || way.name == "from another counted" {
				continue // as Write; has requirements of its own
			}
			t.Run(b.name+"/"+way.name, func(t *testing.T) {
				near, far := b.pair(t)
				c := &quotaConn{out: quota}
				nc := netx.Metered(near, c)
				got := make(chan []byte, 1)
				go func() {
					b, _ := io.ReadAll(far)
					got <- b
				}()
				n, err := way.write(t, nc, content)
				require.ErrorIs(t, err, errQuota)
				require.EqualValues(t, quota, n)
				require.Equal(t, quota, c.sawOut)
				require.NoError(t, nc.Close())
				require.True(t, bytes.Equal(content[:quota], <-got), "other bytes arrived")
			})
		}
		for _, way := range waysToRead {
			t.Run(b.name+"/"+way.name, func(t *testing.T) {
				near, far := b.pair(t)
				c := &quotaConn{in: quota}
				go func() {
					_, _ = far.Write(content)
					far.Close()
				}()
				// The counter over it makes steps of its own.
				nc, over := netx.CountConn(netx.Metered(near, c), nil)
				got, err := way.read(t, nc)
				require.ErrorIs(t, err, errQuota)
				require.True(t, bytes.Equal(content[:quota], got), "other bytes arrived")
				require.Equal(t, quota, c.sawIn)
				require.EqualValues(t, quota, over.Counts().BytesRead)
			})
		}
	}
}

func TestMeterHooksCannotHarm(t *testing.T) {
	for _, answer := range []int{-1, 1 << 40} {
		near, far := tcpPair(t)
		c := &quotaConn{in: 5, out: 5, answer: answer}
		nc := netx.Metered(near, c)
		n, err := nc.Write([]byte("12345"))
		require.NoError(t, err)
		require.Equal(t, 5, n)
		_, err = io.CopyN(far, far, 5)
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(nc, got)
		require.NoError(t, err)
		require.Equal(t, "12345", string(got))
		require.Equal(t, 5, c.biggest)
	}
}

// A Write of nothing and a Read of nothing reach the connection, which may have
// an error to report, and are no steps.
func TestMeterOfNothing(t *testing.T) {
	near, _ := tcpPair(t)
	c := &quotaConn{}
	nc := netx.Metered(near, c)
	_, err := nc.Write(nil)
	require.NoError(t, err)
	_, err = nc.Read(nil)
	require.NoError(t, err)
	require.Zero(t, c.biggest)
	require.NoError(t, near.Close())
	_, err = nc.Write(nil)
	require.True(t, netx.IsClosed(err))
}

// A connection that writes less than it says keeps Write from spinning.
func TestMeterOverAShortWriter(t *testing.T) {
	short := &scripted{write: func(p []byte) (int, error) { return len(p) / 2, nil }}
	n, err := netx.Metered(short, &quotaConn{out: 100}).Write(make([]byte, 10))
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.Equal(t, 5, n)
}

// invertedTCP is somebody else's wrapper: it embeds the socket, so that it has
// its SyscallConn, and copies itself through its own Read.
type invertedTCP struct{ *net.TCPConn }

func (c *invertedTCP) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	invert(p[:n])
	return n, err
}

func (c *invertedTCP) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, invertedReader{c, c.TCPConn})
}

type invertedReader struct {
	net.Conn
	tcp *net.TCPConn
}

func (r invertedReader) SyscallConn() (syscall.RawConn, error) { return r.tcp.SyscallConn() }

func TestMeterDoesNotGoRoundOtherWrappers(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"TCP": tcpPair, "unix": unixPair} {
		near, far := tcpPair(t)
		_, err := far.Write([]byte{^byte('a'), ^byte('b')})
		require.NoError(t, err)
		require.NoError(t, far.Close())
		nc, counter := netx.CountConn(&invertedTCP{near.(*net.TCPConn)}, nil)
		dst, got := sink(t, pair)
		_, err = io.Copy(dst, nc)
		require.NoError(t, err)
		require.Equal(t, "ab", string(got()), name)
		require.EqualValues(t, 2, counter.Counts().BytesRead)
	}
}

// ReadFrom leaves a LimitedReader as whoever else had read from it would.
func TestMeterUsesUpALimitedReader(t *testing.T) {
	nc, got := sink(t, tcpPair)
	nc, _ = netx.CountConn(nc, nil)
	lr := &io.LimitedReader{R: feed(t, tcpPair, payload(payloadSize)), N: payloadSize - 1000}
	n, err := nc.(io.ReaderFrom).ReadFrom(lr)
	require.NoError(t, err)
	require.EqualValues(t, payloadSize-1000, n)
	require.Zero(t, lr.N)
	got()
}

// Where there is no splice to be had, nothing is held back for the sake of one.
func TestMeterCountsOtherLayersAsTheyCome(t *testing.T) {
	src, feeding := unixPair(t)
	dst, draining := tcpPair(t)
	in, _ := netx.CountConn(src, nil)
	out, written := netx.CountConn(dst, nil)
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, in)
		copied <- err
	}()
	for i := range 3 {
		_, err := feeding.Write(make([]byte, 10))
		require.NoError(t, err)
		_, err = io.ReadFull(draining, make([]byte, 10))
		require.NoError(t, err)
		require.GreaterOrEqual(t, written.Counts().BytesWritten, int64(10*i))
	}
	require.NoError(t, feeding.Close())
	require.NoError(t, <-copied)
}
