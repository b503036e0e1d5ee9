package lgrp_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
)

func ExampleLimitPolicy() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	var inherit lgrp.LimitPolicy
	for i, policy := range []lgrp.LimitPolicy{
		inherit, lgrp.Backlog(), lgrp.Queue(time.Minute), lgrp.Reject(nil, 0), lgrp.EvictIdle(),
	} {
		_, err := g.Add(context.Background(), lgrp.ListenerSpec[Port]{
			Addr:      addr.MustParse(fmt.Sprint("mem:policy", i)),
			MaxConns:  100,
			OnLimit:   policy,
			Acceptors: 2, // goroutines that accept
		})
		fmt.Println(policy, err)
	}
	// Output:
	// inherit <nil>
	// Backlog() <nil>
	// Queue(1m0s) <nil>
	// Reject(…, 1s) <nil>
	// EvictIdle() <nil>
}

func ExampleAnyConn_SetIdle() {
	// One slot, and whoever waits for its peer gives way to a newcomer.
	g := lgrp.New(func(_ context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
		fmt.Fprintln(nc, "hello")
		c.SetIdle(true)
		_, err := nc.Read(make([]byte, 1))
		return err
	}, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.EvictIdle()})
	defer g.Close()
	l, _ := g.Listen(context.Background(), "mem:idle", Port{})
	for range 3 {
		greeting, _ := bufio.NewReader(dial(l)).ReadString('\n')
		fmt.Print(greeting)
	}
	_ = g.Wait(context.Background(), func(n lgrp.Counts) bool { return n.Ended == 2 })
	fmt.Println(g.Info().Closed[lgrp.ReasonEvicted])
	// Output:
	// hello
	// hello
	// hello
	// 2
}

func ExampleAnyConn_Uncount() {
	// A subscriber costs next to nothing once it is set up: it gives its slot
	// back, and the group can take in more of them than MaxConns.
	g := lgrp.New(func(_ context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
		c.Uncount()
		fmt.Fprintln(nc, "subscribed")
		_, err := nc.Read(make([]byte, 1))
		return err
	}, &lgrp.Options{MaxConns: 1, OnLimit: lgrp.Queue(time.Minute)})
	defer g.Close()
	l, _ := g.Listen(context.Background(), "mem:uncount", Port{})
	for range 3 {
		nc := dial(l)
		answer, _ := bufio.NewReader(nc).ReadString('\n')
		fmt.Print(answer)
	}
	fmt.Println(l.Info().Active, l.Info().Uncounted)
	// Output:
	// subscribed
	// subscribed
	// subscribed
	// 0 3
}

func ExampleLimitPolicy_GoString() {
	fmt.Printf("%#v\n", lgrp.Options{OnLimit: lgrp.Queue(time.Second)}.OnLimit)
	// Output:
	// lgrp.Queue(1s)
}
