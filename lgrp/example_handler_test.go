package lgrp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// door lets members in.
type door struct{ members map[string]bool }

func (d door) Connected(_ context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) (lgrp.ConnHandler[Port, Session], error) {
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	name, rest, err := netx.ReadLine(nc, 256)
	_ = nc.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, err
	}
	c.Data.Name = name
	if !d.members[c.Data.Name] {
		return nil, nil // closed, as ReasonDenied
	}
	return func(ctx context.Context, _ net.Conn, c *lgrp.Conn[Port, Session]) error {
		return d.serve(ctx, rest, c) // what came after the line is still to be read there
	}, nil
}

func (d door) serve(_ context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
	_, err := fmt.Fprintln(nc, c.Listener.Greeting)
	return err
}

func (d door) Listening(l lgrp.ListenerInfo) { fmt.Println(l.ID, "is", l.State) }
func (d door) Unlistening(l lgrp.ListenerInfo, err error) {
	fmt.Println(l.ID, "is", l.State, "after", l.Closed[lgrp.ReasonReturned], "members and", l.Closed[lgrp.ReasonDenied], "others")
}
func (d door) Disconnected(c *lgrp.Conn[Port, Session], err error) {
	fmt.Println(c.Data.Name, "leaves")
}

func ExampleNewGroup() {
	g := lgrp.NewGroup(door{map[string]bool{"Ada": true}}, &lgrp.Options{Logger: slog.New(slog.DiscardHandler)})
	l, _ := g.Listen(context.Background(), "mem:door", Port{"Come in"})
	for _, name := range []string{"Ada", "Mallory"} {
		answer := say(dial(l), name)
		_ = g.Wait(context.Background(), func(n lgrp.Counts) bool { return n.Active == 0 })
		fmt.Printf("%q\n", answer)
	}
	_ = g.Shutdown(context.Background())
	// Output:
	// mem:door is starting
	// Ada leaves
	// "Come in"
	// Mallory leaves
	// ""
	// mem:door is closed after 1 members and 1 others
}

func ExamplePanicError() {
	ended := make(chan string, 1)
	g := lgrp.New(func(context.Context, net.Conn, *lgrp.Conn[Port, Session]) error {
		panic("a bug")
	}, &lgrp.Options{
		Logger:  slog.New(slog.DiscardHandler), // which is told, too
		NoReuse: true,                          // a goroutine for each connection
		Events: &lgrp.Events{ConnClosed: func(_ lgrp.ConnInfo, why lgrp.Reason, err error) {
			if pe, ok := errors.AsType[*lgrp.PanicError](err); ok {
				ended <- fmt.Sprint(why, ": ", pe.Value, ", here: ", bytes.Contains(pe.Stack, []byte("ExamplePanicError")))
			}
		}},
	})
	defer g.Close()
	l, _ := g.Listen(context.Background(), "mem:panic", Port{})
	defer dial(l).Close()
	fmt.Println(<-ended)
	// Output: panic: a bug, here: true
}
