package testkit

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// leakGrace is the virtual time that goroutines get to finish once the test and its cleanups have: more
// than the idle timeouts in use, such as the 90 s of http.DefaultTransport. It costs no real time.
const leakGrace = 2 * time.Minute

// Bubble runs f in a testing/synctest bubble, where time is virtual and exact. It is synctest.Test, except
// that the ways in which a bubble goes wrong are failures of this test with the stacks that matter:
//
//   - Goroutines that f leaves behind get two minutes of virtual time to finish, after the cleanups. Those
//     that have not are reported; synctest.Test would end the whole test binary.
//   - A deadlock is reported the same way.
//   - A goroutine that waits for something outside the bubble (a mutex, a socket, a channel made outside)
//     stops the clock. When that lasts for five seconds of real time, longer beside many thousand goroutines,
//     the goroutine is named and the test fails; synctest.Test would hang until the binary's timeout.
//
// In f, t.Cleanup and t.Context belong to the bubble; t.Run, t.Parallel and t.Deadline must not be called.
// Start subtests outside and a Bubble in each.
func Bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	failure, returned := runBubble(t, f)
	if failure != "" {
		t.Error("testkit: " + failure)
	}
	if !returned {
		t.FailNow()
	}
}

// runBubble returns how the bubble went wrong, if it did, and whether f came to its end.
func runBubble(t *testing.T, f func(t *testing.T)) (failure string, returned bool) {
	b := &bubble{done: make(chan struct{})}
	go b.run(t, f)
	if stuck := b.watch(); stuck != nil {
		return fmt.Sprintf("the bubble's clock is stopped by a wait that is not durable: on a mutex, a socket, or "+
			"something made outside the bubble:\n\n%s", join(stuck)), false
	}
	return b.failure, b.returned
}

type bubble struct {
	id       atomic.Int64
	done     chan struct{}
	failure  string // of these two, done says when they may be read
	returned bool
}

// run has a goroutine of its own, so that the test can fail while the bubble is stuck.
func (b *bubble) run(t *testing.T, f func(t *testing.T)) {
	defer close(b.done)
	defer func() {
		v := recover()
		if v == nil {
			return // returned, or f failed and synctest.Test called Goexit
		}
		err, ok := v.(error)
		if !ok || !strings.HasPrefix(err.Error(), "deadlock: ") {
			panic(v)
		}
		left := bubbleStacks(int(b.id.Load()), anyOf)
		b.failure = fmt.Sprintf("%v\n\n%s", err, join(left))
		if strings.Contains(err.Error(), "main bubble goroutine has exited") {
			b.returned = true
			b.failure = fmt.Sprintf("%d leaked goroutine(s), still waiting %v after the test:\n\n%s",
				len(left), leakGrace, join(left))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		b.id.Store(int64(bubbleID()))
		t.Cleanup(func() { time.Sleep(leakGrace) }) // first in, so the last to run
		f(t)
	})
	b.returned = true
}

// The watchdog looks that often, and fails a test when it has seen the same goroutines stopping the clock that
// many times in a row. Only this package's own tests change the first.
//
// A look stops everything for the time that it takes to write down all stacks, half a second for ten thousand
// on a busy machine, so it takes at most one part of watchShare of the time.
var watchEvery = time.Second

const (
	watchTimes = 5
	watchShare = 5
)

// watch waits for the bubble to end, or for its clock to be stopped for good.
func (b *bubble) watch() []goroutine {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	var before string
	var seen int
	for {
		select {
		case <-b.done:
			return nil
		case <-timer.C:
		}
		begun := time.Now()
		stuck := b.stopping()
		timer.Reset(max(watchEvery, watchShare*time.Since(begun)))
		var now string
		for _, g := range stuck {
			id, _, _ := strings.Cut(g.header, "[") // what follows has the minutes waited in it
			now += id + g.frames
		}
		if now == "" || now != before {
			before, seen = now, 0
		} else if seen++; seen >= watchTimes {
			return stuck
		}
	}
}

// stopping returns the goroutines that keep the clock from moving, none while something runs.
func (b *bubble) stopping() []goroutine {
	runs := false
	stuck := bubbleStacks(int(b.id.Load()), func(g goroutine) bool {
		runs = runs || g.running()
		return !runs && !g.durable()
	})
	if runs {
		return nil
	}
	return stuck
}
