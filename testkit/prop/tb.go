package prop

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/listengroup/listengroup/testkit"
)

// caseTB is the TB of one case. Failures are kept and not passed on, so that a case may be tried again, be
// made smaller, or be expected to fail. Unlike testing's it has its cleanups run inside the case's bubble.
type caseTB struct {
	name   string
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	failures []string
	logs     []string
	cleanups []func()
	rapids   any // a panic of rapid's, which goes on in rapid's goroutine

	real     bool      // the clock is
	outcomes *outcomes // of other cases of the same law; nil outside of laws
	values   string    // what this one has drawn
}

var _ testkit.TB = (*caseTB)(nil)

func newCaseTB(name string) *caseTB {
	c := &caseTB{name: name}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// patience is how long a case waits for what should come at once.
func (c *caseTB) patience() time.Duration {
	if c.real {
		return 10 * time.Second
	}
	return patience
}

// Helper is testing.TB's; there are no line numbers to improve.
func (c *caseTB) Helper() {}

// Name is the test's.
func (c *caseTB) Name() string { return c.name }

// Context is cancelled before the cleanups run.
func (c *caseTB) Context() context.Context { return c.ctx }

// Logf keeps a line, which is shown if the case fails.
func (c *caseTB) Logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logs = append(c.logs, line)
}

// logged returns the lines that were kept.
func (c *caseTB) logged() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, line := range c.logs {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Errorf records a failure; the case goes on.
func (c *caseTB) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, text)
}

// Fatalf records a failure and ends the calling goroutine.
func (c *caseTB) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// FailNow ends the calling goroutine; the case has failed.
func (c *caseTB) FailNow() {
	if !c.Failed() {
		c.Errorf("FailNow was called")
	}
	runtime.Goexit()
}

// Failed tells whether there is a failure.
func (c *caseTB) Failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.failures) > 0
}

// failure is the first one, the others are as a rule its consequences.
func (c *caseTB) failure() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) == 0 {
		return ""
	}
	return c.failures[0]
}

// Cleanup has f called when the case is over, the last one first.
func (c *caseTB) Cleanup(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanups = append(c.cleanups, f)
}

// do calls f on a goroutine of its own, so that Fatalf ends f alone, and waits for it.
func (c *caseTB) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			v := recover()
			switch {
			case v == nil:
			case strings.HasPrefix(fmt.Sprintf("%T", v), "rapid."):
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.rapids == nil {
					c.rapids = v
				}
			default:
				c.Errorf("panic: %v\n%s", v, frames([]string{string(debug.Stack())}))
			}
		}()
		f()
	}()
	<-done
}

// runCleanups is the end of a case.
func (c *caseTB) runCleanups() {
	c.cancel()
	for {
		c.mu.Lock()
		n := len(c.cleanups)
		if n == 0 {
			c.mu.Unlock()
			return
		}
		f := c.cleanups[n-1]
		c.cleanups = c.cleanups[:n-1]
		c.mu.Unlock()
		c.do(f)
	}
}
