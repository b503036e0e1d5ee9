package netx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/stretchr/testify/require"
)

// endless is a wrapper that leads back to itself.
type endless struct{ net.Conn }

func (e *endless) NetConn() net.Conn { return e }

func TestUnderlying(t *testing.T) {
	near, _ := tlsPair(t)
	nc, _ := netx.CountConn(netx.WithCloseNotify(near), nil)

	tcp, ok := netx.Underlying[*net.TCPConn](nc)
	require.True(t, ok)
	require.Same(t, near.(*tls.Conn).NetConn(), tcp)
	secure, ok := netx.Underlying[*tls.Conn](nc)
	require.True(t, ok)
	require.Same(t, near, secure)
	_, ok = netx.Underlying[*net.UnixConn](nc)
	require.False(t, ok)
	_, ok = netx.Underlying[*net.TCPConn](nil)
	require.False(t, ok)
	_, ok = netx.Underlying[*net.TCPConn](&endless{nc})
	require.False(t, ok)

	// A layer is found by its own type, through what Wrap made of it.
	inverted := &invertConn{netx.Base{Conn: near}}
	layer, ok := netx.Underlying[*invertConn](netx.WithCloseNotify(netx.Wrap(inverted)))
	require.True(t, ok)
	require.Same(t, inverted, layer)

	// As an interface only with the methods that it is meant to have.
	pipe, _ := closing(t, net.Pipe)
	_, ok = netx.Underlying[syscall.Conn](netx.WithCloseNotify(pipe))
	require.False(t, ok)
	lingering, ok := netx.Underlying[interface{ SetLinger(int) error }](nc)
	require.True(t, ok)
	require.Same(t, tcp, lingering)
}

func TestCloseWrite(t *testing.T) {
	for _, k := range baseConns {
		t.Run(k.name, func(t *testing.T) {
			near, far := k.pair(t)
			nc := netx.WithCloseNotify(near)
			if methodsOf(near)&closeWriteM == 0 {
				require.ErrorIs(t, netx.CloseWrite(nc), errors.ErrUnsupported)
				return
			}
			require.NoError(t, netx.CloseWrite(nc))
			_, err := far.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			_, err = far.Write([]byte("still"))
			require.NoError(t, err)
			_, err = io.ReadFull(nc, make([]byte, 5))
			require.NoError(t, err)
			_, err = nc.Write([]byte("x"))
			require.Error(t, err)
		})
	}
}

// hiding is a wrapper of someone else: it has no CloseWrite but says what it wraps.
type hiding struct{ net.Conn }

func (h hiding) NetConn() net.Conn { return h.Conn }

func TestCloseWriteLooksBeneath(t *testing.T) {
	near, far := tcpPair(t)
	_, err := far.Write([]byte("pending"))
	require.NoError(t, err)
	_, nc, err := netx.Peek(near, 3)
	require.NoError(t, err)
	require.NoError(t, netx.CloseWrite(hiding{nc}))
	_, err = far.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestAbort(t *testing.T) {
	for _, k := range baseConns {
		for _, layers := range []string{"bare", "peeked"} {
			t.Run(k.name+"/"+layers, func(t *testing.T) {
				near, far := k.pair(t)
				nc := near
				if layers == "peeked" {
					go func() { _, _ = far.Write([]byte("pending")) }()
					var err error
					_, nc, err = netx.Peek(netx.WithCloseNotify(near), 7)
					require.NoError(t, err)
				}
				require.NoError(t, netx.Abort(nc))
				_, err := nc.Read(make([]byte, 1))
				require.True(t, netx.IsClosed(err), "%v", err)
				if closed, ok := netx.CloseNotify(nc); ok {
					<-closed // wrappers are told
				}
				_, err = far.Read(make([]byte, 1))
				switch k.name {
				case "TCP", "TLS", "Mem":
					require.True(t, netx.IsReset(err), "%v", err)
				default:
					require.Error(t, err)
				}
				if k.name != "Pipe" && k.name != "StructOverTCP" {
					require.True(t, netx.IsClosed(netx.Abort(nc)))
				}
			})
		}
	}
}

// Abort does not wait to say farewell to a peer that does not read.
func TestAbortDoesNotBlockOnTLS(t *testing.T) {
	near, far := closing(t, net.Pipe)
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	server := tls.Server(far, serverTLS())
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-done)
	wrote := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 100)) // nobody reads
		wrote <- err
	}()
	require.NoError(t, netx.Abort(client))
	require.Error(t, <-wrote)
}

func TestErrorKinds(t *testing.T) {
	mem, far := memconn.Pair(nil, nil, nil)
	require.NoError(t, far.Reset())
	_, memReset := mem.Read(make([]byte, 1))
	require.NoError(t, mem.Close())
	_, memClosed := mem.Read(make([]byte, 1))
	pipe, _ := closing(t, net.Pipe)
	require.NoError(t, pipe.SetDeadline(time.Unix(1, 0)))
	_, pipeTimeout := pipe.Read(make([]byte, 1))
	require.NoError(t, pipe.Close())
	_, pipeClosed := pipe.Read(make([]byte, 1))
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()

	errno := func(e syscall.Errno) error {
		return fmt.Errorf("serving: %w", &net.OpError{Op: "read", Err: os.NewSyscallError("read", e)})
	}
	for _, c := range []struct {
		name                   string
		err                    error
		closed, timeout, reset bool
	}{
		{"nil", nil, false, false, false},
		{"EOF", io.EOF, false, false, false},
		{"ErrClosed", fmt.Errorf("x: %w", net.ErrClosed), true, false, false},
		{"in-memory closed", memClosed, true, false, false},
		{"in-memory reset", memReset, false, false, true},
		{"pipe closed", pipeClosed, true, false, false},
		{"pipe timeout", pipeTimeout, false, true, false},
		{"context deadline", ctx.Err(), false, true, false},
		{"context canceled", context.Canceled, false, false, false},
		{"ECONNRESET", errno(syscall.ECONNRESET), false, false, true},
		{"EPIPE", errno(syscall.EPIPE), false, false, true},
		{"ECONNABORTED", errno(syscall.ECONNABORTED), false, false, true},
		{"ETIMEDOUT", errno(syscall.ETIMEDOUT), false, true, false},
		{"ECONNREFUSED", errno(syscall.ECONNREFUSED), false, false, false},
		{"several", errors.Join(errors.New("x"), errno(syscall.ECONNRESET)), false, false, true},
		{"several, the second a timeout", errors.Join(errno(syscall.ECONNRESET), os.ErrDeadlineExceeded), false, true, true},
	} {
		require.Equal(t, c.closed, netx.IsClosed(c.err), c.name)
		require.Equal(t, c.timeout, netx.IsTimeout(c.err), c.name)
		require.Equal(t, c.reset, netx.IsReset(c.err), c.name)
	}
}
