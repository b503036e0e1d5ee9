package testkit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/listengroup/listengroup/testkit"
)

func TestNettest(t *testing.T) {
	if testing.Short() {
		t.Skip("half a second of real time for each transport; TestConnLaws has most of it in bubbles")
	}
	for name, f := range map[string]testkit.Faults{
		"healthy": {}, "faulty": {MaxChunk: 300, After: 1 << 40, Stall: true},
	} {
		for _, tr := range []testkit.Transport{testkit.Buffered(0, 0), testkit.Pipe(), testkit.Loopback()} {
			if f.MaxChunk > 0 && tr == testkit.Pipe() {
				continue // an echo of pieces blocks the one who still writes, on net.Pipe too
			}
			t.Run(name+" "+tr.String(), func(t *testing.T) {
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					a, b := testkit.NewConnPair(t, tr)
					a.Set(testkit.Reads|testkit.Writes, f)
					return a, b, func() { a.Close(); b.Close() }, nil
				})
			})
		}
	}
}

func TestAddresses(t *testing.T) {
	a, b := testkit.NewConnPair(t)
	require.Equal(t, "192.0.2.2:10001", a.LocalAddr().String())
	require.Equal(t, "192.0.2.1:1001", a.RemoteAddr().String())
	require.Same(t, b, a.Peer())
	a.SetLocalAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 77), Port: 7})
	require.Equal(t, "192.0.2.77:7", b.RemoteAddr().String())
	a.Close()
	_, err := b.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
	require.ErrorContains(t, err, "write tcp 192.0.2.1:1001->192.0.2.77:7: ")
}

func TestWrapSomethingPoorer(t *testing.T) {
	x, y := net.Pipe()
	a, b := testkit.Wrap(x), testkit.Wrap(y)
	require.Nil(t, a.Peer())
	require.ErrorIs(t, a.CloseWrite(), errors.ErrUnsupported)
	require.ErrorIs(t, a.CloseRead(), errors.ErrUnsupported)
	b.Set(testkit.Reads, testkit.Faults{MaxChunk: 1})
	go func() {
		a.Write([]byte("hi"))
		a.Reset()
	}()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "hi", string(got))
	require.NoError(t, b.Close())
	require.ErrorIs(t, b.Close(), net.ErrClosed)
	require.True(t, a.IsClosed())
}

// A *tls.Conn cannot write any more when its deadline has passed.
func TestSetDoesNotBreakTLS(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		require.NoError(t, err)
		c, s := testkit.NewConnPair(t, testkit.Buffered(4096, 0))
		client := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		server := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		go server.Handshake()
		require.NoError(t, client.Handshake())

		w := testkit.Wrap(client)
		data := bytes.Repeat([]byte("0123456789"), 10<<10)
		wrote := make(chan error)
		go func() {
			_, err := w.Write(data)
			wrote <- err
			_, err = w.Write(data)
			wrote <- err
		}()
		synctest.Wait()
		w.Set(testkit.Writes, testkit.Faults{MaxChunk: 1000})
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(server)
			got <- b
		}()
		require.NoError(t, <-wrote)
		require.NoError(t, <-wrote)
		require.NoError(t, w.CloseWrite())
		require.Equal(t, append(data, data...), <-got)
	})
}

// Whatever carries the bytes, an own Close answers to both names.
func TestOwnCloseHasBothNames(t *testing.T) {
	pipe := func(t *testing.T) *testkit.Conn {
		a, b := net.Pipe()
		t.Cleanup(func() { b.Close() })
		return testkit.Wrap(a)
	}
	pair := func(tr testkit.Transport) func(t *testing.T) *testkit.Conn {
		return func(t *testing.T) *testkit.Conn { a, _ := testkit.NewConnPair(t, tr); return a }
	}
	for name, mk := range map[string]func(t *testing.T) *testkit.Conn{
		"buffered": pair(testkit.Buffered(0, 0)), "pipe": pair(testkit.Pipe()), "loopback": pair(testkit.Loopback()), "net.Pipe": pipe,
	} {
		t.Run(name, func(t *testing.T) {
			c := mk(t)
			read := make(chan error)
			begun := make(chan struct{})
			go func() {
				close(begun)
				_, err := c.Read(make([]byte, 1))
				read <- err
			}()
			<-begun
			require.NoError(t, c.Close())
			errs := []error{<-read, c.Close(), c.Reset(), c.SetDeadline(time.Time{})}
			if name != "net.Pipe" {
				errs = append(errs, c.CloseWrite(), c.CloseRead())
			}
			for _, err := range errs {
				require.ErrorIs(t, err, net.ErrClosed)
				require.ErrorIs(t, err, io.ErrClosedPipe)
			}
		})
	}
}

func TestPrintsAsItIsWritten(t *testing.T) {
	require.Equal(t, "testkit.Buffered(10, 1s)", fmt.Sprintf("%#v", testkit.Buffered(10, time.Second)))
	require.Equal(t, "testkit.Faults{}", fmt.Sprintf("%#v", testkit.Faults{}))
	require.Equal(t, "testkit.Faults{Delay: 1s, After: 4, Err: injected}",
		fmt.Sprintf("%#v", testkit.Faults{Delay: time.Second, After: 4, Err: errInjected}))
}
