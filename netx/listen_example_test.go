package netx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func ExampleListen() {
	ctx := context.Background()
	ln, err := netx.Listen(ctx, addr.MustParse("127.0.0.1:0"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, isTCP := c.(*net.TCPConn)
		fmt.Fprintf(c, "a *net.TCPConn: %t", isTCP)
	}()

	c, err := netx.Dial(ctx, addr.FromNet(ln.Addr()))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reply, err := io.ReadAll(c)
	fmt.Println(string(reply), err)

	_, err = netx.Listen(ctx, addr.FromNet(ln.Addr()), nil)
	fmt.Println("in use:", errors.Is(err, syscall.EADDRINUSE))
	// Output:
	// a *net.TCPConn: true <nil>
	// in use: true
}

func ExampleListenAll() {
	lns, err := netx.ListenAll(context.Background(), []addr.Addr{
		addr.MustParse("127.0.0.1:0"),
		addr.MustParse("mem:admin"),
	}, nil)
	if err != nil {
		log.Fatal(err) // none of them is open
	}
	for _, ln := range lns {
		fmt.Println(ln.Addr().Network())
		ln.Close()
	}
	// Output:
	// tcp
	// mem
}

func ExampleDial() {
	_, err := netx.Dial(context.Background(), addr.MustParse("mem:nobody"))
	fmt.Println(err)
	// Output: dial mem mem:nobody: connect: connection refused
}

func ExampleOptions() {
	ln, err := netx.Listen(context.Background(), addr.MustParse("127.0.0.1:0"), &netx.Options{
		Backlog:   1024,
		KeepAlive: &net.KeepAliveConfig{Enable: true, Idle: time.Minute},
		Control: func(network, address string, c syscall.RawConn) error {
			fmt.Println("about to bind", network, address)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ln.Close()
	// Output: about to bind tcp4 127.0.0.1:0
}

func ExampleExpand() {
	all, err := netx.Expand(addr.MustParse("127.0.0.1:8000-8002"))
	fmt.Println(all, err)
	_, err = netx.Expand(addr.MustParse("tcp://%nope0:80"))
	fmt.Println(err)
	// Output:
	// [127.0.0.1:8000 127.0.0.1:8001 127.0.0.1:8002] <nil>
	// listen tcp %nope0:80: interface nope0: no such network interface
}

// A listener is closed without resetting the clients that wait in its queue.
func ExampleAcceptQueued() {
	ctx := context.Background()
	ln, err := netx.Listen(ctx, addr.MustParse("mem:queue"), nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		c, err := netx.Dial(ctx, addr.FromNet(ln.Addr()))
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
	}

	if err := netx.StopQueue(ln); err != nil {
		log.Fatal(err)
	}
	for {
		c, err := netx.AcceptQueued(ln)
		if errors.Is(err, netx.ErrQueueEmpty) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("serving one more")
		c.Close()
	}
	ln.Close()
	// Output:
	// serving one more
	// serving one more
	// serving one more
}

func ExampleStopQueue() {
	ctx := context.Background()
	a := addr.MustParse("mem:stopped")
	ln, err := netx.Listen(ctx, a, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	if err := netx.StopQueue(ln); err != nil {
		log.Fatal(err)
	}
	_, err = netx.Dial(ctx, a)
	fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))
	// Output: refused: true
}
