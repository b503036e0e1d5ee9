package testkit_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit"
)

// serve runs a server until the test ends.
func serve(t *testing.T, srv *http.Server, ln net.Listener) {
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hi "+r.RemoteAddr) })

func get(t *testing.T, client *http.Client, url string) string {
	res, err := client.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}

func inBubbles(t *testing.T, f func(t *testing.T, tr testkit.Transport)) {
	for _, tr := range memory {
		t.Run(tr.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) { f(t, tr) })
		})
	}
}

func TestHTTPKeepAlive(t *testing.T) {
	inBubbles(t, func(t *testing.T, tr testkit.Transport) {
		ln := testkit.Listen(t, tr)
		serve(t, &http.Server{Handler: hello, IdleTimeout: time.Minute}, ln)
		client := &http.Client{Transport: &http.Transport{DialContext: ln.DialContext}}
		require.Equal(t, "hi 192.0.2.2:10001", get(t, client, "http://any.example/"))
		time.Sleep(30 * time.Second)
		require.Equal(t, "hi 192.0.2.2:10001", get(t, client, "http://any.example/"), "the same connection")
		time.Sleep(2 * time.Minute)
		require.Equal(t, "hi 192.0.2.2:10002", get(t, client, "http://any.example/"), "a new one after the idle timeout")
	})
}

func TestHTTPShutdown(t *testing.T) {
	inBubbles(t, func(t *testing.T, tr testkit.Transport) {
		ln := testkit.Listen(t, tr)
		serving := make(chan struct{})
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(serving)
			time.Sleep(10 * time.Second)
			io.WriteString(w, "done")
		})}
		serve(t, srv, ln)
		client := &http.Client{Transport: &http.Transport{DialContext: ln.DialContext}}
		answer := make(chan string, 1)
		go func() {
			res, err := client.Get("http://server/")
			if err != nil {
				answer <- err.Error()
				return
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			answer <- string(body)
		}()
		<-serving
		require.NoError(t, srv.Shutdown(t.Context()))
		require.Equal(t, "done", <-answer)
		_, err := ln.Dial()
		require.Error(t, err)
	})
}

func TestHTTPSlowLoris(t *testing.T) {
	inBubbles(t, func(t *testing.T, tr testkit.Transport) {
		ln := testkit.Listen(t, tr)
		serve(t, &http.Server{Handler: hello, ReadHeaderTimeout: 30 * time.Second}, ln)
		c := ln.NewConn()
		defer c.Close()
		c.Set(testkit.Writes, testkit.Faults{MaxChunk: 1, Delay: time.Second})
		start := time.Now()
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: server\r\nX-Padding: "+fmt.Sprintf("%0100d", 0)+"\r\n\r\n")
		answer, _ := io.ReadAll(c)
		took := time.Since(start)
		require.NotContains(t, string(answer), "200 OK")
		require.GreaterOrEqual(t, took, 30*time.Second)
		require.LessOrEqual(t, took, 33*time.Second, "cut off at the timeout, not when the request was complete")
	})
}

func TestHTTPS(t *testing.T) {
	// The certificate of httptest; its server is not used.
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	cert := ts.TLS.Certificates[0]
	roots := ts.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	ts.Close()
	for _, tr := range []testkit.Transport{testkit.Buffered(0, 0), testkit.Buffered(100, 20*time.Millisecond)} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprint(tr, http2), func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					ln := testkit.Listen(t, tr)
					config := &tls.Config{Certificates: []tls.Certificate{cert}, Time: certTime}
					if http2 {
						config.NextProtos = []string{"h2"}
					}
					srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						fmt.Fprint(w, r.Proto)
					}), TLSConfig: config}
					done := make(chan error, 1)
					go func() { done <- srv.ServeTLS(ln, "", "") }()
					transport := &http.Transport{DialContext: ln.DialContext, ForceAttemptHTTP2: http2,
						TLSClientConfig: &tls.Config{RootCAs: roots, Time: certTime}}
					client := &http.Client{Transport: transport}
					want := "HTTP/1.1"
					if http2 {
						want = "HTTP/2.0"
					}
					require.Equal(t, want, get(t, client, "https://example.com/"))
					require.Equal(t, want, get(t, client, "https://example.com/"))
					transport.CloseIdleConnections()
					require.NoError(t, srv.Shutdown(t.Context()))
					require.ErrorIs(t, <-done, http.ErrServerClosed)
				})
			})
		}
	}
}

// In a bubble it is the year 2000, when the certificate is not valid yet or no more.
func certTime() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// naive is the accept loop of many programs: one error ends it.
func naive(ln net.Listener, handle func(net.Conn)) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go handle(c)
	}
}

func TestNaiveLoopDiesOfOneError(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		done := make(chan error, 1)
		go func() { done <- naive(ln, func(c net.Conn) { c.Close() }) }()
		aborted := errors.New("connection aborted")
		ln.InjectAcceptError(aborted)
		synctest.Wait()
		require.ErrorIs(t, <-done, aborted)
	})
}

func TestNetworkRoutesByAddress(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var n testkit.Network
		for _, name := range []string{"one", "two"} {
			serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, name)
			})}, n.Listen(t))
		}
		client := &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
		require.Equal(t, "one", get(t, client, "http://192.0.2.1:1001/"))
		require.Equal(t, "two", get(t, client, "http://192.0.2.1:1002/"))
		_, err := client.Get("http://192.0.2.1:1003/")
		require.ErrorContains(t, err, "connection refused")
	})
}

func TestIPv6(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		n := &testkit.Network{IPv6: true}
		n.Listen(t)
		ln := n.Listen(t)
		require.Equal(t, "[2001:db8::1]:1002", ln.Addr().String())
		c, err := n.DialContext(context.Background(), "tcp", ln.Addr().String())
		require.NoError(t, err)
		require.Equal(t, "[2001:db8::2]:11001", c.LocalAddr().String())
		line := make(chan string)
		go func() {
			s, _ := ln.Accept()
			text, _ := bufio.NewReader(s).ReadString('\n')
			line <- text
			s.Close()
		}()
		fmt.Fprintln(c, "over six")
		require.Equal(t, "over six\n", <-line)
		c.Close()
	})
}
