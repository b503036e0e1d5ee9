package memconn_test

import (
	"io"
	"testing"

	"github.com/listengroup/listengroup/netx/memconn"
)

func BenchmarkDialAcceptClose(b *testing.B) {
	ln := memconn.Listen(serverAddr, nil)
	b.ReportAllocs()
	for b.Loop() {
		c, err := ln.Dial(b.Context(), clientAddr)
		if err != nil {
			b.Fatal(err)
		}
		s, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
		c.Close()
	}
}

func BenchmarkPing(b *testing.B) {
	x, y := memconn.Pair(clientAddr, serverAddr, nil)
	buf := make([]byte, 4)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := y.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	x, y := memconn.Pair(clientAddr, serverAddr, nil)
	go io.Copy(io.Discard, y)
	buf := make([]byte, 16<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := x.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	x.Close()
}
