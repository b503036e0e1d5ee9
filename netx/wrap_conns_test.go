package netx_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/stretchr/testify/require"
)

// A baseConn is a kind of connection that wrappers go over. Packages with
// wrappers of their own can copy this file for their rows of the matrix.
type baseConn struct {
	name string
	pair func(t testing.TB) (near, far net.Conn)
}

var baseConns = []baseConn{
	{"TCP", tcpPair},
	{"Unix", unixPair},
	{"TLS", tlsPair},
	{"Pipe", func(t testing.TB) (net.Conn, net.Conn) { return closing(t, net.Pipe) }},
	{"Mem", func(t testing.TB) (net.Conn, net.Conn) {
		return closing(t, func() (net.Conn, net.Conn) { return memconn.Pair(nil, nil, nil) })
	}},
	{"StructOverTCP", func(t testing.TB) (net.Conn, net.Conn) {
		near, far := tcpPair(t)
		return struct{ net.Conn }{near}, far
	}},
}

// A wrapper is a row of the matrix: it may have the methods in keeps, and has
// those of them that its base has.
type wrapper struct {
	name  string
	keeps methodSet
	wrap  func(t testing.TB, near, far net.Conn) net.Conn
}

var wrappers = []wrapper{
	{"CountConn", all, func(_ testing.TB, nc, _ net.Conn) net.Conn {
		nc, _ = netx.CountConn(nc, &netx.Counter{})
		return nc
	}},
	{"WithCloseNotify", all, func(_ testing.TB, nc, _ net.Conn) net.Conn { return netx.WithCloseNotify(nc) }},
	{"Peek", all, peekAndRead},
	{"Base", closeWriteM | syscallConnM, func(_ testing.TB, nc, _ net.Conn) net.Conn {
		return netx.Wrap(&invertConn{netx.Base{Conn: nc}})
	}},
	{"Through", all, func(_ testing.TB, nc, _ net.Conn) net.Conn {
		c := &renamedConn{}
		c.Conn = nc
		return netx.Wrap(c)
	}},
	{"Metered", all, func(_ testing.TB, nc, _ net.Conn) net.Conn { return netx.Metered(nc, &smallSteps{most: 1000}) }},
	{"Stack", all, func(t testing.TB, nc, far net.Conn) net.Conn {
		nc, _ = netx.CountConn(netx.WithCloseNotify(nc), nil)
		nc = peekAndRead(t, nc, far)
		return netx.Metered(nc, &smallSteps{most: 1000})
	}},
}

// peekAndRead is a connection that has had a byte peeked and read.
func peekAndRead(t testing.TB, near, far net.Conn) net.Conn {
	wrote := make(chan error, 1)
	go func() {
		_, err := far.Write([]byte{0xff ^ 'x'})
		wrote <- err
	}()
	_, nc, err := netx.Peek(near, 1)
	require.NoError(t, err)
	_, err = io.ReadFull(nc, make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, <-wrote)
	return nc
}

// invertConn changes the bytes, so that whatever goes past it is noticed.
type invertConn struct{ netx.Base }

func (c *invertConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	invert(p[:n])
	return n, err
}

func (c *invertConn) Write(p []byte) (int, error) {
	q := append([]byte(nil), p...)
	invert(q)
	return c.Conn.Write(q)
}

func invert(p []byte) {
	for i := range p {
		p[i] = ^p[i]
	}
}

// renamedConn changes what is neither Read nor Write.
type renamedConn struct{ netx.Through }

func (c *renamedConn) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "renamed", Net: "unix"} }

// smallSteps moves at most so many bytes at a time.
type smallSteps struct {
	netx.Meter
	most int
}

func (c *smallSteps) BeforeRead(most int) (int, error)  { return min(c.most, most), nil }
func (c *smallSteps) BeforeWrite(most int) (int, error) { return min(c.most, most), nil }

// A methodSet says which optional methods a connection has.
type methodSet int

const (
	readFromM methodSet = 1 << iota
	writeToM
	closeWriteM
	syscallConnM

	none methodSet = 0
	all            = readFromM | writeToM | closeWriteM | syscallConnM
)

func (s methodSet) String() string {
	text := []byte("RWCS")
	for i := range text {
		if s&(1<<i) == 0 {
			text[i] = '-'
		}
	}
	return string(text)
}

func methodsOf(nc net.Conn) (s methodSet) {
	if _, ok := nc.(io.ReaderFrom); ok {
		s |= readFromM
	}
	if _, ok := nc.(io.WriterTo); ok {
		s |= writeToM
	}
	if _, ok := nc.(interface{ CloseWrite() error }); ok {
		s |= closeWriteM
	}
	if _, ok := nc.(syscall.Conn); ok {
		s |= syscallConnM
	}
	return s
}

func closing(t testing.TB, pair func() (net.Conn, net.Conn)) (net.Conn, net.Conn) {
	a, b := pair()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func dialPair(t testing.TB, network, address string) (net.Conn, net.Conn) {
	ln, err := net.Listen(network, address)
	require.NoError(t, err)
	defer ln.Close()
	far, err := net.Dial(network, ln.Addr().String())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	return closing(t, func() (net.Conn, net.Conn) { return near, far })
}

func tcpPair(t testing.TB) (net.Conn, net.Conn) { return dialPair(t, "tcp", "127.0.0.1:0") }

func unixPair(t testing.TB) (net.Conn, net.Conn) {
	return dialPair(t, "unix", filepath.Join(t.TempDir(), "s"))
}

func tlsPair(t testing.TB) (net.Conn, net.Conn) {
	near, far := tcpPair(t)
	server := tls.Server(near, serverTLS())
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-done)
	return server, client
}

// serverTLS has a certificate made once for the tests of this package.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"h2", "http/1.1"},
	}
})
