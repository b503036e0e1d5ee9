package testkit

import (
	"fmt"
	"net"
	"time"

	"github.com/listengroup/listengroup/netx/memconn"
)

// Transport says what carries the bytes of a connection: [Buffered], [Pipe] or [Loopback]. It is a
// comparable value; the zero value is Buffered(0, 0).
type Transport struct {
	kind    transportKind
	size    int
	latency time.Duration
}

type transportKind uint8

const (
	kindBuffered transportKind = iota
	kindPipe
	kindLoopback
)

// Buffered is memory that behaves like TCP: each direction holds size bytes before Write blocks, and
// everything sent takes latency to arrive. A size of 0 or less means 64 KiB.
func Buffered(size int, latency time.Duration) Transport {
	return Transport{kind: kindBuffered, size: max(0, size), latency: max(0, latency)}
}

// Pipe is memory without a buffer, like net.Pipe: a Write returns only when its last byte has been
// read, which finds code that relies on buffers. Unlike net.Pipe it is safe in bubbles with several
// writers, can be half-closed, and answers with TCP's errors.
func Pipe() Transport { return Transport{kind: kindPipe} }

// Loopback is real TCP on 127.0.0.1. Sockets do not stop a bubble's clock and their waits are not
// durable, so use it outside bubbles.
func Loopback() Transport { return Transport{kind: kindLoopback} }

// String names the transport as it is written in Go.
func (tr Transport) String() string {
	switch tr.kind {
	case kindPipe:
		return "Pipe()"
	case kindLoopback:
		return "Loopback()"
	default:
		return fmt.Sprintf("Buffered(%d, %v)", tr.size, tr.latency)
	}
}

// GoString is how rapid shows a drawn Transport.
func (tr Transport) GoString() string { return "testkit." + tr.String() }

func (tr Transport) options() *memconn.Options {
	return &memconn.Options{Size: tr.size, Latency: tr.latency, Sync: tr.kind == kindPipe}
}

// first is how the kit spells an optional argument.
func first(tr []Transport) Transport {
	if len(tr) == 0 {
		return Transport{}
	}
	return tr[0]
}

// NewConnPair returns the two ends of a new connection over tr, which defaults to Buffered(0, 0). Each is
// the other's Peer. Both are closed when the test ends. It fails the test when Loopback has no socket.
func NewConnPair(t TB, tr ...Transport) (client, server *Conn) {
	t.Helper()
	client, server, err := newPair(t, first(tr), clientAddr(0, 0, false), serverAddr(0, false))
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

func newPair(t TB, tr Transport, client, server net.Addr) (*Conn, *Conn, error) {
	if tr.kind == kindLoopback {
		return loopbackPair(t)
	}
	a, b := memconn.Pair(client, server, tr.options())
	c, s := link(t, a, b)
	return c, s, nil
}

func link(t TB, client, server net.Conn) (c, s *Conn) {
	home := here()
	c, s = &Conn{inner: client, t: t, home: home}, &Conn{inner: server, t: t, home: home}
	c.peer, s.peer = s, c
	return c, s
}

func loopbackPair(t TB) (*Conn, *Conn, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	type result struct {
		nc  net.Conn
		err error
	}
	dialed := make(chan result, 1)
	go func() {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			ln.Close()
		}
		dialed <- result{nc, err}
	}()
	server, err := ln.Accept()
	client := <-dialed
	if client.err != nil {
		return nil, nil, client.err
	}
	if err != nil {
		client.nc.Close()
		return nil, nil, err
	}
	c, s := link(t, client.nc, server)
	return c, s, nil
}
