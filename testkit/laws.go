package testkit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// LawOptions changes how a conformance suite runs. The zero value, like a nil pointer, runs every law in a
// bubble and expects it to hold.
type LawOptions struct {
	// Real runs the laws outside bubbles, for connections that are made of sockets or use locks across
	// waits. Times are then not checked. Defaults to false.
	Real bool

	// Deviations names laws that are known not to hold, and says why. They are tried all the same, and
	// one that holds is a failure: the list stays true. Defaults to none.
	Deviations map[string]string
}

// A law is one promise, told apart by its name and explained where it is broken.
type law[E any] struct {
	name string
	text string
	run  func(e E) error
}

// errNotApplicable is the answer of a law about something that the connection does not have.
type errNotApplicable string

func (e errNotApplicable) Error() string { return string(e) }

// runLaws runs every law as a subtest, on a thing that mk made for it alone.
func runLaws[E any](t *testing.T, laws []law[E], opts []*LawOptions, mk func(t TB, env env) E) {
	t.Helper()
	var o LawOptions
	if len(opts) > 0 && opts[0] != nil {
		o = *opts[0]
	}
	for name := range o.Deviations {
		if !hasLaw(laws, name) {
			t.Errorf("testkit: LawOptions.Deviations names %q, which is no law", name)
		}
	}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			var err error
			if o.Real {
				err = within(realTimeout, func() error { return l.run(mk(t, env{real: true})) })
			} else {
				err = runInBubble(t, func(t *testing.T) error {
					e := mk(t, env{})
					return within(virtualTimeout, func() error { return l.run(e) })
				})
			}
			why, deviates := o.Deviations[l.name]
			var skip errNotApplicable
			switch {
			case errors.As(err, &skip):
				t.Skip(string(skip))
			case deviates && err != nil:
				t.Skipf("a declared deviation: %s\n%v", why, err)
			case deviates:
				t.Errorf("%s holds, although it is declared a deviation: %s", l.name, why)
			case err != nil:
				t.Errorf("%v\n\nThe law: %s", err, l.text)
			}
		})
	}
}

func hasLaw[E any](laws []law[E], name string) bool {
	for _, l := range laws {
		if l.name == name {
			return true
		}
	}
	return false
}

func runInBubble(t *testing.T, f func(t *testing.T) error) (err error) {
	failure, returned := runBubble(t, func(t *testing.T) { err = f(t) })
	switch {
	case failure != "" && !returned:
		return errors.New(failure) // err may not have been written to
	case failure != "":
		return errors.Join(err, errors.New(failure))
	case !returned:
		t.FailNow()
	}
	return err
}

// These are for a law that hangs; nothing is measured with them. A bubble notices by itself when everything in
// it waits, but not when somebody looks again and again: its clock would run until it overflows.
const (
	realTimeout    = 30 * time.Second
	virtualTimeout = 365 * 24 * time.Hour
)

func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the law ended the goroutine")
		defer func() { done <- err }()
		err = f()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		err := fmt.Errorf("the law hangs after %v", limit)
		if id := bubbleID(); id != 0 {
			err = fmt.Errorf("%w:\n\n%s", err, join(bubbleStacks(id, anyOf)))
		}
		return err
	}
}

// env is what laws need to know about where they run.
type env struct{ real bool }

// settle lets everything get as far as it can. Outside bubbles that cannot be known; laws hold there
// whether the goroutines they started are blocked yet or not, they are only weaker.
func (e env) settle() {
	if e.real {
		runtime.Gosched()
		return
	}
	synctest.Wait()
}

// sent waits until a Write is done, or for long enough to say that it waits for somebody to read. What it
// returns has the Write's error once it is done.
func (e env) sent(write <-chan error) <-chan error {
	select {
	case err := <-write:
		done := make(chan error, 1)
		done <- err
		return done
	case <-time.After(5 * e.soon()):
		return write
	}
}

// soon is a time to wait for.
func (e env) soon() time.Duration {
	if e.real {
		return 20 * time.Millisecond
	}
	return time.Minute
}

// took checks how long something took, where that is exact.
func (e env) took(what string, start time.Time, want time.Duration) error {
	if got := time.Since(start); !e.real && got != want {
		return fmt.Errorf("%s: took %v, want %v", what, got, want)
	}
	return nil
}

// want checks that err is one of the targets, nil if there are none.
func want(what string, err error, targets ...error) error {
	if len(targets) == 0 {
		if err == nil {
			return nil
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	names := make([]string, len(targets))
	for i, target := range targets {
		if errors.Is(err, target) && (target != io.EOF || err == io.EOF) {
			return nil
		}
		names[i] = target.Error()
	}
	return fmt.Errorf("%s: got %v, want %s", what, err, strings.Join(names, " or "))
}

// wantTimeout checks for what every deadline has to answer.
func wantTimeout(what string, err error) error {
	if err := want(what, err, os.ErrDeadlineExceeded); err != nil {
		return err
	}
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		return fmt.Errorf("%s: %v is no net.Error with Timeout", what, err)
	}
	return nil
}

// async starts f; the channel has its error once it is done.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func sendAsync(nc net.Conn, data string) <-chan error {
	return async(func() error { return send(nc, data) })
}

func readAsync(nc net.Conn) <-chan error {
	return async(func() error {
		n, err := nc.Read(make([]byte, 1))
		if n > 0 {
			return fmt.Errorf("read %d bytes that were not sent", n)
		}
		return err
	})
}

func expect(nc net.Conn, data string) error {
	got := make([]byte, len(data))
	if n, err := io.ReadFull(nc, got); err != nil {
		return fmt.Errorf("reading %d bytes: got %d, then %w", len(data), n, err)
	}
	if string(got) != data && len(data) > 100 {
		return errors.New("other bytes arrived than were sent")
	} else if string(got) != data {
		return fmt.Errorf("read %q, want %q", got, data)
	}
	return nil
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
