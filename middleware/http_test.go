package middleware_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleHTTP() {
	type site struct{ name string }
	type session struct{ requests int }

	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		c, _ := lgrp.FromContext[site, session](r.Context())
		c.Data.requests++ // of a connection that speaks HTTP/1: one request at a time
		fmt.Fprintf(w, "%s, request %d", c.Listener.name, c.Data.requests)
	})
	g := lgrp.New(lgrp.Typed[site, session](middleware.HTTP(&http.Server{Handler: mux})), nil)
	l, err := g.Listen(context.Background(), "127.0.0.1:0", site{"front"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(string(body))
	}
	fmt.Println(g.Shutdown(context.Background())) // closes the idle connection
	fmt.Println(g.Info().Closed)
	// Output:
	// front, request 1
	// front, request 2
	// <nil>
	// map[drained:1]
}

// A web is a stage with an HTTP server, and clients for it.
type web struct {
	*stage
	h2 bool
}

func newWeb(t *testing.T, h2 bool, srv *http.Server) *web {
	w := &web{h2: h2}
	var mws []lgrp.Middleware
	if h2 {
		mws = append(mws, middleware.TLS(serverTLS("h2")))
	}
	w.stage = newStage(t, middleware.HTTP(srv), mws...)
	return w
}

func (w *web) client(t *testing.T) *http.Client {
	tr := &http.Transport{DialContext: w.ln.DialContext, TLSClientConfig: clientTLS(), ForceAttemptHTTP2: w.h2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w *web) get(ctx context.Context, c *http.Client, path string) (*http.Response, string, error) {
	url := "http://localhost"
	if w.h2 {
		url = "https://localhost"
	}
	req, err := http.NewRequestWithContext(ctx, "GET", url+path, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// handlers of the site that the tests visit.
func newSite() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Second)
		io.WriteString(w, "done")
	})
	mux.HandleFunc("/context", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	return mux
}

func forBoth(t *testing.T, f func(t *testing.T, h2 bool)) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[h2], func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) { f(t, h2) })
		})
	}
}

func TestHTTPServes(t *testing.T) {
	forBoth(t, func(t *testing.T, h2 bool) {
		w := newWeb(t, h2, &http.Server{Handler: newSite()})
		c := w.client(t)
		for range 3 {
			_, body, err := w.get(t.Context(), c, "/proto")
			require.NoError(t, err)
			require.Equal(t, map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2], body)
		}
		require.EqualValues(t, 1, w.Info().Accepted)
		synctest.Wait()
		for c := range w.ConnInfos() {
			require.True(t, c.Idle)
		}
		c.CloseIdleConnections()
		require.Equal(t, lgrp.ReasonReturned, w.awaitEnds(t, 1)[0].why)
	})
}

// net/http would speak HTTP/1 where HTTP/2 has been agreed upon.
func TestHTTPRefusesHiddenHTTP2(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		count := func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				nc, _ = netx.CountConn(nc, nil)
				return next(ctx, nc, c)
			}
		}
		s := newStage(t, middleware.HTTP(&http.Server{}), middleware.TLS(serverTLS("h2")), count)
		nc := tls.Client(s.dial(), clientTLS("h2"))
		require.NoError(t, nc.Handshake())
		e := s.awaitEnds(t, 1)[0]
		require.ErrorContains(t, e.err, "HTTP/2 needs the *tls.Conn")
	})
}

func TestHTTPPanicsInHandlers(t *testing.T) {
	forBoth(t, func(t *testing.T, h2 bool) {
		w := newWeb(t, h2, &http.Server{Handler: newSite()})
		c := w.client(t)
		_, _, err := w.get(t.Context(), c, "/panic")
		require.Error(t, err)
		_, _, err = w.get(t.Context(), c, "/proto")
		require.NoError(t, err)
	})
}

func TestHTTPUnencryptedHTTP2(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		w := newWeb(t, false, &http.Server{Handler: newSite(), Protocols: p})
		c := w.client(t)
		c.Transport.(*http.Transport).Protocols = p
		_, body, err := w.get(t.Context(), c, "/proto")
		require.NoError(t, err)
		require.Equal(t, "HTTP/2.0", body)
		require.NoError(t, w.Shutdown(t.Context()))
	})
}

func TestHTTPPipelined(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		w := newWeb(t, false, &http.Server{Handler: newSite()})
		nc := w.dial()
		_, err := io.WriteString(nc, strings.Repeat("GET /proto HTTP/1.1\r\nHost: x\r\n\r\n", 3))
		require.NoError(t, err)
		r := bufio.NewReader(nc)
		for range 3 {
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
		}
	})
}
