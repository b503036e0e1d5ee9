package testkit_test

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/listengroup/listengroup/testkit"
)

func ExampleScript() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			go func() {
				new(testkit.Script).Expect("HELO there\r\n").Send("250 hello\n").ExpectEOF().Close().Run(server)
			}()
			err := (&testkit.Script{Timeout: time.Second}).
				SendChunks(time.Millisecond, "HELO ", "there\r\n").
				Expect("250 hello\r\n").
				CloseWrite().
				ExpectEOF().
				Run(client)
			fmt.Println(err)
		})
	})
	// Output:
	// testkit: script step 4 of 6: Expect("250 hello\r\n"): got "250 hello\n", which differs at byte 9
	// 	  1 Send("HELO ")
	// 	  2 Sleep(1ms)
	// 	  3 Send("there\r\n")
	// 	> 4 Expect("250 hello\r\n")
	// 	  5 CloseWrite()
	// 	  6 ExpectEOF()
}

func ExampleScript_Do() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			go new(testkit.Script).Sleep(time.Second).Do("reset", func(nc net.Conn) error {
				return nc.(*testkit.Conn).Reset()
			}).Run(server)
			fmt.Println(new(testkit.Script).ExpectReset().Run(client))
		})
	})
	// Output: <nil>
}

// A server's life as text that can be compared, and the promises it broke.
func ExampleRecorder() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			var r testkit.Recorder
			r.ListenerState("web", "starting", "accepting")
			r.Limit("web", 2)
			var wg sync.WaitGroup
			for id := range uint64(3) {
				wg.Go(func() {
					r.ConnOpened(id+1, "web")
					time.Sleep(time.Second)
					r.ConnClosed(id+1, "web", "returned", nil)
				})
			}
			wg.Wait()
			r.AcceptError("web", errors.New("too many open files"), 5*time.Millisecond)
			r.ConnOpened(4, "web")
			r.ConnUncounted(4)
			r.Note("shutting down")
			time.Sleep(time.Second)
			r.ConnClosed(4, "web", "killed", errors.New("too slow"))
			r.Stopped()
			fmt.Print(r.String())
		})
	})
	// Output:
	// 0s conn 1 on web: opened
	// 0s conn 2 on web: opened
	// 0s conn 3 on web: opened
	// 0s listener web: limit 2
	// 0s listener web: starting -> accepting
	// 1s conn 1 on web: closed, returned
	// 1s conn 2 on web: closed, returned
	// 1s conn 3 on web: closed, returned
	// 1s conn 4 on web: opened
	// 1s conn 4: uncounted
	// 1s listener web: too many open files, retry within 5ms
	// 1s shutting down
	// 2s conn 4 on web: closed, killed: too slow
	// 2s stopped
}

func ExampleRecorder_Check() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			var r testkit.Recorder
			r.Limit("web", 1)
			r.ConnOpened(1, "web")
			time.Sleep(time.Minute)
			r.ConnOpened(2, "web")
			r.ConnClosed(2, "web", "returned", nil)
			r.Stopped()
			fmt.Println(r.Check())
		})
	})
	// Output:
	// 1m0s: connection 1 was open when the shutdown returned
	// 1m0s: connection 2 was admitted as number 2 of web, whose limit is 1
}
