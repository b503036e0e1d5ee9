package lgrp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
)

func ExampleListenGroup_Add() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	l, err := g.Add(context.Background(), lgrp.ListenerSpec[Port]{
		ID:       "front",
		Addr:     addr.MustParse("127.0.0.1:0"),
		Context:  Port{"Hello"},
		MaxConns: 1000,
		OnLimit:  lgrp.Reject([]byte("come back later\n"), 0),
		OnBound: func(_ context.Context, l lgrp.ListenerInfo) error {
			fmt.Println(l.ID, l.State, l.Addr.Port() != 0)
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	_, err = g.Add(context.Background(), lgrp.ListenerSpec[Port]{ID: "front", Addr: l.Addr()})
	fmt.Println(errors.Is(err, lgrp.ErrDuplicateID))
	_, err = g.Listen(context.Background(), l.Addr().String()+"0", Port{})
	fmt.Println(err != nil)
	_, err = g.Add(context.Background(), lgrp.ListenerSpec[Port]{ID: "second", Addr: l.Addr()})
	var be *lgrp.BindError
	fmt.Println(errors.As(err, &be), errors.Is(err, syscall.EADDRINUSE))
	// Output:
	// front starting true
	// true
	// true
	// true true
}

func ExampleListenGroup_AddAll() {
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	ls, err := g.AddAll(context.Background(),
		lgrp.ListenerSpec[Port]{ID: "a", Addr: addr.MustParse("mem:all-a")},
		lgrp.ListenerSpec[Port]{ID: "b", Addr: addr.MustParse("mem:all-b")},
	)
	fmt.Println(len(ls), err)
	for l := range g.Listeners() {
		fmt.Println(l.ID(), l.Addr(), l.Serial(), l.Info().State)
	}
	_, found := g.Listener("b")
	fmt.Println(found)
	// Output:
	// 2 <nil>
	// a mem:all-a 1 accepting
	// b mem:all-b 2 accepting
	// true
}

func ExampleListener_Pause() {
	ctx := context.Background()
	g := lgrp.New(greetLines, nil)
	defer g.Close()
	l, _ := g.Listen(ctx, "127.0.0.1:0", Port{"Hello"})
	show := func(err error) { fmt.Println(l.Info().State, err) }
	show(l.Pause())   // keeps the port: clients wait
	show(l.Release()) // gives it up: clients are refused
	show(l.Resume(ctx))
	fmt.Println(say(dial(l), "again"))
	show(l.Remove(lgrp.KillConns))
	fmt.Println(l.Pause() != nil)
	// Output:
	// paused <nil>
	// released <nil>
	// accepting <nil>
	// Hello, again
	// closed <nil>
	// true
}

func ExampleListenerState() {
	client := func(s lgrp.ListenerState) string {
		switch s {
		case lgrp.StateAccepting:
			return "is served"
		case lgrp.StateStarting, lgrp.StatePaused, lgrp.StateFull, lgrp.StateBackingOff:
			return "waits"
		case lgrp.StateReleased, lgrp.StateDraining, lgrp.StateClosed:
			return "is refused"
		}
		return "is not known"
	}
	for s := lgrp.StateStarting; s <= lgrp.StateClosed; s++ {
		fmt.Println(s, "- a client", client(s))
	}
	// Output:
	// starting - a client waits
	// accepting - a client is served
	// paused - a client waits
	// released - a client is refused
	// full - a client waits
	// backing-off - a client waits
	// draining - a client is refused
	// closed - a client is refused
}

// broken is a listener whose Accept fails.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, errors.New("the cable is cut") }

func ExampleErrNoListener() {
	ctx := context.Background()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	g := lgrp.New(greetLines, &lgrp.Options{
		Logger:        slog.New(slog.DiscardHandler),
		AcceptBackoff: func(error, int) time.Duration { return -1 }, // never try again
	})
	l, err := g.Add(ctx, lgrp.ListenerSpec[Port]{ID: "cable", Listener: broken{ln}})
	if err != nil {
		panic(err)
	}
	fmt.Println(errors.Is(g.Run(ctx), lgrp.ErrNoListener))
	b, _ := l.Info().MarshalJSON()
	fmt.Println(l.Info().State, bytes.Contains(b, []byte(`"cause":"the cable is cut"`)))
	// Output:
	// true
	// closed true
}
