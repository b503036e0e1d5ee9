package netx_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/stretchr/testify/require"
)

type proxied struct {
	aToB, bToA int64
	err        error
}

func startProxy(ctx context.Context, a, b net.Conn) <-chan proxied {
	done := make(chan proxied, 1)
	go func() {
		var r proxied
		r.aToB, r.bToA, r.err = netx.Proxy(ctx, a, b)
		done <- r
	}()
	return done
}

// Over every pair of kinds, a request of which only the half-close tells the
// end, and an answer after it.
func TestProxyBothWaysWithHalfClose(t *testing.T) {
	request, answer := payload(payloadSize), payload(payloadSize-1)
	for _, ka := range baseConns {
		for _, kb := range baseConns {
			t.Run(ka.name+"/"+kb.name, func(t *testing.T) {
				a, client := ka.pair(t)
				b, server := kb.pair(t)
				if methodsOf(a)&methodsOf(b)&closeWriteM == 0 {
					t.Skip("without half-close: see the next test")
				}
				served := make(chan error, 1)
				go func() {
					got, err := io.ReadAll(server)
					if err == nil && !bytes.Equal(got, request) {
						err = errors.New("another request arrived")
					}
					if err == nil {
						_, err = server.Write(answer)
					}
					server.Close()
					served <- err
				}()
				sent := make(chan error, 1)
				go func() {
					_, err := client.Write(request)
					sent <- errors.Join(err, netx.CloseWrite(client))
				}()
				done := startProxy(t.Context(), a, b)
				got, err := io.ReadAll(client)
				require.NoError(t, err)
				require.True(t, bytes.Equal(answer, got), "another answer arrived")
				require.NoError(t, <-sent)
				require.NoError(t, <-served)
				require.Equal(t, proxied{aToB: int64(len(request)), bToA: int64(len(answer))}, <-done)
			})
		}
	}
}

// bubblePairs are two in-memory connections with a proxy's ends a and b.
func bubblePairs() (client, a, b, server *memconn.Conn) {
	client, a = memconn.Pair(nil, nil, nil)
	b, server = memconn.Pair(nil, nil, nil)
	return client, a, b, server
}

func TestProxyEnds(t *testing.T) {
	errStop := errors.New("stop")
	for _, c := range []struct {
		name  string
		wrapB func(net.Conn) net.Conn
		// do has the proxy end at one second.
		do   func(t *testing.T, cancel context.CancelCauseFunc, client, server *memconn.Conn)
		want proxied
		is   error // instead of want.err
	}{
		{name: "context, while idle", do: func(t *testing.T, cancel context.CancelCauseFunc, client, server *memconn.Conn) {
			cancel(errStop)
		}, is: errStop},
		{name: "client resets", do: func(t *testing.T, _ context.CancelCauseFunc, client, server *memconn.Conn) {
			require.NoError(t, client.Reset())
		}, is: syscall.ECONNRESET},
		{name: "server resets", do: func(t *testing.T, _ context.CancelCauseFunc, client, server *memconn.Conn) {
			require.NoError(t, server.Reset())
		}, is: syscall.ECONNRESET},
		{name: "both close", do: func(t *testing.T, _ context.CancelCauseFunc, client, server *memconn.Conn) {
			_, err := client.Write([]byte("abc"))
			require.NoError(t, err)
			_, err = io.ReadFull(server, make([]byte, 3))
			require.NoError(t, err)
			require.NoError(t, client.Close())
			require.NoError(t, server.Close())
		}, want: proxied{aToB: 3}},
		{name: "nobody to tell the end", wrapB: func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} },
			do: func(t *testing.T, _ context.CancelCauseFunc, client, server *memconn.Conn) {
				_, err := client.Write([]byte("abc"))
				require.NoError(t, err)
				require.NoError(t, client.CloseWrite())
			}, want: proxied{aToB: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				client, a, b, server := bubblePairs()
				var end net.Conn = b
				if c.wrapB != nil {
					end = c.wrapB(b)
				}
				began := time.Now()
				done := startProxy(ctx, a, end)
				time.Sleep(time.Second)
				c.do(t, cancel, client, server)
				got := <-done
				require.Equal(t, time.Second, time.Since(began))
				if c.is != nil {
					require.ErrorIs(t, got.err, c.is)
					got.err = nil
				}
				require.Equal(t, c.want, got)
				for _, nc := range []net.Conn{client, a, b, server} {
					nc.Close()
				}
			})
		})
	}
}

// The context ends a Proxy whose peers do not read, and the connections are the
// caller's again: open, and without a deadline.
func TestProxyLeavesNothingBehind(t *testing.T) {
	for _, k := range baseConns {
		t.Run(k.name, func(t *testing.T) {
			a, client := k.pair(t)
			b, server := k.pair(t)
			ctx, cancel := context.WithCancel(t.Context())
			a, seenA := recordDeadlines(a)
			b, seenB := recordDeadlines(b)
			done := startProxy(ctx, a, b)
			_, err := client.Write([]byte("first"))
			require.NoError(t, err)
			_, err = io.ReadFull(server, make([]byte, 5))
			require.NoError(t, err)
			cancel()
			got := <-done
			require.ErrorIs(t, got.err, context.Canceled)
			require.EqualValues(t, 5, got.aToB)
			require.Equal(t, []time.Time{time.Unix(1, 0), {}}, *seenA)
			require.Equal(t, []time.Time{time.Unix(1, 0), {}}, *seenB)

			for _, pair := range [][2]net.Conn{{client, a}, {a, client}, {server, b}, {b, server}} {
				wrote := make(chan error, 1)
				go func() {
					_, err := pair[0].Write([]byte("after"))
					wrote <- err
				}()
				_, err := io.ReadFull(pair[1], make([]byte, 5))
				require.NoError(t, err)
				require.NoError(t, <-wrote)
			}
		})
	}
}

// recordDeadlines notes the deadlines set on nc, which Proxy does one at a time.
func recordDeadlines(nc net.Conn) (net.Conn, *[]time.Time) {
	c := &deadlineConn{}
	c.Conn = nc
	return netx.Wrap(c), &c.seen
}

type deadlineConn struct {
	netx.Through
	seen []time.Time
}

func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.seen = append(c.seen, t)
	return c.Conn.SetDeadline(t)
}

// slowDeadline takes a second to set one.
type slowDeadline struct{ net.Conn }

func (c *slowDeadline) SetDeadline(t time.Time) error {
	time.Sleep(time.Second)
	return c.Conn.SetDeadline(t)
}

// The interruption and an orderly end at once: no deadline comes late.
func TestProxyWaitsForItsInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a, b, server := bubblePairs()
		ctx, cancel := context.WithCancel(t.Context())
		recorded, seen := recordDeadlines(b)
		done := startProxy(ctx, a, &slowDeadline{recorded})
		synctest.Wait()
		cancel()
		synctest.Wait() // a is interrupted, b about to be
		server.Close()
		require.ErrorIs(t, (<-done).err, context.Canceled)
		require.Equal(t, []time.Time{time.Unix(1, 0), {}}, *seen)
		client.Close()
		a.Close()
		b.Close()
	})
}

func TestProxyInterruptsAWriteThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a, b, server := bubblePairs()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			for { // nobody reads server
				if _, err := client.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		_, _, err := netx.Proxy(ctx, a, b)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		for _, nc := range []net.Conn{client, a, b, server} {
			nc.Close()
		}
	})
}

func TestProxyWithAContextThatHasEnded(t *testing.T) {
	cause := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	a, _ := closing(t, net.Pipe)
	b, _ := closing(t, net.Pipe)
	require.Equal(t, proxied{err: cause}, <-startProxy(ctx, a, b))
}

// scripted is a connection whose Read and Write are functions.
type scripted struct {
	net.Conn
	read, write func([]byte) (int, error)
}

func (c *scripted) Read(p []byte) (int, error)  { return c.read(p) }
func (c *scripted) Write(p []byte) (int, error) { return c.write(p) }

// A server that answers and closes before it has read the request: the answer
// gets through. The kernel says EPIPE or, if the reset came first, ECONNRESET.
// A side that says nothing and ends at once is no reason for the other not to
// shake hands, and be heard.
func TestProxyHalfClosesTLSBeforeItsHandshake(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain":   func(nc net.Conn) net.Conn { return nc },
		"wrapped": func(nc net.Conn) net.Conn { nc, _ = netx.CountConn(nc, nil); return nc },
	} {
		for side, proxied := range map[string]func(ctx context.Context, tc, other net.Conn) <-chan proxied{
			"a": startProxy,
			"b": func(ctx context.Context, tc, other net.Conn) <-chan proxied { return startProxy(ctx, other, tc) },
		} {
			t.Run(name+"/"+side, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, near := memconn.Pair(nil, nil, nil)
					far, sink := memconn.Pair(nil, nil, nil)
					done := proxied(t.Context(), wrap(tls.Server(near, serverTLS())), far)
					require.NoError(t, sink.CloseWrite())
					time.Sleep(time.Second)
					require.Empty(t, done)
					tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
					_, err := tc.Write(payload(1000))
					require.NoError(t, err)
					_, err = tc.Read(make([]byte, 1))
					require.Equal(t, io.EOF, err)
					require.NoError(t, tc.CloseWrite())
					all, err := io.ReadAll(sink)
					require.NoError(t, err)
					require.Equal(t, payload(1000), all)
					require.NoError(t, (<-done).err)
				})
			})
		}
	}
}

// The handshake that half-closing waits for ends with the client, with ctx, and
// with what is no handshake.
func TestProxyHalfClosesTLSThatNeverShakesHands(t *testing.T) {
	for name, test := range map[string]struct {
		client func(client *memconn.Conn, cancel context.CancelFunc)
		check  func(t *testing.T, err error)
	}{
		"gone":     {func(c *memconn.Conn, _ context.CancelFunc) { c.Close() }, func(t *testing.T, err error) { require.NoError(t, err) }},
		"canceled": {func(_ *memconn.Conn, cancel context.CancelFunc) { cancel() }, func(t *testing.T, err error) { require.Equal(t, context.Canceled, err) }},
		"garbage": {func(c *memconn.Conn, _ context.CancelFunc) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, func(t *testing.T, err error) {
			require.ErrorAs(t, err, new(tls.RecordHeaderError))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, near := memconn.Pair(nil, nil, nil)
				far, sink := memconn.Pair(nil, nil, nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := startProxy(ctx, tls.Server(near, serverTLS()), far)
				require.NoError(t, sink.CloseWrite())
				time.Sleep(time.Second)
				require.Empty(t, done)
				test.client(client, cancel)
				test.check(t, (<-done).err)
			})
		})
	}
}

func TestProxyReadsOnFromASideThatTakesNoMore(t *testing.T) {
	for _, refusal := range []error{syscall.EPIPE, syscall.ECONNRESET} {
		t.Run(refusal.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, a, b, server := bubblePairs()
				answered := false
				early := &scripted{Conn: b,
					write: func([]byte) (int, error) { return 0, &net.OpError{Op: "write", Err: refusal} },
					read: func(p []byte) (int, error) {
						time.Sleep(time.Second)
						if answered {
							return 0, io.EOF
						}
						answered = true
						return copy(p, "too large"), nil
					}}
				done := startProxy(t.Context(), a, early)
				_, err := client.Write([]byte("request"))
				require.NoError(t, err)
				got, err := io.ReadAll(client)
				require.NoError(t, err)
				require.Equal(t, "too large", string(got))
				r := <-done
				require.ErrorIs(t, r.err, refusal)
				require.EqualValues(t, 9, r.bToA)
				for _, nc := range []net.Conn{client, a, b, server} {
					nc.Close()
				}
			})
		})
	}
}

// The same over sockets, where it is a splice that fails and does not say which
// of its ends did.
func TestProxyDeliversWhatCameBeforeAReset(t *testing.T) {
	client, a := tcpPair(t)
	b, server := tcpPair(t)
	answer := payload(32 << 10)
	_, err := b.Write([]byte("half of the request"))
	require.NoError(t, err)
	_, err = client.Write([]byte("the other half"))
	require.NoError(t, err)
	_, err = server.Read(make([]byte, 1))
	require.NoError(t, err)
	_, err = server.Write(answer)
	require.NoError(t, err)
	require.NoError(t, server.Close())                     // with unread bytes: a reset
	require.NoError(t, a.(*net.TCPConn).SetWriteBuffer(1)) // the answer takes its time
	received := make(chan []byte, 1)
	go func() {
		got, _ := io.ReadAll(client)
		received <- got
	}()
	r := <-startProxy(t.Context(), a, b)
	require.NoError(t, a.Close())
	require.True(t, bytes.Equal(answer, <-received))
	require.EqualValues(t, len(answer), r.bToA)
	require.True(t, netx.IsReset(r.err), "%v", r.err)
}

// A client that resets ends both directions, though its server is well.
func TestProxyEndsWhenTheSourceIsReset(t *testing.T) {
	client, a := tcpPair(t)
	b, _ := tcpPair(t)
	done := startProxy(t.Context(), a, b)
	require.NoError(t, netx.Abort(client))
	require.ErrorIs(t, (<-done).err, syscall.ECONNRESET)
}

func TestProxyPassesPanicsToItsCaller(t *testing.T) {
	for _, side := range []string{"a", "b"} {
		for name, ending := range map[string]func([]byte) (int, error){
			"panic":  func([]byte) (int, error) { panic("broken") },
			"Goexit": func([]byte) (int, error) { runtime.Goexit(); return 0, nil },
		} {
			t.Run(name+" in "+side, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, a, b, _ := bubblePairs()
					ends := map[string]net.Conn{"a": a, "b": b}
					ends[side] = &scripted{Conn: ends[side], read: ending, write: a.Write}
					done := make(chan any, 1)
					go func() {
						defer func() { done <- recover() }()
						_, _, err := netx.Proxy(t.Context(), ends["a"], ends["b"])
						require.Error(t, err)
					}()
					if v := <-done; name == "panic" {
						require.Equal(t, "broken", v)
					}
				})
			})
		}
	}
}
