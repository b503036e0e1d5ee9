package testkit

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// goroutine is one entry of a stack dump.
type goroutine struct {
	header string // goroutine 7 [chan receive (durable), synctest bubble 3
	frames string
}

// bubbleID is the number of the bubble the caller runs in.
func bubbleID() int {
	buf := make([]byte, 128)
	line, _, _ := bytes.Cut(buf[:runtime.Stack(buf, false)], []byte("\n"))
	return parseBubble(unlabelled(string(line)))
}

// virtual tells whether the caller seems to be in a bubble: there the clock begins in the year 2000. It costs
// next to nothing, and bubbleID some microseconds for each frame of the stack.
func virtual() bool { return time.Now().Year() < 2010 }

// unlabelled cuts a header before the profiling labels, in which anything may stand. They are shown with
// GODEBUG=tracebacklabels=1.
func unlabelled(header string) string {
	header, _, _ = strings.Cut(header, " labels:{")
	return strings.TrimSuffix(header, "]:")
}

func parseBubble(header string) int {
	_, id, _ := strings.Cut(header, "synctest bubble ")
	n, _ := strconv.Atoi(id)
	return n
}

// dumpSize is what the last dump took, which the next is likely to take too: each try stops everything.
var dumpSize atomic.Int64

// bubbleStacks returns the goroutines of a bubble that f likes, without those of package testing that only
// wait for the test.
func bubbleStacks(id int, f func(g goroutine) bool) (gs []goroutine) {
	buf := make([]byte, max(dumpSize.Load(), 64<<10))
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 4*n)
		n = runtime.Stack(buf, true)
	}
	dumpSize.Store(int64(n + n/4))
	for entry := range bytes.SplitSeq(buf[:n], []byte("\n\n")) {
		first, frames, _ := bytes.Cut(entry, []byte("\n"))
		g := goroutine{header: unlabelled(string(first))}
		if parseBubble(g.header) != id || id == 0 || !f(g) {
			continue
		}
		if bytes.HasPrefix(frames, []byte("testing/synctest.testingSynctestTest(")) || bytes.HasPrefix(frames, []byte("internal/synctest.Run(")) {
			continue
		}
		g.frames = string(bytes.TrimSpace(frames))
		gs = append(gs, g)
	}
	return gs
}

func anyOf(goroutine) bool { return true }

// durable tells whether the goroutine waits for the bubble alone, so that the clock may move.
func (g goroutine) durable() bool { return strings.Contains(g.header, "(durable)") }

// running tells whether the goroutine is busy or about to be: it stops the clock, but not for good.
func (g goroutine) running() bool {
	return strings.Contains(g.header, "[running") || strings.Contains(g.header, "[runnable")
}

func (g goroutine) String() string { return g.header + "]:\n" + g.frames }

func join(gs []goroutine) string {
	texts := make([]string, len(gs))
	for i, g := range gs {
		texts[i] = g.String()
	}
	return strings.Join(texts, "\n\n")
}
