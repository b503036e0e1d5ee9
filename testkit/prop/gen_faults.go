package prop

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/testkit"
)

// Faults draws what goes wrong in one direction of a connection, within the first so many bytes; 0 or less
// means 100. It shrinks to none.
func Faults(within int) *rapid.Generator[testkit.Faults] {
	if within <= 0 {
		within = 100
	}
	return rapid.Custom(func(t *rapid.T) (f testkit.Faults) {
		switch rapid.IntRange(0, 4).Draw(t, "pace") {
		case 1:
			f.MaxChunk = rapid.IntRange(1, 8).Draw(t, "chunk")
		case 2:
			f.Delay = Delays(time.Second).Draw(t, "delay")
		case 3:
			f.Jitter, f.Seed = Delays(time.Second).Draw(t, "jitter"), rapid.Uint64().Draw(t, "seed")
		case 4:
			f.BytesPerSecond = rapid.IntRange(1, 1000).Draw(t, "rate")
		}
		end := rapid.IntRange(0, 6).Draw(t, "end")
		if end > 0 {
			f.After = int64(rapid.IntRange(0, within).Draw(t, "after"))
		}
		switch end {
		case 1:
			f.EOF = true
		case 2:
			f.Reset = true
		case 3:
			f.Stall = true
		case 4:
			f.Err = syscall.EIO
		case 5:
			f.Corrupt = 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 6:
			f.Drop = true
		}
		return f
	})
}

// The errors that accept(2) and listeners answer with, by what they ask of an accept loop.
var (
	transient = []error{syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR, syscall.ENETDOWN, syscall.EPERM, syscall.ETIMEDOUT, syscall.ECONNRESET}
	capacity  = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}
	fatal     = []error{syscall.EBADF, errors.New("something unknown"), errPanic}
)

// AcceptErrors draws errors to inject into a testkit.Listener: those that concern one connection, those that say
// that the machine is full, and those after which there is nothing more to accept. It shrinks to ECONNABORTED.
func AcceptErrors() *rapid.Generator[error] {
	var all []error
	for _, err := range slices.Concat(transient, capacity, []error{syscall.EBADF, net.ErrClosed}) {
		all = append(all, drawnError{err})
	}
	return rapid.SampledFrom(all)
}

// drawnError prints as its text and not as a number.
type drawnError struct{ error }

func (e drawnError) Unwrap() error    { return e.error }
func (e drawnError) GoString() string { return e.Error() }

// Addresses draws addresses of all kinds that package addr reads. Nobody listens on them, and not all can be
// listened on. It shrinks to 192.0.2.1:1.
func Addresses() *rapid.Generator[addr.Addr] {
	host := rapid.SampledFrom([]string{"192.0.2.1", "[2001:db8::1]", "example.com", "", "[fe80::1%eth0]"})
	return rapid.Custom(func(t *rapid.T) addr.Addr {
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		port := rapid.IntRange(1, 65535).Draw(t, "port")
		switch kind {
		case 1:
			return addr.MustParse(fmt.Sprintf("tcp://%s:%d", host.Draw(t, "host"), port))
		case 2:
			return addr.MustParse(fmt.Sprintf("%s:%d-%d", host.Draw(t, "host"), port, min(65535, port+rapid.IntRange(0, 9).Draw(t, "more"))))
		case 3:
			return addr.MustParse("unix:" + rapid.StringMatching(`/[a-z]{1,8}(/[a-z]{1,8}){0,3}\.sock`).Draw(t, "path"))
		case 4:
			return addr.MustParse("unix:@" + rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name"))
		case 5:
			return addr.MustParse("mem:" + rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name"))
		}
		return addr.MustParse(fmt.Sprintf("%s:%d", host.Draw(t, "host"), port))
	})
}
