package testkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/listengroup/listengroup/testkit"
)

func ExampleListen() {
	run(func(t *testing.T) {
		ln := testkit.Listen(t, testkit.Pipe())
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			io.Copy(c, c)
		}()
		c, err := ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "echo")
		c.CloseWrite()
		got, err := io.ReadAll(c)
		fmt.Printf("%s %v from %v\n", got, err, ln.Addr())
	})
	// Output: echo <nil> from 192.0.2.1:1001
}

func ExampleListener_DialContext() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "hello ", r.RemoteAddr)
			})}
			go srv.Serve(ln)
			defer srv.Close()

			client := &http.Client{Transport: &http.Transport{DialContext: ln.DialContext}}
			res, err := client.Get("http://example.com/")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			fmt.Println(string(body))
		})
	})
	// Output: hello 192.0.2.2:10001
}

func ExampleNetwork() {
	run(func(t *testing.T) {
		n := &testkit.Network{IPv6: true}
		first, second := n.Listen(t), n.Listen(t)
		fmt.Println(first.Addr(), second.Addr())

		c, err := n.DialContext(t.Context(), "tcp", "[2001:db8::1]:1002")
		fmt.Println(err, first.Pending(), second.Pending())
		c.Close()
		second.Close()
		_, err = n.DialContext(t.Context(), "tcp", "[2001:db8::1]:1002")
		fmt.Println(err)
	})
	// Output:
	// [2001:db8::1]:1001 [2001:db8::1]:1002
	// <nil> 0 1
	// dial tcp [2001:db8::1]:1002: connect: connection refused
}

func ExampleListener_NewConnConfig() {
	run(func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.SetAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 10), Port: 443})
		c := ln.NewConnConfig(func(c *testkit.Conn) {
			c.SetLocalAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 66), Port: 6666})
			c.Peer().Set(testkit.Reads, testkit.Faults{EOF: true}) // the server's end, before it is accepted
		})
		defer c.Close()
		s, _ := ln.Accept()
		_, err := s.Read(make([]byte, 1))
		fmt.Println(s.LocalAddr(), s.RemoteAddr(), err)
	})
	// Output: 192.0.2.10:443 192.0.2.66:6666 EOF
}

func ExampleListener_InjectAcceptError() {
	run(func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.NewConn()
		ln.InjectAcceptError(syscall.ECONNABORTED)
		ln.NewConn()
		for range 3 {
			_, err := ln.Accept()
			fmt.Println(err)
		}
	})
	// Output:
	// <nil>
	// accept tcp 192.0.2.1:1001: accept4: software caused connection abort
	// <nil>
}

func ExampleListener_SetAcceptError() {
	run(func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.NewConn()
		ln.SetAcceptError(syscall.ENFILE)
		for range 2 {
			_, err := ln.Accept()
			fmt.Println(errors.Is(err, syscall.ENFILE), ln.Pending())
		}
		ln.SetAcceptError(nil)
		_, err := ln.Accept()
		fmt.Println(err, ln.Pending())
	})
	// Output:
	// true 1
	// true 1
	// <nil> 0
}

// A connection that Accept returns after the listener was closed: is it served, closed, or forgotten?
func ExampleListener_SetAcceptDelay() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			ln.SetAcceptDelay(2 * time.Second)
			ln.NewConn()
			start := time.Now()
			time.AfterFunc(time.Second, func() { fmt.Println("closed", ln.Close(), time.Since(start)) })
			_, err := ln.Accept()
			fmt.Println("accepted", err, time.Since(start))
		})
	})
	// Output:
	// closed <nil> 1s
	// accepted <nil> 2s
}

func ExampleListener_SetBacklog() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			ln.SetBacklog(1)
			ln.NewConn()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := ln.DialContext(ctx, "tcp", ln.Addr().String())
			fmt.Println(err)
		})
	})
	// Output: dial tcp 192.0.2.2:10002->192.0.2.1:1001: context deadline exceeded
}

func ExampleListener_SetDeadline() {
	run(func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.NewConn()
		ln.SetDeadline(time.Unix(1, 0))
		_, err := ln.Accept()
		fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
		for err = nil; err == nil; { // what a drain does: take what waits, wait for nothing
			_, err = ln.AcceptQueued()
			fmt.Println(err)
		}
	})
	// Output:
	// true
	// <nil>
	// no connection waits
}

func ExampleListener_Abort() {
	run(func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.SetCloseError(syscall.EIO)
		ln.Abort(syscall.EINVAL)
		_, err := ln.Accept()
		fmt.Println(err)
		_, err = ln.Dial()
		fmt.Println(errors.Is(err, syscall.ECONNREFUSED))
		fmt.Println(ln.Close())
	})
	// Output:
	// accept tcp 192.0.2.1:1001: accept4: invalid argument
	// true
	// input/output error
}

func ExampleTestListener() {
	var mk testkit.MakeListener = func(t testkit.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		ln := testkit.Listen(t)
		return ln, func(ctx context.Context) (net.Conn, error) { return ln.DialContext(ctx, "", "") }
	}
	run(func(t *testing.T) { testkit.TestListener(t, mk) })
	fmt.Println("all laws hold")
	// Output: all laws hold
}

// A package declares the laws that its connections break. One that starts to hold is a failure, so the list
// stays true.
func ExampleLawOptions() {
	run(func(t *testing.T) {
		testkit.TestListener(t, func(t testkit.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
			ln := testkit.Listen(t)
			return forgiving{ln}, func(ctx context.Context) (net.Conn, error) { return ln.DialContext(ctx, "", "") }
		}, &testkit.LawOptions{Deviations: map[string]string{
			"ClosedStaysClosed": "Close may be called as often as one likes",
		}})
	})
	fmt.Println("all other laws hold")
	// Output: all other laws hold
}

type forgiving struct{ *testkit.Listener }

func (l forgiving) Close() error {
	l.Listener.Close()
	return nil
}
