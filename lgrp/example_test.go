package lgrp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// The contexts of the examples.
type (
	Port    struct{ Greeting string }
	Session struct{ Name string }
)

// dial connects to a listener of an example.
func dial(l *lgrp.Listener[Port]) net.Conn {
	nc, err := netx.Dial(context.Background(), l.Addr())
	if err != nil {
		panic(err)
	}
	return nc
}

// say sends a line and returns the answer.
func say(nc net.Conn, line string) string {
	fmt.Fprintln(nc, line)
	answer, _ := bufio.NewReader(nc).ReadString('\n')
	return strings.TrimSpace(answer)
}

// greetLines answers each line with the listener's greeting, until the peer goes or
// the connection is asked to finish.
func greetLines(_ context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
	c.OnDrain(func() { nc.SetReadDeadline(time.Now()) })
	lines := bufio.NewScanner(nc)
	for lines.Scan() {
		fmt.Fprintf(nc, "%s, %s\n", c.Listener.Greeting, lines.Text())
	}
	if c.IsDraining() {
		return nil
	}
	return lines.Err()
}

func Example() {
	ctx := context.Background()
	g := lgrp.New(greetLines, nil)
	formal, err := g.Listen(ctx, "mem:formal", Port{"Good evening"})
	if err != nil {
		panic(err)
	}
	casual, err := g.Listen(ctx, "127.0.0.1:0", Port{"Hi"})
	if err != nil {
		panic(err)
	}
	fmt.Println(say(dial(formal), "Ada"))
	fmt.Println(say(dial(casual), "Grace"))
	fmt.Println(g.Shutdown(ctx))
	// Output:
	// Good evening, Ada
	// Hi, Grace
	// <nil>
}

func ExampleListenGroup_Run() {
	g := lgrp.New(greetLines, &lgrp.Options{Grace: 5 * time.Second})
	l, _ := g.Listen(context.Background(), "mem:run", Port{"Hello"})
	ctx, cancel := context.WithCancel(context.Background()) // signal.NotifyContext, in a main
	nc := dial(l)
	fmt.Println(say(nc, "you"), g.Ready())
	cancel()
	fmt.Println(g.Run(ctx), g.Ready())
	_, err := g.Listen(context.Background(), "mem:run", Port{})
	fmt.Println(errors.Is(err, lgrp.ErrGroupClosed))
	// Output:
	// Hello, you true
	// <nil> false
	// true
}

func ExampleOptions() {
	opened := make(chan string, 10)
	var ids lgrp.IDSource // shared by the groups of a program
	ids.Next()
	g := lgrp.New(greetLines, &lgrp.Options{
		Logger:    slog.New(slog.DiscardHandler),
		MaxConns:  10_000,
		OnLimit:   lgrp.Backlog(),
		Grace:     time.Minute,
		ForceWait: 2 * time.Second,
		IDs:       &ids,
		AcceptBackoff: func(err error, consecutive int) time.Duration {
			if errors.Is(err, syscall.EPERM) { // not on this machine: a sandbox took it away for good
				return -1
			}
			return lgrp.DefaultAcceptBackoff(err, consecutive)
		},
		Events: &lgrp.Events{
			ConnOpened: func(c lgrp.ConnInfo) { opened <- fmt.Sprint("opened ", c.ID) },
			ConnClosed: func(c lgrp.ConnInfo, why lgrp.Reason, err error) {
				opened <- fmt.Sprint("closed ", c.ID, " ", why, " ", err)
			},
		},
	})
	l, _ := g.Listen(context.Background(), "mem:options", Port{"Hello"})
	say(dial(l), "you")
	_ = g.Shutdown(context.Background())
	fmt.Println(<-opened)
	fmt.Println(<-opened)
	// Output:
	// opened 2
	// closed 2 drained <nil>
}
