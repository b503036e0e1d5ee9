package middleware_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

// What HTTP allocates for a connection beyond what net/http does.
func TestHTTPAllocations(t *testing.T) {
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	request := []byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	run := func(serve func(nc net.Conn)) float64 {
		return testing.AllocsPerRun(200, func() {
			a, b := testkit.NewConnPair(t)
			a.Write(request)
			serve(b)
			io.Copy(io.Discard, a)
			a.Close()
		})
	}
	conns := make(chan net.Conn)
	ln := &chanListener{conns, make(chan struct{})}
	go srv.Serve(ln)
	bare := run(func(nc net.Conn) {
		nc = netx.WithCloseNotify(nc)
		closed, _ := netx.CloseNotify(nc)
		conns <- nc
		<-closed
	})
	close(ln.done)
	h := middleware.HTTP(srv)
	ours := run(func(nc net.Conn) {
		if err := h(context.Background(), nc, &lgrp.AnyConn{}); err != nil {
			t.Error(err)
		}
	})
	t.Logf("net/http %.0f, HTTP %.0f", bare, ours)
	require.LessOrEqual(t, ours, bare+28)
}

type chanListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *chanListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *chanListener) Close() error { return nil }

func (l *chanListener) Addr() net.Addr { return &net.TCPAddr{} }
