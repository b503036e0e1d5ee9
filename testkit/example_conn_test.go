package testkit_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleNewConnPair() {
	run(func(t *testing.T) {
		client, server := testkit.NewConnPair(t)
		fmt.Fprint(client, "bye")
		client.Close()
		got, err := io.ReadAll(server)
		fmt.Printf("%s %v\n", got, err)
		fmt.Println(server.Peer().IsClosed(), server.IsClosed())
		_, ok := server.NetConn().(*memconn.Conn)
		fmt.Println("in memory:", ok)
	})
	// Output:
	// bye <nil>
	// true false
	// in memory: true
}

func ExampleTransport() {
	run(func(t *testing.T) {
		for _, tr := range []testkit.Transport{testkit.Buffered(0, 0), testkit.Pipe(), testkit.Loopback()} {
			client, server := testkit.NewConnPair(t, tr)
			go func() {
				fmt.Fprint(client, "hi")
				client.CloseWrite()
			}()
			got, err := io.ReadAll(server)
			fmt.Printf("%v: %s %v\n", tr, got, err)
		}
	})
	// Output:
	// Buffered(0, 0s): hi <nil>
	// Pipe(): hi <nil>
	// Loopback(): hi <nil>
}

func ExampleConn_Set() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			start := time.Now()
			client.Set(testkit.Writes, testkit.Faults{BytesPerSecond: 10, After: 25, Reset: true})
			go fmt.Fprint(client, "a message of more than 25 bytes")
			got, err := io.ReadAll(server)
			fmt.Printf("%q after %v, reset: %v\n", got, time.Since(start), errors.Is(err, syscall.ECONNRESET))
		})
	})
	// Output: "a message of more than 25" after 2.5s, reset: true
}

func ExampleDirection() {
	var both testkit.Direction = testkit.Reads | testkit.Writes
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			server.Set(both, testkit.Faults{Stall: true})
			time.AfterFunc(time.Minute, func() { server.Set(both, testkit.Faults{}) })
			start := time.Now()
			fmt.Fprint(server, "at last")
			got := make([]byte, 7)
			io.ReadFull(client, got)
			fmt.Printf("%s, after %v\n", got, time.Since(start))
		})
	})
	// Output: at last, after 1m0s
}

// Does the checksum of a protocol notice each wrong byte?
func ExampleFaults() {
	send := func(c net.Conn) {
		defer c.Close()
		c.Write([]byte{'o', 'k', 'o' ^ 'k'})
	}
	receive := func(c net.Conn) error {
		msg := make([]byte, 3)
		if _, err := io.ReadFull(c, msg); err != nil {
			return err
		}
		if msg[0]^msg[1] != msg[2] {
			return errors.New("checksum")
		}
		return nil
	}
	run(func(t *testing.T) {
		for after := range int64(4) {
			a, b := testkit.NewConnPair(t)
			b.Set(testkit.Reads, testkit.Faults{Corrupt: 0x10, After: after})
			go send(a)
			fmt.Println(after, receive(b))
		}
	})
	// Output:
	// 0 checksum
	// 1 checksum
	// 2 checksum
	// 3 <nil>
}

func ExampleFaults_drop() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, server := testkit.NewConnPair(t)
			client.Set(testkit.Writes, testkit.Faults{After: 2, Drop: true})
			n, err := fmt.Fprint(client, "hello")
			fmt.Println(n, err)

			server.SetReadDeadline(time.Now().Add(time.Hour)) // costs nothing
			got, err := io.ReadAll(server)
			fmt.Printf("%s, timeout: %t\n", got, errors.Is(err, os.ErrDeadlineExceeded))
		})
	})
	// Output:
	// 5 <nil>
	// he, timeout: true
}

func ExampleFaults_jitter() {
	run(func(t *testing.T) {
		took := func(seed uint64) (d time.Duration) {
			testkit.Bubble(t, func(t *testing.T) {
				client, server := testkit.NewConnPair(t)
				client.Set(testkit.Writes, testkit.Faults{Delay: time.Second, Jitter: time.Second, Seed: seed})
				start := time.Now()
				fmt.Fprint(client, "hello")
				client.Close()
				io.Copy(io.Discard, server)
				d = time.Since(start)
			})
			return d
		}
		first, second := took(1), took(1)
		fmt.Println("between one second and two:", took(1) >= time.Second && took(1) < 2*time.Second)
		fmt.Println("again:", first == second, "otherwise:", first == took(2))
	})
	// Output:
	// between one second and two: true
	// again: true otherwise: false
}

func ExampleWrap() {
	a, b := net.Pipe()
	defer b.Close()
	c := testkit.Wrap(a)
	defer c.Close()
	c.Set(testkit.Writes, testkit.Faults{MaxChunk: 2})
	go io.WriteString(c, "12345")
	buf := make([]byte, 10)
	for range 3 {
		n, _ := b.Read(buf)
		fmt.Printf("%s ", buf[:n])
	}
	// Output: 12 34 5
}

func ExampleConn_Reset() {
	run(func(t *testing.T) {
		client, server := testkit.NewConnPair(t)
		client.Reset()
		server.SetDeadline(time.Now().Add(time.Minute)) // works, although the peer is gone
		_, err := server.Read(make([]byte, 1))
		fmt.Println(err)
		_, err = client.Read(make([]byte, 1))
		fmt.Println(errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe))
	})
	// Output:
	// read tcp 192.0.2.1:1001->192.0.2.2:10001: read: connection reset by peer
	// true true
}

func ExampleConn_SetReadDeadline() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			client, _ := testkit.NewConnPair(t, testkit.Buffered(4, 0))
			start := time.Now()
			client.SetReadDeadline(start.Add(time.Minute))
			client.SetWriteDeadline(start.Add(time.Hour))
			_, err := client.Read(make([]byte, 1))
			fmt.Println(errors.Is(err, os.ErrDeadlineExceeded), time.Since(start))
			n, err := client.Write(make([]byte, 10))
			fmt.Println(n, errors.Is(err, os.ErrDeadlineExceeded), time.Since(start))
		})
	})
	// Output:
	// true 1m0s
	// 4 true 1h0m0s
}

func ExampleConn_CloseRead() {
	run(func(t *testing.T) {
		client, server := testkit.NewConnPair(t, testkit.Buffered(4, 0))
		client.CloseRead()
		n, err := server.Write(make([]byte, 1000)) // nobody will read it, so it does not wait
		fmt.Println(n, err)
	})
	// Output: 1000 <nil>
}

func ExampleFaults_GoString() {
	fmt.Printf("%#v\n", testkit.Faults{Delay: time.Second, MaxChunk: 1})
	// Output:
	// testkit.Faults{Delay: 1s, MaxChunk: 1}
}

func ExampleTransport_GoString() {
	fmt.Printf("%#v\n", testkit.Pipe())
	// Output:
	// testkit.Pipe()
}
