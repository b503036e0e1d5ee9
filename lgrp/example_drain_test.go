package lgrp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

func ExampleListenGroup_Drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	g := lgrp.New(func(ctx context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
		c.SetNote("does not listen")
		<-ctx.Done() // not Draining: has to be forced
		return context.Cause(ctx)
	}, nil)
	defer g.Close()
	l, _ := g.Listen(context.Background(), "mem:drain", Port{})
	dial(l)
	_ = g.Wait(context.Background(), func(n lgrp.Counts) bool { return n.Active == 1 })
	report, err := g.Drain(ctx, &lgrp.DrainOptions{ForceWait: time.Minute})
	fmt.Println(report.Finished, report.Forced, len(report.Stuck), report.Took > 0)
	var de *lgrp.DrainError
	fmt.Println(errors.As(err, &de), err)
	// Output:
	// 0 1 0 true
	// true lgrp: drain: 0 connections finished, 1 forced, 0 stuck
}

func ExampleDrainOptions() {
	ctx := context.Background()
	g := lgrp.New(greetLines, &lgrp.Options{
		// How Run, Shutdown and Close do it: first look unhealthy for a moment, then
		// let the connections go one after the other.
		Drain: &lgrp.DrainOptions{NotReadyFor: time.Millisecond, Spread: time.Millisecond},
	})
	l, _ := g.Listen(ctx, "mem:drainoptions", Port{"Hello"})
	for range 3 {
		nc := dial(l)
		defer nc.Close()
		say(nc, "you")
	}
	report, err := g.Drain(ctx, &lgrp.DrainOptions{
		Only: func(c lgrp.ConnInfo) bool { return c.ID%2 == 1 },
	})
	fmt.Println(report.Finished, err, g.Ready(), g.Info().Active)
	fmt.Println(g.Shutdown(ctx), g.Ready(), g.Info().Active)
	// Output:
	// 2 <nil> true 1
	// <nil> false 0
}

func ExampleDrainError() {
	tell := func(report *lgrp.DrainReport) {
		for _, c := range report.Stuck {
			fmt.Println("stuck:", c.ID, c.Note, c.Reason)
		}
	}
	begun, release := make(chan bool), make(chan bool)
	g := lgrp.New(func(_ context.Context, _ net.Conn, c *lgrp.Conn[Port, Session]) error {
		c.SetNote("COPY orders")
		close(begun)
		<-release // and does not look at its context
		return nil
	}, &lgrp.Options{ForceWait: -1})
	l, _ := g.Listen(context.Background(), "mem:stuck", Port{})
	defer dial(l).Close()
	<-begun

	now, cancel := context.WithCancel(context.Background())
	cancel()
	err := g.Shutdown(now)
	if de, ok := errors.AsType[*lgrp.DrainError](err); ok {
		tell(de.Report)
	}
	close(release)
	// Output: stuck: 1 COPY orders forced
}

func ExampleAnyConn_Drain() {
	done := make(chan string)
	g := lgrp.New(func(ctx context.Context, nc net.Conn, c *lgrp.Conn[Port, Session]) error {
		go c.Drain(time.Now().Add(time.Hour)) // its lifetime is over: an hour to finish
		<-c.Draining()
		_, limited := c.DrainDeadline()
		done <- fmt.Sprint("finishing, limited: ", limited)
		return nil
	}, nil)
	l, _ := g.Listen(context.Background(), "mem:lifetime", Port{})
	dial(l)
	fmt.Println(<-done)
	_ = g.Wait(context.Background(), func(n lgrp.Counts) bool { return n.Ended == 1 })
	_ = g.Close()
	fmt.Println(l.Info().Closed)
	// Output:
	// finishing, limited: true
	// map[drained:1]
}
