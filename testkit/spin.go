package testkit

import (
	"fmt"
	"runtime"
	"testing"
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
func (*spinGuard) stop(l *Listener, err error) {
	l.fault(fmt.Sprintf("an accept loop on %v does not back off: %d calls of Accept within %v, the last error: %v",
		l.Addr(), spinCalls, spinWindow, err))
	runtime.Goexit()
}

// fault fails the test.
func (l *Listener) fault(text string) {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	fault(l.t, over, text)
}

// fault fails a test. Once that is over there is nobody left to tell, so it panics: a *testing.T would too,
// but names itself and not the fault, and others forget what they are told.
func fault(t TB, over bool, text string) {
	told := false
	if _, panics := t.(testing.TB); !over || panics || virtual() {
		func() {
			defer func() { told = recover() == nil }()
			t.Errorf("testkit: %s", text)
		}()
	}
	if !told {
		panic(fmt.Sprintf("testkit: %s is over, and %s", t.Name(), text))
	}
}

// An accept loop that goes on when its listener was closed at the end of the test has a moment to show it. Once
// it has called again and again it has longer, since a busy machine may stop it for a while.
const (
	moment      = time.Millisecond
	longMoment  = 100 * time.Millisecond
	callsEnough = 10
)

// settle waits for accept loops while they can still fail the test. A bubble does that by itself.
func (l *Listener) settle() {
	if virtual() {
		return
	}
	calls, begun := 0, time.Now()
	for changed := begun; time.Since(begun) < spinWindow; time.Sleep(moment) {
		l.mu.Lock()
		used := l.asked || l.clients > 0 // by a loop that may be about to begin
		busy := l.accepting > 0 || l.spin.calls != calls
		calls = l.spin.calls
		l.mu.Unlock()
		patience := moment
		if calls >= callsEnough && calls < spinCalls {
			patience = longMoment
		}
		switch {
		case !used:
			return
		case busy:
			changed = time.Now()
		case time.Since(changed) >= patience:
			return
		}
	}
}
