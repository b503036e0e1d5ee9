package netx_test

import (
	"context"
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
