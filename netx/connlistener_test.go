package netx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/stretchr/testify/require"
)

func TestConnListener(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(ln *netx.ConnListener, accepted net.Conn, cancel context.CancelCauseFunc)
		want error
	}{
		{"closed by who accepted", func(_ *netx.ConnListener, nc net.Conn, _ context.CancelCauseFunc) { nc.Close() }, nil},
		{"closed twice", func(_ *netx.ConnListener, nc net.Conn, _ context.CancelCauseFunc) { nc.Close(); nc.Close() }, nil},
		{"closed under a wrapper", func(_ *netx.ConnListener, nc net.Conn, _ context.CancelCauseFunc) {
			nc, _ = netx.CountConn(nc, nil)
			nc.Close()
		}, nil},
		{"aborted", func(_ *netx.ConnListener, nc net.Conn, _ context.CancelCauseFunc) { _ = netx.Abort(nc) }, nil},
		{"context", func(_ *netx.ConnListener, _ net.Conn, cancel context.CancelCauseFunc) { cancel(io.ErrNoProgress) }, io.ErrNoProgress},
		{"outlives the listener", func(ln *netx.ConnListener, nc net.Conn, _ context.CancelCauseFunc) {
			ln.Close()
			time.Sleep(time.Hour)
			nc.Close()
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				ln := netx.NewConnListener(nil)
				near, far := memconn.Pair(nil, nil, nil)
				defer far.Close()
				defer near.Close()
				served := make(chan error, 1)
				go func() { served <- ln.Serve(ctx, near) }()
				nc, err := ln.Accept()
				require.NoError(t, err)
				synctest.Wait()
				require.Empty(t, served, "Serve waits")
				got, ok := netx.ServeContext(nc)
				require.True(t, ok)
				require.Equal(t, ctx, got)
				c.end(ln, nc, cancel)
				require.ErrorIs(t, <-served, c.want)
			})
		})
	}
}

func TestConnListenerThatNobodyAcceptsFrom(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		name string
		end  func(ln *netx.ConnListener, nc net.Conn, cancel context.CancelCauseFunc)
		want error
	}{
		{"listener closed", func(ln *netx.ConnListener, _ net.Conn, _ context.CancelCauseFunc) { ln.Close() }, net.ErrClosed},
		{"connection closed", func(_ *netx.ConnListener, nc net.Conn, _ context.CancelCauseFunc) { nc.Close() }, net.ErrClosed},
		{"context", func(_ *netx.ConnListener, _ net.Conn, cancel context.CancelCauseFunc) { cancel(cause) }, cause},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				ln := netx.NewConnListener(nil)
				near, far := memconn.Pair(nil, nil, nil)
				defer far.Close()
				defer near.Close()
				nc := netx.WithCloseNotify(near)
				require.Equal(t, nc, netx.WithCloseNotify(nc), "twice is once")
				served := make(chan error, 1)
				go func() { served <- ln.Serve(ctx, nc) }()
				synctest.Wait()
				c.end(ln, nc, cancel)
				require.ErrorIs(t, <-served, c.want)
				cancel(cause)
				require.ErrorIs(t, ln.Serve(ctx, nc), cause, "ended before")
			})
		})
	}
}

func TestConnListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := netx.NewConnListener(&net.TCPAddr{Port: 80})
		require.Equal(t, ":80", ln.Addr().String())
		accepted := make(chan error, 1)
		go func() {
			_, err := ln.Accept()
			accepted <- err
		}()
		synctest.Wait()
		require.NoError(t, ln.Close())
		require.NoError(t, ln.Close())
		require.ErrorIs(t, <-accepted, net.ErrClosed)
		_, err := ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
	for range 100 { // though one is being offered
		ln := netx.NewConnListener(nil)
		require.NoError(t, ln.Close())
		near, _ := closing(t, net.Pipe)
		served := make(chan error, 1)
		go func() { served <- ln.Serve(t.Context(), near) }()
		_, err := ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, <-served, net.ErrClosed)
	}
	_, _, err := net.SplitHostPort(netx.NewConnListener(nil).Addr().String())
	require.NoError(t, err)
	require.NotEmpty(t, netx.NewConnListener(nil).Addr().Network())
}

// lateContext runs late when Done is called the second time, which is when Serve
// begins to wait for the end.
type lateContext struct {
	context.Context
	dones int
	late  func()
}

func (c *lateContext) Done() <-chan struct{} {
	if c.dones++; c.dones == 2 {
		c.late()
	}
	return c.Context.Done()
}

// Closed and then cancelled is closed, whichever Serve sees first.
func TestConnListenerCloseBeforeCancel(t *testing.T) {
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ln := netx.NewConnListener(nil)
		near, far := memconn.Pair(nil, nil, nil)
		nc := netx.WithCloseNotify(near)
		go func() { _, _ = ln.Accept() }()
		require.NoError(t, ln.Serve(&lateContext{Context: ctx, late: func() { nc.Close(); cancel() }}, nc))
		far.Close()
	}
}

func TestConnListenerNeedsToLearnOfClose(t *testing.T) {
	near, _ := tlsPair(t)
	require.ErrorContains(t, netx.NewConnListener(nil).Serve(t.Context(), near), "WithCloseNotify")
	_, ok := netx.CloseNotify(near)
	require.False(t, ok)
	_, ok = netx.ServeContext(near)
	require.False(t, ok)
}

// Many Serve and Accept at once, each connection served and returned once.
func TestConnListenerManyAtOnce(t *testing.T) {
	const acceptors, conns = 4, 300
	ln := netx.NewConnListener(nil)
	var accepting, serving sync.WaitGroup
	for range acceptors {
		accepting.Go(func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(nc, nc)
					nc.Close()
				}()
			}
		})
	}
	errs := make(chan error, 2*conns)
	for i := range conns {
		near, far := memconn.Pair(nil, nil, nil)
		serving.Go(func() { errs <- ln.Serve(context.Background(), near) })
		serving.Go(func() {
			sent := fmt.Sprint("hello ", i)
			_, _ = io.WriteString(far, sent)
			_ = far.CloseWrite()
			got, err := io.ReadAll(far)
			if err == nil && string(got) != sent {
				err = fmt.Errorf("%q for %q", got, sent)
			}
			errs <- err
		})
	}
	serving.Wait()
	require.NoError(t, ln.Close())
	accepting.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// An http.Server that knows nothing of it, over TCP and TLS with HTTP/2, with
// keep-alive, many connections at once, and Shutdown.
func TestConnListenerServesHTTP(t *testing.T) {
	for _, c := range []struct {
		name  string
		tls   bool
		proto string
	}{{"HTTP/1.1", false, "HTTP/1.1"}, {"HTTP/1.1 over TLS", true, "HTTP/1.1"}, {"HTTP/2 over TLS", true, "HTTP/2.0"}} {
		t.Run(c.name, func(t *testing.T) {
			type key struct{}
			slow, entered := make(chan struct{}), make(chan struct{}, 1)
			srv := &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/slow" {
						entered <- struct{}{}
						<-slow
					}
					fmt.Fprint(w, r.Proto, " ", r.Context().Value(key{}))
				}),
				ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
					if served, ok := netx.ServeContext(nc); ok {
						ctx = context.WithValue(ctx, key{}, served.Value(key{}))
					}
					return ctx
				},
			}
			raw, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer raw.Close()
			ln := netx.NewConnListener(raw.Addr())
			ctx := context.WithValue(t.Context(), key{}, "from Serve")
			var serving sync.WaitGroup
			errs := make(chan error, 100)
			go func() {
				for {
					nc, err := raw.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						defer nc.Close()
						if c.tls {
							nc = tls.Server(netx.WithCloseNotify(nc), serverTLS())
						}
						errs <- ln.Serve(ctx, nc)
					})
				}
			}()
			stopped := make(chan error, 1)
			go func() { stopped <- srv.Serve(ln) }()

			scheme := "http"
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			if c.tls {
				scheme = "https"
				transport.ForceAttemptHTTP2 = c.proto == "HTTP/2.0"
			}
			// A connection dialed for a request that has found an idle one in the
			// meantime would hold Shutdown for its five seconds.
			once := transport.Clone()
			once.DisableKeepAlives = true
			defer once.CloseIdleConnections()
			defer transport.CloseIdleConnections()
			get := func(rt http.RoundTripper, path string) error {
				resp, err := (&http.Client{Transport: rt}).Get(scheme + "://" + raw.Addr().String() + path)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if want := c.proto + " from Serve"; err == nil && string(body) != want {
					err = fmt.Errorf("%q for %q", body, want)
				}
				return err
			}
			require.NoError(t, get(transport, "/"))
			require.NoError(t, get(transport, "/"))
			results := make(chan error, 20)
			for range cap(results) {
				go func() { results <- get(once, "/") }()
			}
			for range cap(results) {
				require.NoError(t, <-results)
			}
			// Shutdown waits for the request that runs.
			go func() { results <- get(transport, "/slow") }()
			<-entered
			down := make(chan error, 1)
			go func() { down <- srv.Shutdown(context.Background()) }()
			require.ErrorIs(t, <-stopped, http.ErrServerClosed)
			close(slow)
			require.NoError(t, <-results)
			require.NoError(t, <-down)
			require.NoError(t, raw.Close())
			serving.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			_, err = ln.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}
