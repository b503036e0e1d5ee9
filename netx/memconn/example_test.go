package memconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/netx/memconn"
)

func ExamplePair() {
	client := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 40000}
	server := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}
	a, b := memconn.Pair(client, server, nil)
	defer b.Close()

	fmt.Fprint(a, "hello")
	a.Close()
	got, err := io.ReadAll(b)
	fmt.Printf("%s from %v, %v\n", got, b.RemoteAddr(), err)
	_, err = a.Write([]byte("more"))
	fmt.Println(err, errors.Is(err, net.ErrClosed))
	// Output:
	// hello from 192.0.2.2:40000, <nil>
	// write tcp 192.0.2.2:40000->192.0.2.1:80: use of closed network connection true
}

func ExampleListen() {
	ln := memconn.Listen(nil, &memconn.Options{Size: 4 << 10})
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.Copy(nc, nc)
	}()

	nc, err := ln.Dial(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(nc, "echo")
	line, err := bufio.NewReader(nc).ReadString('\n')
	fmt.Printf("%q %v\n", line, err)

	ln.Close()
	_, err = ln.Dial(context.Background(), nil)
	fmt.Println(ln.Addr(), errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// "echo\n" <nil>
	// mem true
}

func ExampleListener_AcceptQueued() {
	ln := memconn.Listen(nil, nil)
	defer ln.Close()
	ln.Dial(context.Background(), nil)
	for {
		nc, err := ln.AcceptQueued()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("took one")
		nc.Close()
	}
	// Output:
	// took one
	// no connection waits
}

func ExampleConn_SetReadDeadline() {
	a, b := memconn.Pair(nil, nil, nil)
	b.Close()
	fmt.Println(a.SetReadDeadline(time.Unix(1, 0)), a.SetWriteDeadline(time.Unix(1, 0))) // works, unlike net.Pipe's
	_, err := a.Read(make([]byte, 1))
	fmt.Println(a.LocalAddr(), err)
	// Output:
	// <nil> <nil>
	// mem read mem mem->mem: i/o timeout
}

func ExampleConn_CloseWrite() {
	a, b := memconn.Pair(nil, nil, nil)
	defer a.Close()
	fmt.Fprint(a, "request")
	a.CloseWrite()
	request, _ := io.ReadAll(b)
	fmt.Fprintf(b, "answer to %s", request)
	b.Close()
	answer, err := io.ReadAll(a)
	fmt.Println(string(answer), err)
	// Output: answer to request <nil>
}

func ExampleConn_CloseRead() {
	a, b := memconn.Pair(nil, nil, &memconn.Options{Size: 4})
	a.CloseRead()
	n, err := b.Write(make([]byte, 1000)) // dropped, so it never blocks
	fmt.Println(n, err)
	_, err = a.Read(make([]byte, 1))
	fmt.Println(err)
	// Output:
	// 1000 <nil>
	// EOF
}

func ExampleConn_Reset() {
	a, b := memconn.Pair(nil, nil, nil)
	a.Reset()
	_, err := b.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, syscall.ECONNRESET))
	// Output: true
}

func ExampleOptions_sync() {
	a, b := memconn.Pair(nil, nil, &memconn.Options{Sync: true})
	fmt.Println(memconn.DefaultSize, "bytes are not buffered here")
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Write([]byte("ping")) // returns when b has read the last byte
	}()
	got := make([]byte, 4)
	io.ReadFull(b, got)
	<-done
	fmt.Println(string(got))
	// Output:
	// 65536 bytes are not buffered here
	// ping
}
