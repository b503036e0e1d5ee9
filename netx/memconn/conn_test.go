package memconn_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/listengroup/listengroup/netx/memconn"
)

var (
	clientAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.2:40001"))
	serverAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:80"))
)

var kinds = []struct {
	name string
	opts *memconn.Options
}{
	{"default", nil},
	{"small", &memconn.Options{Size: 32}},
	{"latency", &memconn.Options{Latency: time.Microsecond}},
	{"sync", &memconn.Options{Sync: true}},
	{"sync with latency", &memconn.Options{Sync: true, Latency: time.Microsecond}},
}

func TestNettest(t *testing.T) {
	for _, k := range kinds {
		if testing.Short() && k.opts != nil {
			continue // half a second of real time each
		}
		t.Run(k.name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := memconn.Pair(clientAddr, serverAddr, k.opts)
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestErrors(t *testing.T) {
	type ends struct{ a, b *memconn.Conn }
	buf := make([]byte, 16)
	read := func(c *memconn.Conn) error { _, err := c.Read(buf); return err }
	write := func(c *memconn.Conn) error { _, err := c.Write([]byte("x")); return err }
	tests := []struct {
		name string
		do   func(ends) error
		want []error
	}{
		{"read after own close", func(e ends) error { e.a.Close(); return read(e.a) }, []error{net.ErrClosed, io.ErrClosedPipe}},
		{"write after own close", func(e ends) error { e.a.Close(); return write(e.a) }, []error{net.ErrClosed, io.ErrClosedPipe}},
		{"second close", func(e ends) error { e.a.Close(); return e.a.Close() }, []error{net.ErrClosed, io.ErrClosedPipe}},
		{"reset after close", func(e ends) error { e.a.Close(); return e.a.Reset() }, []error{net.ErrClosed}},
		{"half-close after close", func(e ends) error { e.a.Close(); return e.a.CloseWrite() }, []error{net.ErrClosed}},
		{"deadline after own close", func(e ends) error { e.a.Close(); return e.a.SetDeadline(time.Now()) }, []error{net.ErrClosed}},
		{"deadline after peer's close", func(e ends) error { e.b.Close(); return e.a.SetDeadline(time.Now()) }, []error{nil}},
		{"read after peer's close", func(e ends) error { e.b.Close(); return read(e.a) }, []error{io.EOF}},
		{"write after peer's close", func(e ends) error { e.b.Close(); return write(e.a) }, []error{syscall.EPIPE}},
		{"read after half-close", func(e ends) error { e.b.CloseWrite(); return read(e.a) }, []error{io.EOF}},
		{"write after peer's half-close", func(e ends) error { e.b.CloseWrite(); return write(e.a) }, []error{nil}},
		{"write after own half-close", func(e ends) error { e.a.CloseWrite(); return write(e.a) }, []error{syscall.EPIPE}},
		{"second half-close", func(e ends) error { e.a.CloseWrite(); return e.a.CloseWrite() }, []error{nil}},
		{"read after reset", func(e ends) error { e.b.Reset(); return read(e.a) }, []error{syscall.ECONNRESET}},
		{"write after reset", func(e ends) error { e.b.Reset(); return write(e.a) }, []error{syscall.ECONNRESET}},
		{"read after close with unread data", func(e ends) error { write(e.a); e.b.Close(); return read(e.a) }, []error{syscall.ECONNRESET}},
		{"write after close with unread data", func(e ends) error { write(e.a); e.b.Close(); return write(e.a) }, []error{syscall.ECONNRESET}},
		{"own half-close does not hide a reset", func(e ends) error { e.a.CloseWrite(); e.b.Reset(); return read(e.a) }, []error{syscall.ECONNRESET}},
		{"a reset does not undo an end of stream", func(e ends) error { e.b.CloseWrite(); e.b.Reset(); return read(e.a) }, []error{io.EOF}},
		{"write after an end of stream and a reset", func(e ends) error { e.b.CloseWrite(); e.b.Reset(); return write(e.a) }, []error{syscall.EPIPE}},
		{"read after CloseRead", func(e ends) error { write(e.b); e.a.CloseRead(); return read(e.a) }, []error{io.EOF}},
		{"write after peer's CloseRead", func(e ends) error { e.b.CloseRead(); return write(e.a) }, []error{nil}},
		{"CloseRead then close is clean", func(e ends) error { write(e.a); e.b.CloseRead(); e.b.Close(); return read(e.a) }, []error{io.EOF}},
		{"empty read", func(e ends) error { _, err := e.a.Read(nil); return err }, []error{nil}},
		{"empty read after own close", func(e ends) error { e.a.Close(); _, err := e.a.Read(nil); return err }, []error{net.ErrClosed}},
		{"empty write", func(e ends) error { _, err := e.a.Write(nil); return err }, []error{nil}},
		{"empty write after peer's close", func(e ends) error { e.b.Close(); _, err := e.a.Write(nil); return err }, []error{syscall.EPIPE}},
		{"read past the deadline", func(e ends) error { write(e.b); e.a.SetDeadline(time.Unix(1, 0)); return read(e.a) }, []error{os.ErrDeadlineExceeded}},
		{"write past the deadline", func(e ends) error { e.a.SetDeadline(time.Unix(1, 0)); return write(e.a) }, []error{os.ErrDeadlineExceeded}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := memconn.Pair(clientAddr, serverAddr, nil)
			err := tt.do(ends{a, b})
			for _, want := range tt.want {
				require.ErrorIs(t, err, want)
			}
			var op *net.OpError
			if err != nil && err != io.EOF {
				require.ErrorAs(t, err, &op)
				require.Equal(t, "tcp", op.Net)
			}
		})
	}
}

func TestResetKeepsWhatArrived(t *testing.T) {
	a, b := memconn.Pair(clientAddr, serverAddr, nil)
	_, err := a.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, a.Reset())
	got, err := io.ReadAll(b)
	require.Equal(t, "hello", string(got))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestBlockedWriteEnds(t *testing.T) {
	tests := []struct {
		name string
		do   func(a, b *memconn.Conn)
		want error
	}{
		{"own close", func(a, b *memconn.Conn) { a.Close() }, net.ErrClosed},
		{"peer's close", func(a, b *memconn.Conn) { b.Close() }, syscall.ECONNRESET},
		{"peer's reset", func(a, b *memconn.Conn) { b.Reset() }, syscall.ECONNRESET},
		{"deadline", func(a, b *memconn.Conn) { a.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"half-close", func(a, b *memconn.Conn) { a.CloseWrite() }, syscall.EPIPE},
		{"peer's CloseRead", func(a, b *memconn.Conn) { b.CloseRead() }, nil},
	}
	for _, opts := range []*memconn.Options{{Size: 10}, {Sync: true}} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := memconn.Pair(clientAddr, serverAddr, opts)
					type result struct {
						n   int
						err error
					}
					done := make(chan result, 1)
					go func() {
						n, err := a.Write(make([]byte, 25))
						done <- result{n, err}
					}()
					_, err := io.ReadFull(b, make([]byte, 5))
					require.NoError(t, err)
					synctest.Wait()
					require.Empty(t, done)
					tt.do(a, b)
					got := <-done
					if tt.want == nil {
						require.Equal(t, result{n: 25}, got)
						return
					}
					require.ErrorIs(t, got.err, tt.want)
					want := 15 // five were read, ten are in the buffer
					if opts.Sync {
						want = 5
					}
					require.Equal(t, want, got.n)
				})
			})
		}
	}
}

// A Write whose last byte was read has succeeded, also when the reader closes right behind it.
func TestSyncWriteReadThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pair(clientAddr, serverAddr, &memconn.Options{Sync: true})
		done := make(chan error, 1)
		go func() { _, err := a.Write([]byte("ping")); done <- err }()
		synctest.Wait()
		_, err := io.ReadFull(b, make([]byte, 4))
		require.NoError(t, err)
		require.NoError(t, b.Close())
		require.NoError(t, <-done)
	})
}

func TestSyncCloseUnderAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pair(clientAddr, serverAddr, &memconn.Options{Sync: true})
		wrote, read := make(chan error, 1), make(chan error, 1)
		go func() { _, err := a.Write([]byte("ping")); wrote <- err }()
		synctest.Wait()
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-wrote, net.ErrClosed)
		go func() { _, err := b.Read(make([]byte, 4)); read <- err }()
		require.ErrorIs(t, <-read, io.EOF)
	})
}

func TestConcurrentWritesDoNotMix(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pair(clientAddr, serverAddr, k.opts)
				for _, c := range "xyz" {
					go a.Write([]byte{byte(c), byte(c), byte(c), byte(c)})
				}
				got := make([]byte, 12)
				_, err := io.ReadFull(b, got)
				require.NoError(t, err)
				for i := range 3 {
					m := got[4*i : 4*i+4]
					require.Equal(t, []byte{m[0], m[0], m[0], m[0]}, m, "%s", got)
				}
			})
		})
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lat = 3 * time.Second
		start := time.Now()
		a, b := memconn.Pair(clientAddr, serverAddr, &memconn.Options{Latency: lat})
		buf := make([]byte, 10)
		go func() {
			a.Write([]byte("one"))
			time.Sleep(time.Second)
			a.Write([]byte("two"))
			a.Close()
		}()
		n, err := b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "one", string(buf[:n]))
		require.Equal(t, lat, time.Since(start))

		_, err = b.Write([]byte("x"))
		require.NoError(t, err, "the close has not arrived yet")
		b.SetReadDeadline(time.Now().Add(time.Second / 2))
		_, err = b.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, lat+time.Second/2, time.Since(start))
		b.SetReadDeadline(time.Time{})

		n, err = b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "two", string(buf[:n]))
		_, err = b.Read(buf)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, lat+time.Second, time.Since(start))
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
	})
}

// The end of the stream, a reset and the news that nobody reads any more travel like bytes.
func TestLatencyOfTheEnd(t *testing.T) {
	const lat = 3 * time.Second
	tests := []struct {
		name        string
		end         func(c *memconn.Conn) error
		read, write error
	}{
		{"half-close", (*memconn.Conn).CloseWrite, io.EOF, nil},
		{"close", (*memconn.Conn).Close, syscall.ECONNRESET, syscall.ECONNRESET},
		{"reset", (*memconn.Conn).Reset, syscall.ECONNRESET, syscall.ECONNRESET},
	}
	for _, sync := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					a, b := memconn.Pair(clientAddr, serverAddr, &memconn.Options{Latency: lat, Size: 1, Sync: sync})
					time.AfterFunc(time.Second, func() { tt.end(b) })
					wrote := make(chan error, 1)
					go func() {
						a.SetWriteDeadline(start.Add(time.Minute))
						_, err := a.Write([]byte("xy"))
						wrote <- err
					}()
					_, err := a.Read(make([]byte, 1))
					require.ErrorIs(t, err, tt.read)
					require.Equal(t, time.Second+lat, time.Since(start))
					if tt.write == nil {
						require.NoError(t, a.Close())
						require.ErrorIs(t, <-wrote, net.ErrClosed)
						return
					}
					err = <-wrote // not cleanly closed either: x was never read
					require.ErrorIs(t, err, syscall.ECONNRESET)
					require.Equal(t, time.Second+lat, time.Since(start))
				})
			})
		}
	}
}

func TestListener(t *testing.T) {
	ctx := t.Context()
	ln := memconn.Listen(serverAddr, &memconn.Options{Backlog: 2})
	_, err := ln.AcceptQueued()
	var empty interface{ QueueEmpty() bool }
	require.ErrorAs(t, err, &empty)
	require.True(t, empty.QueueEmpty())

	first, err := ln.Dial(ctx, clientAddr)
	require.NoError(t, err)
	require.Equal(t, serverAddr, first.RemoteAddr())
	second, err := ln.Dial(ctx, clientAddr)
	require.NoError(t, err)
	late, cancel := context.WithCancel(ctx)
	cancel()
	_, err = ln.Dial(late, clientAddr)
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, ln.SetDeadline(time.Unix(1, 0)))
	_, err = ln.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	nc, err := ln.AcceptQueued()
	require.NoError(t, err)
	require.Equal(t, clientAddr, nc.RemoteAddr())
	_, err = first.Write([]byte("x"))
	require.NoError(t, err)

	require.NoError(t, ln.Close())
	_, err = second.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = nc.Read(make([]byte, 1))
	require.NoError(t, err, "accepted connections live on")
	for name, err := range map[string]error{
		"close":    ln.Close(),
		"accept":   func() error { _, err := ln.Accept(); return err }(),
		"queued":   func() error { _, err := ln.AcceptQueued(); return err }(),
		"deadline": ln.SetDeadline(time.Time{}),
	} {
		require.ErrorIs(t, err, net.ErrClosed, name)
	}
	_, err = ln.Dial(ctx, clientAddr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestListenerBacklogWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := memconn.Listen(serverAddr, &memconn.Options{Backlog: 1})
		results := make(chan error)
		for range 3 {
			go func() {
				c, err := ln.Dial(t.Context(), clientAddr)
				if err == nil {
					defer c.Close()
				}
				results <- err
			}()
		}
		require.NoError(t, <-results)
		synctest.Wait()
		_, err := ln.Accept()
		require.NoError(t, err)
		require.NoError(t, <-results)
		require.NoError(t, ln.Close())
		require.ErrorIs(t, <-results, syscall.ECONNREFUSED)
	})
}

func TestAcceptDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := memconn.Listen(serverAddr, nil)
		start := time.Now()
		require.NoError(t, ln.SetDeadline(start.Add(time.Hour)))
		time.AfterFunc(time.Second, func() { ln.SetDeadline(start.Add(time.Minute)) })
		_, err := ln.Accept()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
	})
}
