package lgrp_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

func ExampleListenGroup_Use() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	named := func(name string) lgrp.Middleware {
		return func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				fmt.Println(name, "connection", c.ID(), "of", c.ListenerID())
				return next(ctx, nc, c)
			}
		}
	}
	g.Use(named("outer"), named("inner"))
	l, _ := g.Listen(context.Background(), "mem:use", Port{"Hello"})
	fmt.Println(say(dial(l), "you"))
	// Output:
	// outer connection 1 of mem:use
	// inner connection 1 of mem:use
	// Hello, you
}

func ExampleListenGroup_UseTyped() {
	g := lgrp.New(func(_ context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
		_, err := fmt.Fprintf(nc, "%s, %s\n", c.Listener.Greeting, c.Data.Name)
		return err
	}, nil)
	defer g.Close()
	// The first line is the peer's name, for all handlers of this group: what
	// follows it is theirs to read, it has to come in time, and in a drain it is
	// not waited for.
	g.UseTyped(func(next lgrp.ConnHandler[Port, Session]) lgrp.ConnHandler[Port, Session] {
		return func(ctx context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
			_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
			done := c.WakeOnDrain(nc)
			name, nc, err := netx.ReadLine(nc, 256)
			done()
			switch {
			case err != nil && c.IsDraining():
				return nil
			case err != nil:
				return err
			}
			c.Data.Name = name
			return next(ctx, nc, c)
		}
	})
	l, _ := g.Listen(context.Background(), "mem:typed", Port{"Welcome"})
	fmt.Println(say(dial(l), "Edsger"))
	// Output: Welcome, Edsger
}

func ExampleFromContext() {
	// Somewhere deep inside, where only a context is at hand.
	greeting := func(ctx context.Context) string {
		c, ok := lgrp.FromContext[Port, Session](ctx)
		if !ok {
			return "who is there?"
		}
		return c.Listener.Greeting
	}
	untyped := func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
		same, _ := lgrp.AnyFromContext(ctx)
		_, err := fmt.Fprintln(nc, greeting(ctx), same == c)
		return err
	}
	g := lgrp.New(lgrp.Typed[Port, Session](untyped), nil)
	defer g.Close()
	l, _ := g.Listen(context.Background(), "mem:fromcontext", Port{"Hello"})
	fmt.Println(say(dial(l), ""))
	fmt.Println(greeting(context.Background()))
	// Output:
	// Hello true
	// who is there?
}

// Stock middleware asks functions that are given the untyped connection.
func ExampleFromAny() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	polite := func(c *lgrp.AnyConn) bool {
		typed, ok := lgrp.FromAny[Port, Session](c)
		return ok && typed.Listener.Greeting != ""
	}
	g.Use(middleware.When(polite, func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			fmt.Println("somebody will be greeted")
			return next(ctx, nc, c)
		}
	}))
	l, _ := g.Listen(context.Background(), "mem:fromany", Port{"Hello"})
	fmt.Println(say(dial(l), "you"))
	// Output:
	// somebody will be greeted
	// Hello, you
}

// A middleware that ends the chain with a handler of its own, for the clients of
// one protocol.
func ExampleAnyConn_StartServing() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	g.Use(func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			c.SetTLS("example.com", "status/1") // what a handshake would have settled
			if c.Info().Protocol != "status/1" {
				return next(ctx, nc, c)
			}
			c.StartServing() // from here on Conns yields it
			_, err := fmt.Fprintln(nc, "draining:", c.IsDraining())
			<-ctx.Done()
			return err
		}
	})
	l, _ := g.Listen(context.Background(), "mem:status", Port{})
	nc := dial(l)
	defer nc.Close()
	fmt.Println(say(nc, ""))
	for c := range g.Conns() {
		fmt.Println(c.Info().ServerName, c.Info().Protocol)
	}
	// Output:
	// draining: false
	// example.com status/1
}

// What a Transport middleware has learned of the real peer is what everybody
// sees from there on.
func ExampleAnyConn_SetRemoteAddr() {
	var c lgrp.AnyConn
	c.SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711})
	fmt.Println(c.RemoteAddr(), c.Info().Remote)
	// Output: 203.0.113.7:4711 203.0.113.7:4711
}
