package testkit_test

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listengroup/listengroup/testkit"
)

// run runs the test of an example, once. What go test was told (-v, -count, -cpu) is for the examples, not for it.
func run(test func(t *testing.T)) {
	verbose := flag.Lookup("test.v").Value
	old := verbose.String()
	verbose.Set("false")
	defer verbose.Set(old)
	var once sync.Once
	testing.RunTests(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "TestExample", F: func(t *testing.T) { once.Do(func() { test(t) }) }}})
}

// Two things that are wrong with many servers, and how they show: the accept loop ends at the first error,
// here one of a process that is short of descriptors for a moment, and the connections behind it are lost.
func Example_naiveAcceptLoop() {
	serve := func(ln net.Listener) error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				fmt.Fprintln(c, "welcome")
			}()
		}
	}

	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			done := make(chan error, 1)
			go func() { done <- serve(ln) }()

			err := new(testkit.Script).Expect("welcome\n").ExpectEOF().Run(ln.NewConn())
			fmt.Println("first client:", err)

			ln.InjectAcceptError(syscall.EMFILE)
			synctest.Wait()
			fmt.Println("server:", <-done)

			err = new(testkit.Script).Expect("welcome\n").Run(ln.NewConn())
			first, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Println("second client:", first)
			fmt.Println("never accepted:", ln.Pending())
		})
	})
	// Output:
	// first client: <nil>
	// server: accept tcp 192.0.2.1:1001: accept4: too many open files
	// second client: testkit: script step 1 of 1: Expect("welcome\n"): got "", then: read tcp 192.0.2.2:10002->192.0.2.1:1001: i/o timeout
	// never accepted: 1
}

// A handler that takes one Read for one line works until the network cuts a line in two.
func Example_oneReadPerLine() {
	handle := func(c net.Conn) {
		defer c.Close()
		buf := make([]byte, 100)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "you said %q", strings.TrimSpace(string(buf[:n])))
		}
	}

	talk := func(t *testing.T, chunks ...string) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			go handle(server)
			err := new(testkit.Script).SendChunks(time.Millisecond, chunks...).Sleep(time.Millisecond).
				Expect(`you said "hello"`).Run(client)
			fmt.Println(err)
		})
	}
	run(func(t *testing.T) {
		talk(t, "hello\n")
		talk(t, "hel", "lo\n")
	})
	// Output:
	// <nil>
	// testkit: script step 5 of 5: Expect("you said \"hello\""): got "you said \"hel\"yo", which differs at byte 13
	// 	  1 Send("hel")
	// 	  2 Sleep(1ms)
	// 	  3 Send("lo\n")
	// 	  4 Sleep(1ms)
	// 	> 5 Expect("you said \"hello\"")
}

// Timeouts of minutes are tested in no time, to the nanosecond.
func ExampleBubble() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			srv := &http.Server{Handler: http.NotFoundHandler(), IdleTimeout: 90 * time.Second}
			go srv.Serve(ln)
			defer srv.Close()

			c := ln.NewConn()
			defer c.Close()
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
			answer := bufio.NewReader(c)
			status, _ := answer.ReadString('\n')
			start := time.Now()
			for _, err := answer.ReadByte(); err == nil; _, err = answer.ReadByte() {
			}
			fmt.Println(strings.TrimSpace(status))
			fmt.Println("idle connection closed after", time.Since(start))
		})
	})
	// Output:
	// HTTP/1.1 404 Not Found
	// idle connection closed after 1m30s
}

// Helpers take a TB and so work in tests, benchmarks and rapid properties.
func ExampleTB() {
	dial := func(t testkit.TB, ln *testkit.Listener) *testkit.Conn {
		t.Helper()
		c := ln.NewConn()
		t.Cleanup(func() { c.Close() })
		return c
	}
	run(func(t *testing.T) {
		c := dial(t, testkit.Listen(t))
		fmt.Println(c.LocalAddr(), "->", c.RemoteAddr())
	})
	// Output: 192.0.2.2:10001 -> 192.0.2.1:1001
}

// The laws say what is wrong with net.Pipe, as a list that is kept true.
func ExampleTestConn() {
	run(func(t *testing.T) {
		testkit.TestConn(t, func(t testkit.TB) (a, b net.Conn) {
			return testkit.NewConnPair(t, testkit.Buffered(4096, time.Millisecond))
		})
	})
	var mk testkit.MakeConn = func(t testkit.TB) (a, b net.Conn) { // the kernel's TCP
		client, server := testkit.NewConnPair(t, testkit.Loopback())
		return client.NetConn(), server.NetConn()
	}
	run(func(t *testing.T) { testkit.TestConn(t, mk, &testkit.LawOptions{Real: true}) })
	fmt.Println("all laws hold")
	// Output: all laws hold
}
