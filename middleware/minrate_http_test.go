package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

// A ratedWeb is an HTTP server behind a MinRate of 100 bytes in ten seconds.
type ratedWeb struct {
	*stage
	floor *middleware.RateFloor
	c     *http.Client
	url   string
}

func (w *ratedWeb) send(ctx context.Context, path string, body io.Reader) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", w.url+path, body)
	if err != nil {
		return "", err
	}
	resp, err := w.c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	return string(said), err
}

// onRatedWebs runs f over each protocol.
func onRatedWebs(t *testing.T, f func(t *testing.T, w *ratedWeb)) {
	for name, protos := range map[string][]string{"HTTP1": nil, "HTTP1 over TLS": {"http/1.1"}, "HTTP2": {"h2"}} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				w := &ratedWeb{floor: middleware.NewRateFloor(100, nil), url: "http://localhost"}
				mws := []lgrp.Middleware{middleware.MinRate(1, nil), w.floor.Middleware()}
				if protos != nil {
					w.url = "https://localhost"
					mws = append(mws, middleware.TLS(serverTLS(protos...)))
				}
				w.stage = newStage(t, middleware.HTTP(&http.Server{Handler: ratedSite()}), mws...)
				tr := &http.Transport{DialContext: w.ln.DialContext, TLSClientConfig: clientTLS(), ForceAttemptHTTP2: name == "HTTP2"}
				t.Cleanup(tr.CloseIdleConnections)
				w.c = &http.Client{Transport: tr}
				f(t, w)
			})
		})
	}
}

func ratedSite() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/think", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Minute)
		io.WriteString(w, "done")
	})
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		time.Sleep(time.Minute)
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		for range 10 {
			w.Write(make([]byte, 10000))
			w.(http.Flusher).Flush()
			time.Sleep(7 * time.Second)
		}
	})
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(0); err == nil {
			fmt.Fprint(w, len(r.MultipartForm.File))
		}
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		nc, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer nc.Close()
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_, _ = io.Copy(io.Discard, nc)
	})
	return mux
}

// dripping is a body of which a byte comes every five seconds.
type dripping struct{ ctx context.Context }

func (d dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(5 * time.Second):
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func TestMinRateLeavesHTTPHandlersTime(t *testing.T) {
	onRatedWebs(t, func(t *testing.T, w *ratedWeb) {
		for range 2 {
			said, err := w.send(t.Context(), "/think", nil)
			require.NoError(t, err)
			require.Equal(t, "done", said)
			said, err = w.send(t.Context(), "/read", bytes.NewReader(make([]byte, 100000)))
			require.NoError(t, err)
			require.Equal(t, "100000", said)
			said, err = w.send(t.Context(), "/think", bytes.NewReader(make([]byte, 1000)))
			require.NoError(t, err)
			require.Equal(t, "done", said)
			said, err = w.send(t.Context(), "/download", nil)
			require.NoError(t, err)
			require.Len(t, said, 100000)
			time.Sleep(time.Minute) // idle
		}
		require.Zero(t, w.floor.Ended())
		require.EqualValues(t, 1, w.Info().Accepted)
	})
}

// A client that takes its time to read a response does not owe bytes.
func TestMinRateLeavesHTTPClientsTimeToRead(t *testing.T) {
	onRatedWebs(t, func(t *testing.T, w *ratedWeb) {
		resp, err := w.c.Get(w.url + "/download")
		require.NoError(t, err)
		time.Sleep(time.Hour)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, 100000, n)
		require.NoError(t, resp.Body.Close())
	})
}

func TestMinRateEndsSlowHTTPBodies(t *testing.T) {
	onRatedWebs(t, func(t *testing.T, w *ratedWeb) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun := time.Now()
		_, err := w.send(ctx, "/read", dripping{ctx})
		require.Error(t, err)
		require.Equal(t, lgrp.ReasonTimeout, w.awaitEnds(t, 1)[0].why)
		require.EqualValues(t, 1, w.floor.Ended())
		require.LessOrEqual(t, time.Since(begun), 30*time.Second)
	})
}

// net/http reads what a handler has left of a body before the next request.
func TestMinRateEndsSlowHTTPBodiesThatNobodyReads(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, middleware.HTTP(&http.Server{Handler: ratedSite()}), middleware.MinRate(100, nil))
		nc := s.dial()
		begun := time.Now()
		_, err := io.WriteString(nc, "POST /think HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		require.NoError(t, err)
		require.Equal(t, lgrp.ReasonTimeout, s.awaitEnds(t, 1)[0].why)
		require.Equal(t, time.Minute+10*time.Second, time.Since(begun))
	})
}

func TestMinRateEndsSlowHTTPHeaders(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, middleware.HTTP(&http.Server{Handler: ratedSite()}), middleware.MinRate(100, nil))
		nc := s.dial()
		begun := time.Now()
		_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nX: ")
		require.NoError(t, err)
		go func() {
			for range 100 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(nc, "x"); err != nil {
					return
				}
			}
		}()
		require.Equal(t, lgrp.ReasonTimeout, s.awaitEnds(t, 1)[0].why)
		require.Equal(t, 10*time.Second, time.Since(begun))
	})
}

// Who has hijacked a connection reads by himself.
func TestMinRateEndsSlowHijackers(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, middleware.HTTP(&http.Server{Handler: ratedSite()}), middleware.MinRate(100, nil))
		nc := s.dial()
		begun := time.Now()
		_, err := io.WriteString(nc, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		require.Equal(t, lgrp.ReasonTimeout, s.awaitEnds(t, 1)[0].why)
		require.Equal(t, 10*time.Second, time.Since(begun))
	})
}

// What hides the connection does not hide the requests.
func TestMinRateKnowsOfHTTPThroughLayers(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		opaque := func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				_, nc, err := netx.Peek(nc, 1)
				if err != nil {
					return err
				}
				return next(ctx, struct{ net.Conn }{nc}, c)
			}
		}
		s := newStage(t, middleware.HTTP(&http.Server{Handler: ratedSite()}), middleware.MinRate(100, nil), opaque)
		resp, err := (&http.Client{Transport: &http.Transport{DialContext: s.ln.DialContext, DisableKeepAlives: true}}).Get("http://x/think")
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
	})
}

func TestMinRateLeavesFormsTheirEnd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	onRatedWebs(t, func(t *testing.T, w *ratedWeb) {
		var form bytes.Buffer
		mw := multipart.NewWriter(&form)
		part, err := mw.CreateFormFile("f", "f")
		require.NoError(t, err)
		_, err = part.Write(make([]byte, 20<<20))
		require.NoError(t, err)
		require.NoError(t, mw.Close())
		req, err := http.NewRequest("POST", w.url+"/form", &form)
		require.NoError(t, err)
		req.Header.Set("Content-Type", mw.FormDataContentType())
		resp, err := w.c.Do(req)
		require.NoError(t, err)
		said, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "1", string(said))
		synctest.Wait()
		left, err := filepath.Glob(filepath.Join(os.TempDir(), "multipart-*"))
		require.NoError(t, err)
		require.Empty(t, left, "files of the form")
	})
}
