package netx_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// BenchmarkAccept measures a connection that is accepted, read from, written to
// and closed, client included. Its floor is net's listener: compare the two.
func BenchmarkAccept(b *testing.B) {
	for _, bench := range []struct {
		name   string
		listen func() (net.Listener, error)
	}{
		{"net", func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }},
		{"netx", func() (net.Listener, error) {
			return netx.Listen(context.Background(), addr.MustParse("127.0.0.1:0"), nil)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ln, err := bench.listen()
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			go func() {
				var buf [1]byte
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					c.Read(buf[:])
					c.Write(buf[:])
					c.Close()
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				c.Write([]byte("x"))
				io.ReadAll(c)
				c.(*net.TCPConn).SetLinger(0) // no TIME_WAIT: ports run out
				c.Close()
			}
		})
	}
}
