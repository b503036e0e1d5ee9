package prop

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// smallest has rapid look for a case that fails, and returns what is wrong with the smallest it found, ""
// if none fails. With first set it is content with the first. Nothing is marked as failed and no
// file written.
func smallest(t *testing.T, first bool, property func(rt *rapid.T) string) (failure string, q *quiet) {
	t.Helper()
	done := make(chan struct{})
	q = &quiet{t: t}
	var value any
	go func() {
		defer close(done)
		defer func() { value = recover() }()
		rapid.Check(q, func(rt *rapid.T) {
			if f := property(rt); f != "" {
				failure = f
				if first || strings.HasPrefix(f, hung) {
					runtime.Goexit()
				}
				rt.Fatalf("the case fails") // in the same words each time, or rapid does not shrink
			}
		})
	}()
	<-done
	if value != nil {
		panic(value)
	}
	return failure, q
}

// replay passes a panic of rapid's on, if there is one. Its place is all that rapid's shrinker looks at to tell
// failures apart, so the notice that the data did not suffice needs a place of its own.
func replay(v any) {
	switch {
	case v == nil:
	case strings.HasSuffix(fmt.Sprintf("%T", v), ".invalidData"):
		panic(v)
	default:
		panic(v)
	}
}

// quiet is the rapid.TB of a run whose outcome is a value.
type quiet struct {
	t      *testing.T
	failed bool
	seed   uint64 // of the case that failed
	flaky  bool   // rapid has given shrinking up, for the case did not fail again
}

// Name is too long for a file, so that rapid keeps no file of a failure that may be as it should be.
func (q *quiet) Name() string         { return strings.Repeat("x", 300) }
func (q *quiet) Helper()              {}
func (q *quiet) Logf(string, ...any)  {}
func (q *quiet) Log(...any)           {}
func (q *quiet) Skipf(string, ...any) { runtime.Goexit() }
func (q *quiet) Skip(...any)          { runtime.Goexit() }
func (q *quiet) SkipNow()             { runtime.Goexit() }
func (q *quiet) Errorf(format string, args ...any) {
	q.failed = true
	text := fmt.Sprintf(format, args...)
	q.flaky = q.flaky || strings.Contains(text, "flaky test")
	if _, after, ok := strings.Cut(text, "-rapid.seed="); ok {
		_, _ = fmt.Sscanf(after, "%d", &q.seed)
	}
}
func (q *quiet) Error(...any)             { q.failed = true }
func (q *quiet) Fatalf(string, ...any)    { q.FailNow() }
func (q *quiet) Fatal(...any)             { q.FailNow() }
func (q *quiet) FailNow()                 { q.failed = true; runtime.Goexit() }
func (q *quiet) Fail()                    { q.failed = true }
func (q *quiet) Failed() bool             { return q.failed }
func (q *quiet) Context() context.Context { return q.t.Context() }
