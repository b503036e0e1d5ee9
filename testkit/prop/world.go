package prop

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// World is what one random case happens in. It is a testkit.TB whose cleanups run in the case's bubble; T is
// what values are drawn from:
//
//	payload := prop.Payloads(0).Draw(w.T, "payload")
//
// Failures are reported to the World, not to T. Errorf, Logf and Failed may be called by any goroutine, Fatalf
// ends the goroutine that calls it.
type World struct {
	*caseTB

	// T draws values. It must be used from the goroutine of the case only.
	T *rapid.T

	// Net is where listeners come from: w.Net.Listen(w).
	Net testkit.Network

	// Recorder is checked, by Recorder.Check, when a case ends that has not failed otherwise.
	Recorder testkit.Recorder

	heard heard
	real  bool // sockets, outside of a bubble
}

// Options returns options for a group whose events go to the Recorder and that logs nothing. The caller may
// change what it likes.
func (w *World) Options() *lgrp.Options {
	o := &lgrp.Options{Logger: slog.New(slog.DiscardHandler), Events: w.heard.events(Events(&w.Recorder))}
	if w.real {
		o.ForceWait = 50 * time.Millisecond
	}
	return o
}

// Check tries property on random cases, each in a World and a bubble of its own, and shows the smallest case
// that fails. How many there are is said by rapid's RAPID_CHECKS, 100 if it is not set; its other variables
// work too.
//
// A goroutine that is left behind, a deadlock, a wait that stops the bubble's clock and a record that
// breaks a promise are failures. A case that stops the clock is shown as it was found, and not made smaller.
func Check(t *testing.T, property func(w *World)) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) { tryIn(t, rt, inBubble, property) })
}

// Fuzz is Check for native fuzzing: the fuzzer's input decides what is drawn.
//
//	func FuzzServer(f *testing.F) { prop.Fuzz(f, property) }
func Fuzz(f *testing.F, property func(w *World)) {
	f.Helper()
	f.Fuzz(func(t *testing.T, input []byte) {
		rapid.MakeFuzz(func(rt *rapid.T) { tryIn(t, rt, inBubble, property) })(t, input)
	})
}

// tryIn is one case. One that hangs ends the test at once, for each try would take its time and leave goroutines. The text of a failure is logged, which rapid shows for the smallest case, and is not the
// failure itself: rapid gives up shrinking when a replay says the same thing in other words.
func tryIn(t *testing.T, rt *rapid.T, run func(*testing.T, func(*caseTB)) string, property func(w *World)) {
	t.Helper()
	var world atomic.Pointer[World] // a case that hangs is left to itself, and goes on with its own
	failure := run(t, func(tb *caseTB) {
		w := &World{caseTB: tb, T: rt}
		world.Store(w)
		property(w)
	})
	w := world.Load()
	if strings.HasPrefix(failure, hung) {
		t.Fatalf("%s%s\nThe case is shown as it was found: one that hangs is not tried again. RAPID_V=1 shows what was drawn.", w.logged(), failure)
	}
	if failure == "" {
		if err := w.Recorder.Check(); err != nil {
			failure = err.Error() + "\n" + w.Recorder.String()
		}
	}
	if failure != "" {
		rt.Logf("%s%s", w.logged(), failure)
		rt.Fatalf("the smallest case that fails is shown below")
	}
}
