package main

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func TestEcho(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) { // in here time is virtual, and exact
		g := lgrp.New(echo, nil)
		ln := testkit.Listen(t) // a network in memory that behaves like TCP
		_, err := g.Add(t.Context(), lgrp.ListenerSpec[port]{Listener: ln, Context: port{"Good day"}})
		if err != nil {
			t.Fatal(err)
		}

		nc, idle := ln.NewConn(), ln.NewConn()
		fmt.Fprint(nc, "echo?")
		nc.CloseWrite()
		got, err := io.ReadAll(nc)
		if want := "Good day, you are number 1\necho?"; string(got) != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}

		start := time.Now()
		if err := g.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("an idle client held the shutdown up for %v", took)
		}
		if got, _ := io.ReadAll(idle); string(got) != "Good day, you are number 2\n" {
			t.Errorf("the idle client read %q", got)
		}
	})
}
