package testkit_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit"
)

func TestQueueIsOneFIFO(t *testing.T) {
	ln := testkit.Listen(t)
	first := ln.NewConn()
	ln.InjectAcceptError(syscall.EMFILE, errInjected)
	second := ln.NewConn()
	require.Equal(t, 2, ln.Pending())

	nc, err := ln.Accept()
	require.NoError(t, err)
	require.Same(t, first.Peer(), nc)
	_, err = ln.Accept()
	require.EqualError(t, err, "accept tcp 192.0.2.1:1001: accept4: too many open files")
	require.ErrorIs(t, err, syscall.EMFILE)
	_, err = ln.AcceptQueued()
	require.EqualError(t, err, "accept tcp 192.0.2.1:1001: injected")
	nc, err = ln.AcceptQueued()
	require.NoError(t, err)
	require.Same(t, second.Peer(), nc)
	require.Zero(t, ln.Pending())
	_, err = ln.AcceptQueued()
	var empty interface{ QueueEmpty() bool }
	require.ErrorAs(t, err, &empty)
	require.True(t, empty.QueueEmpty())
}

func TestStickyError(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		accepted := make(chan error)
		go func() { _, err := ln.Accept(); accepted <- err }()
		synctest.Wait()
		ln.SetAcceptError(syscall.ENOBUFS)
		require.ErrorIs(t, <-accepted, syscall.ENOBUFS)
		c := ln.NewConn()
		_, err := ln.Accept()
		require.ErrorIs(t, err, syscall.ENOBUFS, "connections wait behind it")
		_, err = ln.AcceptQueued()
		require.ErrorIs(t, err, syscall.ENOBUFS)
		ln.SetAcceptError(nil)
		nc, err := ln.Accept()
		require.NoError(t, err)
		require.Same(t, c.Peer(), nc)
	})
}

func TestAnOpErrorStaysAsItIs(t *testing.T) {
	ln := testkit.Listen(t)
	op := &net.OpError{Op: "accept", Net: "unix", Err: errInjected}
	ln.InjectAcceptError(op)
	_, err := ln.Accept()
	require.Same(t, op, err)
}

// A connection taken from the queue before Close comes out after it.
func TestAcceptDelay(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.SetAcceptDelay(3 * time.Second)
		start := time.Now()
		c := ln.NewConn()
		time.AfterFunc(time.Second, func() { ln.Close() })
		nc, err := ln.Accept()
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(start))
		_, err = nc.Write([]byte("late"))
		require.NoError(t, err)
		nc.Close()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "late", string(got))
		_, err = ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestBacklog(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.SetBacklog(2)
		results := make(chan error, 4)
		for range 4 {
			go func() { _, err := ln.Dial(); results <- err }()
		}
		synctest.Wait()
		require.Len(t, results, 2)
		require.Equal(t, 2, ln.Pending())

		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errInjected)
		defer cancel()
		start := time.Now()
		_, err := ln.DialContext(ctx, "tcp", "anything")
		require.ErrorIs(t, err, errInjected)
		require.Equal(t, time.Minute, time.Since(start))

		_, err = ln.Accept()
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, results, 3)
		ln.SetBacklog(3)
		synctest.Wait()
		require.Len(t, results, 4)
		require.Equal(t, 3, ln.Pending())
	})
}

func TestCloseEndsWaitingDials(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.SetBacklog(1)
		ln.NewConn()
		refused := make(chan error)
		go func() { _, err := ln.Dial(); refused <- err }()
		synctest.Wait()
		require.NoError(t, ln.Close())
		require.ErrorIs(t, <-refused, syscall.ECONNREFUSED)
	})
}

func TestAbort(t *testing.T) {
	for _, tr := range []testkit.Transport{{}, testkit.Loopback()} {
		t.Run(tr.String(), func(t *testing.T) {
			ln := testkit.Listen(t, tr)
			c := ln.NewConn()
			ln.Abort(errInjected)
			ln.Abort(errors.New("too late"))
			_, err := ln.Accept()
			require.ErrorIs(t, err, errInjected)
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			_, err = ln.Dial()
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			ln.SetAcceptError(nil)
			_, err = ln.Accept()
			require.ErrorIs(t, err, errInjected, "it stays broken")
			require.NoError(t, ln.Close())
		})
	}
}

func TestCloseError(t *testing.T) {
	ln := testkit.Listen(t)
	ln.SetCloseError(errInjected)
	require.ErrorIs(t, ln.Close(), errInjected)
	require.ErrorIs(t, ln.Close(), net.ErrClosed)
	_, err := ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestNewConnConfig(t *testing.T) {
	for _, tr := range []testkit.Transport{{}, testkit.Loopback()} {
		t.Run(tr.String(), func(t *testing.T) {
			ln := testkit.Listen(t, tr)
			c := ln.NewConnConfig(func(c *testkit.Conn) {
				c.SetLocalAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 99), Port: 9})
				c.Peer().Set(testkit.Reads, testkit.Faults{Err: errInjected})
			})
			defer c.Close()
			s, err := ln.Accept()
			require.NoError(t, err)
			require.Equal(t, "192.0.2.99:9", s.RemoteAddr().String())
			_, err = s.Read(make([]byte, 1))
			require.ErrorIs(t, err, errInjected)
		})
	}
}

// Close while a Dial is between its place in the backlog and the queue.
func TestCloseUnderADial(t *testing.T) {
	for _, tr := range []testkit.Transport{{}, testkit.Loopback()} {
		t.Run(tr.String(), func(t *testing.T) {
			ln := testkit.Listen(t, tr)
			c := ln.NewConnConfig(func(*testkit.Conn) { ln.Close() })
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Zero(t, ln.Pending())
		})
	}
}

func TestSetAddr(t *testing.T) {
	ln := testkit.Listen(t)
	ln.SetAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 80), Port: 443})
	require.Equal(t, "192.0.2.80:443", ln.Addr().String())
	require.Equal(t, ln.Addr(), ln.NewConn().RemoteAddr())
}

// Whoever has the address of a Loopback listener can connect, not only its own Dial.
func TestLoopbackTakesStrangers(t *testing.T) {
	ln := testkit.Listen(t, testkit.Loopback())
	for range 20 {
		stranger := make(chan net.Conn, 1)
		go func() {
			nc, _ := net.Dial("tcp", ln.Addr().String())
			stranger <- nc
		}()
		own := ln.NewConn()
		seen := map[string]bool{}
		for range 2 {
			nc, err := ln.Accept()
			require.NoError(t, err)
			seen[nc.RemoteAddr().String()] = true
			require.NoError(t, nc.Close())
		}
		nc := <-stranger
		require.Equal(t, map[string]bool{own.LocalAddr().String(): true, nc.LocalAddr().String(): true}, seen)
		own.Close()
		nc.Close()
	}
}

func TestDialsAndCloseAtOnce(t *testing.T) {
	for _, tr := range []testkit.Transport{{}, testkit.Loopback()} {
		t.Run(tr.String(), func(t *testing.T) {
			for range 20 {
				ln := testkit.Listen(t, tr)
				results := make(chan error)
				for range 8 {
					go func() {
						c, err := ln.Dial()
						if err == nil {
							// Never accepted, so the end comes by Close of the listener.
							c.SetDeadline(time.Now().Add(time.Minute))
							_, err = c.Read(make([]byte, 1))
							c.Close()
						}
						results <- err
					}()
				}
				ln.Close()
				for range 8 {
					err := <-results
					require.Error(t, err)
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
				}
			}
		})
	}
}

func TestNoErrorIsNotInjected(t *testing.T) {
	ln := testkit.Listen(t)
	ln.InjectAcceptError(nil)
	c := ln.NewConn()
	nc, err := ln.Accept()
	require.NoError(t, err)
	require.Same(t, c.Peer(), nc)
}

// The client's end is the test's, as NewConnPair's ends are: nobody has to close it.
func TestNewConnIsClosedAtTheEnd(t *testing.T) {
	for _, tr := range append(memory[:2:2], testkit.Loopback()) {
		t.Run(tr.String(), func(t *testing.T) {
			test := func(t *testing.T) *testkit.Conn {
				ln := testkit.Listen(t, tr)
				c := ln.NewConn()
				c.Set(testkit.Reads, testkit.Faults{Stall: true})
				go c.Read(make([]byte, 1))
				s, err := ln.Accept()
				require.NoError(t, err)
				require.NoError(t, s.Close())
				for range 1000 {
					ln.NewConn().Close()
					ln.AcceptQueued()
				}
				return c
			}
			var c *testkit.Conn
			if tr == testkit.Loopback() {
				t.Run("test", func(t *testing.T) { c = test(t) })
			} else {
				testkit.Bubble(t, func(t *testing.T) { c = test(t) }) // which fails when the Read goes on
			}
			require.True(t, c.IsClosed())
		})
	}
}
