package netx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/netx/memconn"
)

func ExampleUnderlying() {
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	defer ln.Close()
	conn, _ := net.Dial("tcp", ln.Addr().String())
	defer conn.Close()

	wrapped, _ := netx.CountConn(conn, nil)
	if tcp, ok := netx.Underlying[*net.TCPConn](wrapped); ok {
		fmt.Println("Nagle's algorithm on:", tcp.SetNoDelay(false) == nil)
	}
	_, ok := netx.Underlying[*net.UnixConn](wrapped)
	fmt.Println("a unix socket:", ok)
	// Output:
	// Nagle's algorithm on: true
	// a unix socket: false
}

func ExampleCloseWrite() {
	client, server := memconn.Pair(nil, nil, nil)
	go func() {
		question, _ := io.ReadAll(server) // until the half-close
		fmt.Fprintf(server, "%s? 42.", question)
		server.Close()
	}()
	io.WriteString(client, "6 by 9")
	fmt.Println(netx.CloseWrite(client))
	answer, _ := io.ReadAll(client)
	fmt.Printf("%s\n", answer)

	pipe, _ := net.Pipe()
	fmt.Println(errors.Is(netx.CloseWrite(pipe), errors.ErrUnsupported))
	// Output:
	// <nil>
	// 6 by 9? 42.
	// true
}

func ExampleAbort() {
	client, server := memconn.Pair(nil, nil, nil)
	fmt.Println(netx.Abort(server))
	_, err := client.Read(make([]byte, 1))
	fmt.Println(netx.IsReset(err))
	// Output:
	// <nil>
	// true
}

func ExamplePeek() {
	client, server := memconn.Pair(nil, nil, nil)
	go func() {
		io.WriteString(client, "GET / HTTP/1.0\r\n\r\n")
		client.Close()
	}()
	head, nc, err := netx.Peek(server, 4)
	fmt.Printf("%q %v\n", head, err)
	all, err := io.ReadAll(nc)
	fmt.Printf("%q %v\n", all, err)
	// Output:
	// "GET " <nil>
	// "GET / HTTP/1.0\r\n\r\n" <nil>
}

// A matcher that needs as much as the first line, wherever that ends.
func ExamplePeekAtLeast() {
	client, server := memconn.Pair(nil, nil, nil)
	go func() {
		for _, piece := range []string{"SSH-", "2.0-exam", "ple\r\nkeys"} {
			io.WriteString(client, piece)
		}
		client.Close()
	}()
	var nc net.Conn = server
	var head []byte
	var err error
	for err == nil && len(head) < 255 && !strings.Contains(string(head), "\n") {
		head, nc, err = netx.PeekAtLeast(nc, len(head)+1, 255)
	}
	line, _, _ := strings.Cut(string(head), "\r\n")
	fmt.Println(line, err)
	all, _ := io.ReadAll(nc)
	fmt.Printf("%q\n", all)
	// Output:
	// SSH-2.0-example <nil>
	// "SSH-2.0-example\r\nkeys"
}

func ExampleProxy() {
	client, a := memconn.Pair(nil, nil, nil)
	b, backend := memconn.Pair(nil, nil, nil)
	go func() {
		defer backend.Close()
		request, _ := io.ReadAll(backend) // the client's half-close arrives
		fmt.Fprintf(backend, "%d bytes, thank you", len(request))
	}()
	go func() {
		io.WriteString(client, "hello")
		client.CloseWrite()
	}()
	aToB, bToA, err := netx.Proxy(context.Background(), a, b)
	a.Close() // Proxy leaves that to its caller
	b.Close()
	fmt.Println(aToB, bToA, err)
	answer, _ := io.ReadAll(client)
	fmt.Printf("%s\n", answer)
	// Output:
	// 5 18 <nil>
	// 5 bytes, thank you
}

func ExampleProxy_context() {
	_, a := memconn.Pair(nil, nil, nil)
	b, _ := memconn.Pair(nil, nil, nil)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the server stops"))
	_, _, err := netx.Proxy(ctx, a, b)
	fmt.Println(err)
	// Output: the server stops
}

func ExampleCountConn() {
	var total netx.Counter // of all connections
	client, server := memconn.Pair(nil, nil, nil)
	go io.WriteString(client, "hello")

	nc, counter := netx.CountConn(server, &total)
	io.ReadFull(nc, make([]byte, 5))
	(&net.Buffers{[]byte("good"), []byte("bye")}).WriteTo(nc)
	var counts netx.Counts = counter.Counts()
	fmt.Printf("%+v\n", counts)
	fmt.Println(total.Counts() == counts)
	// Output:
	// {BytesRead:5 BytesWritten:7 Reads:1 Writes:2}
	// true
}

func ExampleConnListener() {
	// A server that wants a listener gets one connection of our choosing.
	ln := netx.NewConnListener(nil)
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, _ := netx.ServeContext(r.Context().Value(connKey{}).(net.Conn))
			fmt.Fprint(w, "hello from ", ctx.Value(nameKey{}))
		}),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, nc)
		},
	}
	go srv.Serve(ln)
	defer srv.Close()

	client, server := memconn.Pair(nil, nil, nil)
	ctx := context.WithValue(context.Background(), nameKey{}, "one connection")
	served := make(chan error, 1)
	go func() { served <- ln.Serve(ctx, server) }()

	io.WriteString(client, "GET / HTTP/1.0\r\n\r\n")
	response, _ := io.ReadAll(client)
	_, body, _ := strings.Cut(string(response), "\r\n\r\n")
	fmt.Println(body)
	fmt.Println("served:", <-served)
	// Output:
	// hello from one connection
	// served: <nil>
}

type (
	connKey struct{}
	nameKey struct{}
)

func ExampleWithCloseNotify() {
	_, server := memconn.Pair(nil, nil, nil)
	nc := netx.WithCloseNotify(server)
	closed, ok := netx.CloseNotify(nc)
	fmt.Println(ok)
	go nc.Close()
	<-closed
	_, err := server.Write([]byte("x"))
	fmt.Println(netx.IsClosed(err))
	// Output:
	// true
	// true
}

// upperConn changes what is read. It has Base's CloseWrite and SyscallConn and
// no ReadFrom or WriteTo, which would go past its Read.
type upperConn struct{ netx.Base }

func (c *upperConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	copy(p, strings.ToUpper(string(p[:n])))
	return n, err
}

func ExampleWrap() {
	client, server := memconn.Pair(nil, nil, nil)
	go func() {
		io.WriteString(client, "quiet")
		client.Close()
	}()
	nc := netx.Wrap(&upperConn{netx.Base{Conn: server}})
	b, _ := io.ReadAll(nc)
	fmt.Printf("%s\n", b)
	_, ok := netx.Underlying[*upperConn](nc)
	fmt.Println("found again:", ok)
	_, ok = nc.(interface{ CloseWrite() error })
	fmt.Println("half-close:", ok)
	// Output:
	// QUIET
	// found again: true
	// half-close: true
}

// proxiedConn tells of another peer and leaves the bytes alone.
type proxiedConn struct {
	netx.Through
	peer net.Addr
}

func (c *proxiedConn) RemoteAddr() net.Addr { return c.peer }

func ExampleThrough() {
	_, server := memconn.Pair(nil, nil, nil)
	c := &proxiedConn{peer: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1024}}
	c.Conn = server
	var layer netx.Layer = c
	fmt.Println(netx.Wrap(layer).RemoteAddr())
	// Output: 192.0.2.1:1024
}

// firstConn lets only so many bytes in.
type firstConn struct {
	netx.Meter
	left int
}

func (c *firstConn) BeforeRead(most int) (int, error) {
	if c.left == 0 {
		return 0, errors.New("that is enough")
	}
	return min(most, c.left), nil
}

func (c *firstConn) AfterRead(n int) { c.left -= n }

func ExampleMetered() {
	client, server := memconn.Pair(nil, nil, nil)
	go io.WriteString(client, "a long story")
	var hooks netx.MeterHooks = &firstConn{left: 6}
	b, err := io.ReadAll(netx.Metered(server, hooks))
	fmt.Printf("%q %v\n", b, err)
	// Output: "a long" that is enough
}

func ExampleIsTimeout() {
	nc, _ := memconn.Pair(nil, nil, nil)
	nc.SetDeadline(time.Unix(1, 0))
	_, err := nc.Read(make([]byte, 1))
	fmt.Println(netx.IsTimeout(err), netx.IsClosed(err), netx.IsReset(err))
	nc.Close()
	_, err = nc.Read(make([]byte, 1))
	fmt.Println(netx.IsTimeout(err), netx.IsClosed(err), netx.IsReset(err))
	// Output:
	// true false false
	// false true false
}
