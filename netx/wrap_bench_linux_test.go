package netx_test

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/listengroup/listengroup/netx"
	"github.com/stretchr/testify/require"
)

// Each benchmark measures a copy between bare connections and the same under
// wrappers in turns, and reports the median ratio as x-bare. It is a ratio of
// CPU time, of the kernel's too, with that of the peers, who cost 1 of 2.

type copying struct {
	src, dst func(testing.TB) (net.Conn, net.Conn)
	file     bool // instead of src
	wrap     func(net.Conn) net.Conn
	copy     func(dst, src net.Conn) error
}

func plainCopy(dst, src net.Conn) error {
	_, err := io.Copy(dst, src)
	return err
}

const benchSize = 16 << 20

func (c copying) once(b *testing.B, file *os.File) int64 {
	dst, draining := c.dst(b)
	drained := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{draining})
		_ = draining.Close()
		drained <- n
	}()
	wrapped := c.wrap(dst)
	var began int64
	if c.file {
		_, err := file.Seek(0, io.SeekStart)
		require.NoError(b, err)
		began = cpuTime(b)
		_, err = io.Copy(wrapped, file)
		require.NoError(b, err)
	} else {
		src, feeding := c.src(b)
		go func() {
			buf := make([]byte, 64<<10)
			for range benchSize / len(buf) {
				_, _ = feeding.Write(buf)
			}
			_ = feeding.Close()
		}()
		began = cpuTime(b)
		require.NoError(b, c.copy(wrapped, c.wrap(src)))
	}
	_ = dst.Close()
	require.EqualValues(b, benchSize, <-drained)
	return cpuTime(b) - began
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkCopy(b *testing.B) {
	counted := func(nc net.Conn) net.Conn {
		nc, _ = netx.CountConn(nc, nil)
		return nc
	}
	stack := func(nc net.Conn) net.Conn {
		for range 5 {
			nc = counted(nc)
		}
		return nc
	}
	hidden := func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} }
	bare := func(nc net.Conn) net.Conn { return nc }
	proxy := func(dst, src net.Conn) error {
		_, _, err := netx.Proxy(context.Background(), src, dst)
		return err
	}
	file := payloadFile(b, payload(benchSize))
	for _, bench := range []struct {
		name string
		copying
	}{
		{"TCP/counted", copying{src: tcpPair, dst: tcpPair, wrap: counted, copy: plainCopy}},
		{"TCP/5 counted", copying{src: tcpPair, dst: tcpPair, wrap: stack, copy: plainCopy}},
		{"TCP/Proxy", copying{src: tcpPair, dst: tcpPair, wrap: bare, copy: proxy}},
		{"TCP/Proxy counted", copying{src: tcpPair, dst: tcpPair, wrap: counted, copy: proxy}},
		{"TCP/struct", copying{src: tcpPair, dst: tcpPair, wrap: hidden, copy: plainCopy}},
		{"unix/Proxy", copying{src: unixPair, dst: unixPair, wrap: bare, copy: proxy}},
		{"unix/counted", copying{src: unixPair, dst: unixPair, wrap: counted, copy: plainCopy}},
		{"sendfile/counted", copying{dst: tcpPair, file: true, wrap: counted}},
		{"sendfile/struct", copying{dst: tcpPair, file: true, wrap: hidden}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ours, floor := bench.copying, bench.copying
			floor.wrap, floor.copy = bare, plainCopy
			var ratios []float64
			for b.Loop() {
				bareTook := floor.once(b, file)
				ratios = append(ratios, float64(ours.once(b, file))/float64(bareTook))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x-bare")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRead is what a wrapper costs a small Read, without a kernel.
func BenchmarkRead(b *testing.B) {
	base := &scripted{read: func(p []byte) (int, error) { return len(p), nil }}
	counted, _ := netx.CountConn(base, nil)
	for _, c := range []struct {
		name string
		nc   net.Conn
	}{{"bare", base}, {"WithCloseNotify", netx.WithCloseNotify(base)}, {"counted", counted}} {
		b.Run(c.name, func(b *testing.B) {
			p := make([]byte, 100)
			for b.Loop() {
				_, _ = c.nc.Read(p)
			}
		})
	}
}

func BenchmarkWrap(b *testing.B) {
	near, _ := tcpPair(b)
	b.Run("CountConn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = netx.CountConn(near, nil)
		}
	})
	b.Run("WithCloseNotify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = netx.WithCloseNotify(near)
		}
	})
}
