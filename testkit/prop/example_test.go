package prop_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit/prop"
)

// run runs the test of an example, once. What go test was told (-v, -count, -cpu) is for the examples, not for it.
func run(test func(t *testing.T)) {
	verbose := flag.Lookup("test.v").Value
	old := verbose.String()
	verbose.Set("false")
	defer verbose.Set(old)
	var once sync.Once
	testing.RunTests(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "TestExample", F: func(t *testing.T) { once.Do(func() { test(t) }) }}})
}

// unshrunk has rapid leave failures as it found them, until the func that it returns is called.
func unshrunk() (restore func()) {
	shrink := flag.Lookup("rapid.shrinktime").Value
	old := shrink.String()
	_ = shrink.Set("0s")
	return func() { _ = shrink.Set(old) }
}

// naive is a server with the accept loop that everybody writes first. Its five methods make it a prop.System.
type naive struct {
	handle lgrp.Handler

	mu    sync.Mutex
	lns   map[string]net.Listener
	conns map[net.Conn]bool
}

func (s *naive) serve(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err // the bug
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		go func() {
			defer c.Close()
			defer func() { _ = recover() }()
			_ = s.handle(context.Background(), c, new(lgrp.AnyConn))
		}()
	}
}

func (s *naive) Add(_ context.Context, spec prop.ListenerSpec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lns[spec.ID] != nil {
		_ = spec.Listener.Close()
		return lgrp.ErrDuplicateID
	}
	s.lns[spec.ID] = spec.Listener
	go func() { _ = s.serve(spec.Listener) }()
	return nil
}

func (s *naive) Remove(id string, _ lgrp.RemoveMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.lns[id].Close()
	delete(s.lns, id)
	return nil
}

func (s *naive) Shutdown(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range s.lns {
		_ = ln.Close()
	}
	for c := range s.conns {
		_ = c.Close()
	}
	return nil
}

func (s *naive) SetMaxConns(string, int) error { return errors.ErrUnsupported }
func (s *naive) Counts() (lgrp.Counts, bool)   { return lgrp.Counts{}, false }

// theNaive is the model of that server.
func theNaive() prop.Model {
	return prop.Model{
		New: func(_ *prop.World, h lgrp.Handler) prop.System {
			return &naive{handle: h, lns: map[string]net.Listener{}, conns: map[net.Conn]bool{}}
		},
		Without: []string{"remove", "shutdown", "slow accept", "late dial"},
	}
}

func find(t *testing.T, m prop.Model) *prop.Failure {
	for {
		if failure := m.Find(t); failure != nil { // a short run tries few cases
			return failure
		}
	}
}

// The accept loop that everybody writes first ends at the first error, and nobody is served any more. Failure.String
// shows what was done, as a rule
//
//	what was done:
//	   1. add a, limit 0, backlog
//	   2. accept errors a: 1 times software caused connection abort
//	   3. dial a (1)
//	   4. time goes by: 10s
//	listener a accepts, and does not serve the 1 clients that wait
func ExampleModel_Find() {
	defer unshrunk()()
	run(func(t *testing.T) {
		failure := find(t, theNaive())
		fmt.Println(strings.Contains(failure.What, "accepts, and does not serve the"))
	})
	// Output: true
}

// In full, and as small as it gets.
func TestModelFindsTheNaiveLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("making the case smaller takes thousands of tries; ExampleModel_Find is content with any case")
	}
	failure := find(t, theNaive())
	require.Equal(t, "listener a accepts, and does not serve the 1 clients that wait", failure.What)
	require.LessOrEqual(t, failure.Drawn, 6)
}

// A handler that takes one Read for one line works until the network cuts a line in two.
func ExampleTestConnHandler() {
	type none = struct{}
	oneRead := func(_ context.Context, nc net.Conn, _ *lgrp.Conn[none, none]) error {
		buf := make([]byte, 1000)
		for {
			n, err := nc.Read(buf)
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(nc, "<%s>", buf[:n]); err != nil {
				return err
			}
		}
	}
	lines := func(_ context.Context, nc net.Conn, _ *lgrp.Conn[none, none]) error {
		for s := bufio.NewScanner(nc); s.Scan(); {
			if _, err := fmt.Fprintf(nc, "<%s>", s.Text()); err != nil {
				return err
			}
		}
		return nil
	}

	words := rapid.Map(rapid.StringMatching(`[a-z]{2,9}`), func(s string) prop.Payload { return prop.Payload(s) })
	run(func(t *testing.T) {
		broken := func(law prop.Law, found string) {
			if law == prop.LawChunking {
				fmt.Println(found)
			}
		}
		fmt.Println("with one Read:")
		prop.TestConnHandler(t, oneRead, prop.ConnHandlerSpec{Input: words, Broken: broken})
		fmt.Println("with bufio.Scanner:")
		prop.TestConnHandler(t, lines, prop.ConnHandlerSpec{Input: words, Broken: broken})
	})
	// Output:
	// with one Read:
	// sent "aa" in one piece the handler answers "<aa>", and in pieces of [1] it answers "<a><a>"
	// with bufio.Scanner:
}

// A middleware that wraps the connection in a struct loses what else the connection could do, and half-close
// with it.
func ExampleTestMiddleware() {
	mw := func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, struct{ net.Conn }{nc}, c)
		}
	}
	run(func(t *testing.T) {
		prop.TestMiddleware(t, mw, prop.MiddlewareSpec{Broken: func(law prop.Law, found string) {
			fmt.Printf("%s:\n  %s\n", law, found)
		}})
	})
	// Output:
	// passes half-close on:
	//   the handler wants to half-close and read on: struct { net.Conn } has no CloseWrite
	// keeps optional interfaces:
	//   the middleware was given a *net.TCPConn and passes a struct { net.Conn } on, which lacks CloseWrite
}
