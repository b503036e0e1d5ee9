package testkit

import (
	"runtime"
	"time"
)

// A loop that backs off as net/http does makes 200 calls a second at most.
const (
	spinCalls  = 10_000
	spinWindow = time.Second
)

// spinGuard notices an accept loop that tries again without waiting. In a bubble such a loop never
// lets the clock move, so that the test would hang until its timeout.
type spinGuard struct {
	since time.Time
	calls int
}

// failed counts an Accept that failed with an error which will not go away by itself.
func (g *spinGuard) failed() (spinning bool) {
	if now := time.Now(); g.calls == 0 || now.Sub(g.since) > spinWindow {
		*g = spinGuard{since: now}
	}
	g.calls++
	return g.calls >= spinCalls
}

// stop fails the test and ends the goroutine that spins, since nothing it is told would stop it.
func (*spinGuard) stop(t TB, l *Listener, err error) {
	t.Errorf("testkit: an accept loop on %v does not back off: %d calls of Accept within %v, the last error: %v",
		l.Addr(), spinCalls, spinWindow, err)
	runtime.Goexit()
}
