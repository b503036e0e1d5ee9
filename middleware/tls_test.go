package middleware_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleTLS() {
	cfg := &tls.Config{Certificates: []tls.Certificate{localhostCert()}, NextProtos: []string{"chat/1"}}
	g := lgrp.New(lgrp.Typed[struct{}, struct{}](func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		_, isTLS := nc.(*tls.Conn)
		_, err := fmt.Fprintf(nc, "%s %s %t", c.Info().ServerName, c.Info().Protocol, isTLS)
		return err
	}), nil)
	g.Use(middleware.TLS(cfg, &middleware.TLSOptions{Timeout: 5 * time.Second}))
	l, err := g.Listen(context.Background(), "127.0.0.1:0", struct{}{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	nc, err := tls.Dial("tcp", l.Addr().String(), clientTLS("chat/1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	reply, err := io.ReadAll(nc) // to the close_notify
	fmt.Println(string(reply), err)
	// Output: localhost chat/1 true <nil>
}

func TestTLSEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		client  func(nc *testkit.Conn) // what it does
		after   time.Duration          // when the server ends it
		timeout time.Duration
		is      error
		text    string
	}{
		"silent":            {client: func(*testkit.Conn) {}, after: 10 * time.Second, is: os.ErrDeadlineExceeded},
		"silent, 3 seconds": {client: func(*testkit.Conn) {}, timeout: 3 * time.Second, after: 3 * time.Second, is: os.ErrDeadlineExceeded},
		"drips": {client: func(nc *testkit.Conn) {
			for _, b := range []byte("\x16\x03\x01\x40\x00\x01\x00\x3f") {
				time.Sleep(time.Second)
				nc.Write([]byte{b})
			}
		}, after: 10 * time.Second, is: os.ErrDeadlineExceeded},
		"garbage":        {client: func(nc *testkit.Conn) { nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, text: "does not look like a TLS handshake"},
		"gone":           {client: func(nc *testkit.Conn) { nc.Close() }, is: io.EOF},
		"reset":          {client: func(nc *testkit.Conn) { nc.Reset() }, text: "reset"},
		"wrong protocol": {client: func(nc *testkit.Conn) { tls.Client(nc, clientTLS("other")).Handshake() }, text: "protocol"},
		"unknown authority": {client: func(nc *testkit.Conn) {
			cfg := clientTLS("chat")
			cfg.RootCAs = x509.NewCertPool()
			tls.Client(nc, cfg).Handshake()
		}, text: "bad certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				s := newStage(t, func(context.Context, net.Conn, *lgrp.AnyConn) error {
					t.Error("next was called")
					return nil
				}, middleware.TLS(serverTLS("chat"), &middleware.TLSOptions{Timeout: tc.timeout}))
				begun := time.Now()
				nc := s.dial()
				tc.client(nc)
				e := s.awaitEnds(t, 1)[0]
				if tc.after > 0 {
					require.Equal(t, tc.after, time.Since(begun))
				}
				require.Equal(t, lgrp.ReasonHandshake, e.why)
				require.ErrorContains(t, e.err, "middleware: TLS handshake: ")
				if tc.is != nil {
					require.ErrorIs(t, e.err, tc.is)
				}
				require.ErrorContains(t, e.err, tc.text)
			})
		})
	}
}

func TestTLSKeepsItsRules(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		h      lgrp.Handler
		client func(t *testing.T, s *stage, nc *tls.Conn)
		why    lgrp.Reason
		is     error
	}{
		"sends close_notify": {
			h: func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil },
			client: func(t *testing.T, _ *stage, nc *tls.Conn) {
				_, err := nc.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err) // a truncation would be io.ErrUnexpectedEOF
			},
			why: lgrp.ReasonReturned,
		},
		"returns next's error": {
			h:      func(context.Context, net.Conn, *lgrp.AnyConn) error { return boom },
			client: func(t *testing.T, _ *stage, nc *tls.Conn) { io.Copy(io.Discard, nc) },
			why:    lgrp.ReasonError, is: boom,
		},
		"a peer that does not read delays the end by 5 seconds at most": {
			h: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				nc.SetWriteDeadline(time.Now().Add(time.Second))
				_, err := nc.Write(make([]byte, 1<<20))
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					return err
				}
				return boom
			},
			client: func(t *testing.T, s *stage, nc *tls.Conn) {
				begun := time.Now()
				s.awaitEnds(t, 1)
				require.LessOrEqual(t, time.Since(begun), 6*time.Second)
			},
			why: lgrp.ReasonError, is: boom,
		},
		"leaves no deadline behind": {
			h: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				_, err := io.Copy(nc, nc)
				return err
			},
			client: func(t *testing.T, _ *stage, nc *tls.Conn) {
				time.Sleep(time.Hour)
				fmt.Fprint(nc, "late")
				nc.CloseWrite()
				all, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.Equal(t, "late", string(all))
			},
			why: lgrp.ReasonReturned,
		},
		"the killer's cause stays": {
			h: func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				_, err := io.Copy(nc, nc)
				return err
			},
			client: func(t *testing.T, s *stage, nc *tls.Conn) {
				time.Sleep(time.Second)
				require.True(t, s.Kill(1, boom))
			},
			why: lgrp.ReasonKilled, is: boom,
		},
		"closing is heard beneath": {
			h: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				closed, ok := netx.CloseNotify(nc)
				if !ok {
					return boom
				}
				nc.Close()
				<-closed
				return nil
			},
			client: func(t *testing.T, _ *stage, nc *tls.Conn) { io.Copy(io.Discard, nc) },
			why:    lgrp.ReasonReturned,
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				s := newStage(t, tc.h, middleware.TLS(serverTLS("chat")))
				nc := tls.Client(s.dial(), clientTLS("chat"))
				require.NoError(t, nc.Handshake())
				tc.client(t, s, nc)
				e := s.awaitEnds(t, 1)[0]
				require.Equal(t, tc.why, e.why, "%v", e.err)
				require.ErrorIs(t, e.err, tc.is)
				require.Equal(t, "localhost", e.info.ServerName)
				require.Equal(t, "chat", e.info.Protocol)
			})
		})
	}
}

// A connection that is killed in its handshake ends with the killer's reason.
func TestTLSKilledWhileHandshaking(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		s := newStage(t, echo, middleware.TLS(serverTLS()))
		s.dial()
		time.Sleep(time.Second)
		require.True(t, s.Kill(1, nil))
		e := s.awaitEnds(t, 1)[0]
		require.Equal(t, lgrp.ReasonKilled, e.why)
		require.ErrorIs(t, e.err, lgrp.ErrKilled)
	})
}

// CloseWrite sets a deadline of its own, and leaves it behind: not only when
// it succeeds.
func TestTLSLeavesNoDeadline(t *testing.T) {
	for name, last := range map[string]func(client *testkit.Conn, nc net.Conn){
		"close_notify is sent":         func(*testkit.Conn, net.Conn) {},
		"close_notify was sent":        func(_ *testkit.Conn, nc net.Conn) { _ = nc.(*tls.Conn).CloseWrite() },
		"nobody can hear close_notify": func(client *testkit.Conn, _ net.Conn) { client.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				client, server := testkit.NewConnPair(t)
				hello := make(chan error, 1)
				go func() { hello <- tls.Client(client, clientTLS()).Handshake() }()
				spy := &deadlineSpy{Conn: server}
				h := middleware.TLS(serverTLS())(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					require.NoError(t, <-hello)
					last(client, nc)
					return nil
				})
				require.NoError(t, h(t.Context(), spy, &lgrp.AnyConn{}))
				require.True(t, spy.write.IsZero(), spy.write)
			})
		})
	}
}

// deadlineSpy knows the deadline for writing that was set last.
type deadlineSpy struct {
	net.Conn
	write time.Time
}

func (c *deadlineSpy) SetWriteDeadline(t time.Time) error {
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}

func (c *deadlineSpy) SetDeadline(t time.Time) error {
	c.write = t
	return c.Conn.SetDeadline(t)
}

// The callbacks of a tls.Config find the connection by the hello's context.
func TestTLSCallbackFindsConn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var id uint64
		s := newStage(t, echo, middleware.TLS(&tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c, ok := lgrp.AnyFromContext(hello.Context()); ok {
				id = c.ID()
			}
			cert := localhostCert()
			return &cert, nil
		}}))
		require.NoError(t, tls.Client(s.dial(), clientTLS()).Handshake())
		require.EqualValues(t, 1, id)
	})
}

func TestTLSPanicsOnMisuse(t *testing.T) {
	for name, f := range map[string]func(){
		"nil config":      func() { middleware.TLS(nil) },
		"no certificates": func() { middleware.TLS(&tls.Config{}) },
		"two options":     func() { middleware.TLS(serverTLS(), nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text, _ := recover().(string)
				require.True(t, strings.HasPrefix(text, "middleware: TLS "), text)
			}()
			f()
		})
	}
}

// What TLS adds to what crypto/tls allocates for a connection.
func TestTLSAllocations(t *testing.T) {
	cfg, ccfg := serverTLS("chat"), clientTLS("chat")
	ccfg.InsecureSkipVerify = true
	run := func(server func(nc net.Conn)) float64 {
		return testing.AllocsPerRun(50, func() {
			a, b := testkit.NewConnPair(t)
			done := make(chan error, 1)
			go func() {
				tc := tls.Client(a, ccfg)
				_, err := tc.Read(make([]byte, 1))
				done <- err
			}()
			server(b)
			<-done
			a.Close()
			b.Close()
		})
	}
	h := middleware.TLS(cfg)(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	// A handshake varies, and with the race detector so does what a sync.Pool
	// keeps: the least of some differences is the one to look at.
	more := math.Inf(1)
	for range 3 {
		bare := run(func(nc net.Conn) {
			tc := tls.Server(nc, cfg)
			tc.Handshake()
			tc.CloseWrite()
		})
		more = min(more, run(func(nc net.Conn) { h(context.Background(), nc, &lgrp.AnyConn{}) })-bare)
	}
	// The notifier, the record and its side, a context, a timer.
	require.LessOrEqual(t, more, 8.0)
}

// A context that ends is not what ends a handshake: the connection would be
// closed before it has its reason.
func TestTLSHandshakeOutlivesContexts(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		hurried := func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return next(ctx, nc, c)
			}
		}
		s := newStage(t, echo, hurried, middleware.TLS(serverTLS()))
		begun := time.Now()
		s.dial()
		e := s.awaitEnds(t, 1)[0]
		require.Equal(t, 10*time.Second, time.Since(begun))
		require.ErrorIs(t, e.err, os.ErrDeadlineExceeded)
	})
}
