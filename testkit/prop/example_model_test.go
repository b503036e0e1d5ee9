package prop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
	"github.com/listengroup/listengroup/testkit/prop"
)

// A program's own group, with its options and middleware, an action and an invariant of its own.
func ExampleModel() {
	run(func(t *testing.T) {
		prop.Model{
			New: func(w *prop.World, h lgrp.Handler) prop.System {
				g := lgrp.New(lgrp.Typed[none, none](h), w.Options())
				g.Use(func(next lgrp.Handler) lgrp.Handler { return next }) // the program's
				return prop.Adapt(g)
			},
			Actions: []prop.Action{{
				Name: "a look at the graphs",
				When: func(s *prop.State) bool { return len(s.Conns()) > 0 },
				Do:   func(s *prop.State) { s.Recorder.Note("%d clients so far", len(s.Conns())) },
			}},
			Invariants: []prop.Invariant{{
				Name: "no listener has two names",
				Check: func(s *prop.State) error {
					if ids := s.Listeners(); len(slices.Compact(ids)) < len(s.Listeners()) {
						return errors.New("an id is listed twice")
					}
					return nil
				},
			}},
			Without: []string{"slow accept"},
		}.Check(t)
		fmt.Println("as it should be")
	})
	fmt.Println(prop.ActionNames()[:4])
	// Output:
	// as it should be
	// [dial add time goes by: say]
}

// Case by case in a world of its own: virtual time, a network, a record of what happened.
func ExampleCheck() {
	run(func(t *testing.T) {
		prop.Check(t, func(w *prop.World) {
			g := lgrp.New(echo, w.Options())
			w.Cleanup(func() { _ = g.Close() })
			spec := prop.ListenerSpecs(w).Draw(w.T, "listener")
			if _, err := g.Add(w.Context(), spec); err != nil {
				w.Fatalf("add: %v", err)
			}
			ln := spec.Listener.(*testkit.Listener)
			var clients []*testkit.Conn
			prop.Steps(w, nil,
				prop.Step{Name: "dial", When: func() bool { return len(clients) < 3 }, Do: func() {
					if nc, err := ln.Dial(); err == nil { // some errors end a listener
						clients = append(clients, nc)
					}
				}},
				prop.Step{Name: "network trouble", Do: func() { ln.InjectAcceptError(prop.AcceptErrors().Draw(w.T, "error")) }},
				prop.Step{Name: "close", Weight: 2, When: func() bool { return len(clients) > 0 }, Do: func() {
					_ = clients[0].Close()
					clients = clients[1:]
				}},
			)
		})
		fmt.Println("as it should be")
	})
	// Output: as it should be
}

// What is drawn prints as one would write it, and shrinks to the plainest.
func Example_generators() {
	fmt.Printf("%#v\n", prop.Payload("GET / HTTP/1.1\r\n"))
	fmt.Printf("%v, %v\n", prop.Chunking{}, prop.Chunking{1, 7})
	for _, piece := range (prop.Chunking{1, 3}).Split([]byte("abcdef")) {
		fmt.Printf("%s ", piece)
	}
	fmt.Println()
	rapid.Check(silent{}, func(t *rapid.T) {
		_ = prop.Transports().Draw(t, "transport")
		_ = prop.Addresses().Draw(t, "address")
		_ = prop.Faults(100).Draw(t, "faults")
		_ = prop.Delays(0).Draw(t, "delay")
		_ = prop.LimitPolicies().Draw(t, "policy")
		chunking, payload := prop.Chunkings().Draw(t, "chunking"), prop.Payloads(100).Draw(t, "payload")
		_ = chunking.Split(payload)
	})
	// Output:
	// "GET / HTTP/1.1\r\n"
	// in one piece, in pieces of [1 7]
	// a bcd e f
}

// The record of a group's events is text that is the same from run to run.
func ExampleEvents() {
	run(func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			var r testkit.Recorder
			g := lgrp.New(echo, &lgrp.Options{Events: prop.Events(&r)})
			ln := testkit.Listen(t)
			_, _ = g.Add(context.Background(), lgrp.ListenerSpec[none]{ID: "a", Listener: ln})
			nc := ln.NewConn()
			_ = nc.CloseWrite()
			_, _ = io.ReadAll(nc)
			_ = g.Close()
			fmt.Print(&r)
			fmt.Println(r.Check())
		})
	})
	// Output:
	// 0s conn 1 on a: closed, returned
	// 0s conn 1 on a: opened
	// 0s listener a: accepting -> draining
	// 0s listener a: draining -> closed
	// 0s listener a: starting -> accepting
	// <nil>
}

// silent is a rapid.TB outside of tests.
type silent struct{ rapid.TB }

func (silent) Helper()             {}
func (silent) Name() string        { return "example" }
func (silent) Logf(string, ...any) {}
func (silent) Failed() bool        { return false }
