package prop_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
	"github.com/listengroup/listengroup/testkit/prop"
)

// The laws have names, by which subtests are selected and deviations declared.
func ExampleLaw() {
	fmt.Println("of middleware:")
	for _, law := range []prop.Law{
		prop.LawNextOnce, prop.LawError, prop.LawPanic, prop.LawContext, prop.LawConn, prop.LawBytes,
		prop.LawHalfClose, prop.LawDeadlines, prop.LawNoDeadline, prop.LawPeerGone, prop.LawClosed,
		prop.LawInterfaces, prop.LawConcurrent, prop.LawNotClosed, prop.LawNotRetained, prop.LawDrain,
		prop.LawTwice, prop.LawZeroConn,
	} {
		fmt.Println(" ", law)
	}
	fmt.Println("of handlers:")
	for _, law := range []prop.Law{prop.LawChunking, prop.LawNoPanic, prop.LawDrained} {
		fmt.Println(" ", law)
	}
	// Output:
	// of middleware:
	//   calls next at most once
	//   returns the error of next
	//   does not hide a panic
	//   passes the context on
	//   passes the connection on
	//   transparent for bytes
	//   passes half-close on
	//   deadlines still work
	//   leaves no deadline behind
	//   ends when the peer goes
	//   ends when the connection is closed
	//   keeps optional interfaces
	//   safe under concurrent connections
	//   does not close the connection
	//   keeps nothing afterwards
	//   does not hold up a drain
	//   may be built more than once
	//   works with a zero AnyConn
	// of handlers:
	//   chunking does not matter
	//   does not panic
	//   finishes when drained
}

// A property that Check tries at random is a native fuzz test with Fuzz:
//
//	func FuzzEcho(f *testing.F) { … }
func ExampleFuzz() {
	_ = func(f *testing.F) {
		prop.Fuzz(f, func(w *prop.World) {
			ln := testkit.Listen(w)
			g := lgrp.New(echo, w.Options())
			_, _ = g.Add(w.Context(), lgrp.ListenerSpec[none]{Listener: ln})
			nc := ln.NewConn()
			sent := prop.Payloads(100).Draw(w.T, "payload")
			go func() {
				_, _ = nc.Write(sent)
				_ = nc.CloseWrite()
			}()
			if got, err := io.ReadAll(nc); string(got) != string(sent) {
				w.Errorf("got %q, %v", got, err)
			}
			_ = g.Close()
		})
	}
}
