package netx_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
)

func TestMemServesAnHTTPClient(t *testing.T) {
	a := addr.MustParse("mem:http")
	ln := open(t, "mem:http", nil)
	require.Equal(t, a, addr.FromNet(ln.Addr()))
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+r.URL.Path)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return netx.Dial(ctx, a) },
	}}
	res, err := client.Get("http://any/where")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "hello /where", string(body))
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

func TestMemNames(t *testing.T) {
	a := addr.MustParse("mem:names")
	_, err := netx.Dial(t.Context(), a)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	ln := open(t, "mem:names", nil)
	_, err = netx.Listen(t.Context(), a, nil)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	other := open(t, "mem:other", nil)
	connect(t, other)
	_, err = netx.AcceptQueued(ln)
	require.Equal(t, netx.ErrQueueEmpty, err)
	require.NoError(t, ln.Close())
	require.ErrorIs(t, ln.Close(), net.ErrClosed)
	open(t, "mem:names", nil)
	require.ErrorIs(t, ln.Close(), net.ErrClosed)
	_, err = netx.Listen(t.Context(), a, nil)
	require.ErrorIs(t, err, syscall.EADDRINUSE, "a late Close frees the name of the next one")
}

// Stopping the queue refuses who waits for room, and who had looked the name up;
// what is queued stays to be taken.
func TestMemStopQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := addr.MustParse("mem:stops")
		ln := open(t, "mem:stops", &netx.Options{Backlog: 2})
		dialed := make(chan error, 5)
		for range 5 {
			go func() {
				c, err := netx.Dial(t.Context(), a)
				if err == nil {
					_, err = c.Read(make([]byte, 1))
				}
				dialed <- err
			}()
		}
		synctest.Wait()
		c, err := netx.AcceptQueued(ln)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.Equal(t, io.EOF, <-dialed)
		synctest.Wait() // one more has come in
		require.NoError(t, netx.StopQueue(ln))
		synctest.Wait()
		require.ErrorIs(t, <-dialed, syscall.ECONNREFUSED)
		require.ErrorIs(t, <-dialed, syscall.ECONNREFUSED)
		require.Len(t, dialed, 0)
		late, ok := ln.(interface {
			Dial(context.Context, net.Addr) (*memconn.Conn, error)
		})
		require.True(t, ok)
		_, err = late.Dial(t.Context(), nil) // as who has looked the name up
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		successor := open(t, "mem:stops", nil)
		for range 2 {
			c, err := netx.AcceptQueued(ln)
			require.NoError(t, err)
			_, err = c.Write([]byte("x"))
			require.NoError(t, err)
			require.NoError(t, <-dialed)
			require.NoError(t, c.Close())
		}
		_, err = netx.AcceptQueued(ln)
		require.Equal(t, netx.ErrQueueEmpty, err)
		require.NoError(t, ln.Close())
		connect(t, successor)
	})
}

// Waiting for room ends with the context, and with the listener.
func TestMemWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := addr.MustParse("mem:room")
		ln := open(t, "mem:room", &netx.Options{Backlog: 1})
		connect(t, ln)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := netx.Dial(ctx, a)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
		dialed := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := netx.Dial(t.Context(), a)
				dialed <- err
			}()
		}
		synctest.Wait()
		require.Empty(t, dialed)
		_, err = ln.Accept()
		require.NoError(t, err)
		require.NoError(t, <-dialed)
		synctest.Wait()
		require.Empty(t, dialed)
		require.NoError(t, ln.Close())
		require.ErrorIs(t, <-dialed, syscall.ECONNREFUSED)
	})
}

func TestMemInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := addr.MustParse("mem:bubble")
		ln, err := netx.Listen(t.Context(), a, &netx.Options{Backlog: 2})
		require.NoError(t, err)
		for range 2 {
			c, err := netx.Dial(t.Context(), a)
			require.NoError(t, err)
			defer c.Close()
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err = netx.Dial(ctx, a)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(began), "the backlog was full for so long")
		require.NoError(t, ln.Close())
	})
}

// A listener of the application's may have no address.
func TestAcceptQueuedWithoutAnAddress(t *testing.T) {
	_, err := netx.AcceptQueued(addressless{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

type addressless struct{ net.Listener }

func (addressless) Addr() net.Addr { return nil }
