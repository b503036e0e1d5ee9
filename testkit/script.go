package testkit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Script is one side of a conversation: what a peer sends, and what it expects to be sent. Steps are added
// with chained calls and run in order by [Script.Run], in any goroutine and on any net.Conn, as often as
// needed. The zero value is an empty script. Adding steps is for one goroutine.
type Script struct {
	// Timeout is how long each step may take. Defaults to 10 s.
	Timeout time.Duration

	steps []step
}

type step struct {
	name string
	do   func(nc net.Conn) error
	own  bool // keeps its own time: no deadline
}

func (s *Script) add(do func(nc net.Conn) error, format string, args ...any) *Script {
	s.steps = append(s.steps, step{name: fmt.Sprintf(format, args...), do: do})
	return s
}

// Send writes data in one Write.
func (s *Script) Send(data string) *Script {
	return s.add(func(nc net.Conn) error { return send(nc, data) }, "Send(%q)", data)
}

// SendChunks writes every chunk in a Write of its own and waits for gap between them. In a bubble any gap makes a
// buffered reader see the chunks one by one.
func (s *Script) SendChunks(gap time.Duration, chunks ...string) *Script {
	for i, chunk := range chunks {
		if i > 0 && gap > 0 {
			s.Sleep(gap)
		}
		s.Send(chunk)
	}
	return s
}

func send(nc net.Conn, data string) error {
	n, err := io.WriteString(nc, data)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	return nil
}

// Expect reads as many bytes as want has, and fails at the first one that differs.
func (s *Script) Expect(want string) *Script {
	return s.add(func(nc net.Conn) error {
		got := make([]byte, 0, len(want))
		for len(got) < len(want) {
			n, err := nc.Read(got[len(got):cap(got)])
			got = got[:len(got)+n]
			switch {
			case !strings.HasPrefix(want, string(got)):
				return fmt.Errorf("got %q, which differs at byte %d", got, common(want, string(got)))
			case len(got) < len(want) && err != nil:
				return fmt.Errorf("got %q, then: %w", got, noEOF(err))
			}
		}
		return nil
	}, "Expect(%q)", want)
}

func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// noEOF keeps io.EOF from being mistaken for a good end by errors.Is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ExpectEOF expects the end of the stream and nothing before it.
func (s *Script) ExpectEOF() *Script {
	return s.add(func(nc net.Conn) error { return expectEnd(nc, io.EOF) }, "ExpectEOF()")
}

// ExpectReset expects the connection to be reset, and nothing before it.
func (s *Script) ExpectReset() *Script {
	return s.add(func(nc net.Conn) error { return expectEnd(nc, syscall.ECONNRESET) }, "ExpectReset()")
}

func expectEnd(nc net.Conn, want error) error {
	buf := make([]byte, 256)
	n, err := nc.Read(buf)
	switch {
	case n > 0:
		return fmt.Errorf("got %q", buf[:n])
	case want == io.EOF && err == io.EOF, want == syscall.ECONNRESET && isReset(err):
		return nil
	}
	return fmt.Errorf("got: %w", noEOF(err))
}

// isReset also knows the number that Windows has for it.
func isReset(err error) bool {
	const wsaeconnreset = syscall.Errno(10054)
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaeconnreset)
}

// CloseWrite ends the stream to the other side; it fails on connections that cannot be half-closed.
func (s *Script) CloseWrite() *Script {
	return s.add(func(nc net.Conn) error {
		half, ok := nc.(interface{ CloseWrite() error })
		if !ok {
			return fmt.Errorf("%T has no CloseWrite: %w", nc, errors.ErrUnsupported)
		}
		return half.CloseWrite()
	}, "CloseWrite()")
}

// Close closes the connection; Run itself never does.
func (s *Script) Close() *Script {
	return s.add(net.Conn.Close, "Close()")
}

// Sleep waits for d, which does not count as part of a step's Timeout.
func (s *Script) Sleep(d time.Duration) *Script {
	s.add(func(net.Conn) error { time.Sleep(d); return nil }, "Sleep(%v)", d)
	s.steps[len(s.steps)-1].own = true
	return s
}

// Do adds a step of the caller's own. It runs with a deadline set on nc; name is shown when it fails.
func (s *Script) Do(name string, f func(nc net.Conn) error) *Script {
	return s.add(f, "%s", name)
}

// Run plays the script on nc, and returns nil or an error that shows the script and the step that
// failed. It sets nc's deadline for each step and clears it at the end, also after a failure. It does not close nc.
func (s *Script) Run(nc net.Conn) error {
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	defer nc.SetDeadline(time.Time{})
	for i, step := range s.steps {
		if !step.own {
			nc.SetDeadline(time.Now().Add(timeout))
		}
		if err := step.do(nc); err != nil {
			return &scriptError{script: s.steps, failed: i, err: err}
		}
	}
	return nil
}

// scriptError shows where in the script the conversation went wrong.
type scriptError struct {
	script []step
	failed int
	err    error
}

func (e *scriptError) Unwrap() error { return e.err }

func (e *scriptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "testkit: script step %d of %d: %s: %v", e.failed+1, len(e.script), e.script[e.failed].name, e.err)
	for i, step := range e.script {
		mark := "  "
		if i == e.failed {
			mark = "> "
		}
		fmt.Fprintf(&b, "\n\t%s%d %s", mark, i+1, step.name)
	}
	return b.String()
}
