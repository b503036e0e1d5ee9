package prop

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// leakGrace is the virtual time that goroutines get to finish once a case and its cleanups have.
const leakGrace = 2 * time.Minute

// inBubble runs one case in a bubble and returns what was wrong with it, "" for nothing. It marks nothing as
// failed: that is for the caller, who may want to shrink the case, or may expect it to fail. A panic of f's
// goes on in the caller's goroutine.
//
// Goroutines that are left behind, deadlocks and clocks that stand still are failures; the case's own
// failure comes first, since a case that failed half-way as a rule leaves goroutines behind.
func inBubble(t *testing.T, f func(tb *caseTB)) string {
	t.Helper()
	var (
		id       atomic.Int64
		deadlock string
		tb       *caseTB
		done     = make(chan struct{})
	)
	go func() {
		defer close(done)
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			text := fmt.Sprint(v)
			if !strings.HasPrefix(text, "deadlock: ") {
				panic(v)
			}
			deadlock = "goroutines are left that wait for ever:\n" + frames(stacks(int(id.Load())))
		}()
		synctest.Test(t, func(st *testing.T) {
			id.Store(int64(bubbleID()))
			tb = newCaseTB(t.Name())
			tb.do(func() { f(tb) })
			tb.runCleanups()
			time.Sleep(leakGrace)
		})
	}()
	if stuck := watch(done, &id); stuck != "" {
		return hung + stuck
	}
	if tb != nil {
		replay(tb.rapids)
	}
	if tb != nil && tb.failure() != "" {
		return tb.failure()
	}
	return deadlock
}

// outside runs one case without a bubble, for sockets.
func outside(t *testing.T, f func(tb *caseTB)) string {
	t.Helper()
	tb := newCaseTB(t.Name())
	tb.real = true
	tb.do(func() { f(tb) })
	tb.runCleanups()
	replay(tb.rapids)
	return tb.failure()
}

// watchEvery is how often a bubble is looked at.
var watchEvery = time.Second

const (
	watchTimes = 8  // how often the same goroutines must be seen stopping the clock
	watchMost  = 30 // how often anything may be seen: a case is a matter of milliseconds

	// hung begins the text of a failure that should not be tried again: what hangs stays, and may be busy.
	hung = "the bubble does not come to rest; its clock is stopped by goroutines that are busy or wait for " +
		"something outside (a mutex, a socket, a channel):\n"
)

// watch waits for a bubble to end, or for its clock to be stopped for good.
func watch(done <-chan struct{}, id *atomic.Int64) (stuck string) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	before, seen := "", 0
	for times := 1; ; times++ {
		select {
		case <-done:
			return ""
		case <-ticker.C:
		}
		if times >= watchMost {
			return frames(slices.DeleteFunc(stacks(int(id.Load())), durable))
		}
		now := stopping(int(id.Load()))
		if now == "" || now != before {
			before, seen = now, 0
		} else if seen++; seen >= watchTimes {
			return now
		}
	}
}

// stopping returns the stacks that keep a clock from moving, none while something runs.
func stopping(id int) string {
	var stuck []string
	for _, g := range stacks(id) {
		header, _, _ := strings.Cut(g, "\n")
		switch {
		case strings.Contains(header, "[running") || strings.Contains(header, "[runnable"):
			return ""
		case !durable(g):
			stuck = append(stuck, g)
		}
	}
	return frames(stuck)
}

// durable tells whether a goroutine waits for its bubble alone.
func durable(g string) bool {
	header, _, _ := strings.Cut(g, "\n")
	return strings.Contains(header, "(durable)")
}

// bubbleID is the number of the bubble that the caller runs in.
func bubbleID() int {
	buf := make([]byte, 128)
	line, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), "\n")
	return headerID(line)
}

func headerID(header string) (id int) {
	_, rest, _ := strings.Cut(header, "synctest bubble ")
	_, _ = fmt.Sscanf(rest, "%d]:", &id)
	return id
}

// stacks returns the goroutines of a bubble.
func stacks(id int) (gs []string) {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		header, rest, _ := strings.Cut(g, "\n")
		if id == 0 || headerID(header) != id ||
			strings.HasPrefix(rest, "testing/synctest.testingSynctestTest(") || strings.HasPrefix(rest, "internal/synctest.Run(") {
			continue
		}
		gs = append(gs, g)
	}
	return gs
}

// frames shows what goroutines do without their numbers and addresses, which differ from run to run: rapid
// does not shrink a failure whose text it cannot get again.
func frames(gs []string) string {
	var b strings.Builder
	for _, g := range gs {
		for line := range strings.SplitSeq(g, "\n") {
			switch {
			case strings.HasPrefix(line, "goroutine "):
				_, what, _ := strings.Cut(line, "[")
				what, _, _ = strings.Cut(what, ", synctest")
				fmt.Fprintf(&b, "  [%s]\n", what)
			case strings.HasPrefix(line, "\t"):
				file, _, _ := strings.Cut(line, " +0x")
				if i := strings.LastIndexByte(file, '/'); i >= 0 {
					file = file[i+1:]
				}
				fmt.Fprintf(&b, "      %s\n", file)
			default:
				if strings.HasPrefix(line, "created by ") {
					line, _, _ = strings.Cut(line, " in goroutine")
				} else if i := strings.LastIndexByte(line, '('); i > 0 {
					line = line[:i]
				}
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	return b.String()
}
