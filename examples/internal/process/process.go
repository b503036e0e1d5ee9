// Package process runs an example as a process of its own, for its tests: with
// its own descriptors, signals and exit code, which no call of a function can
// have.
//
// There is nothing to build first. The test binary is the program too: its
// TestMain calls [Main], which runs the example's main function when the
// process was started by [Start].
package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/listengroup/listengroup/examples/internal/sockpath"
	"github.com/listengroup/listengroup/testkit"
)

// marker is in the environment of processes that Start started.
const marker = "LISTENGROUP_EXAMPLE_PROCESS"

// patience is how long a process may take for anything at all. It is there to
// end tests that would hang, and long because machines that test are busy.
const patience = time.Minute

// Main runs main and ends the process, if Start started it; else it returns,
// and temporary directories can hold sockets from then on. TestMain calls it
// first.
func Main(main func()) {
	if os.Getenv(marker) == "" { // which the example's own children inherit, for they are the example again
		sockpath.ShortenTempDir()
		return
	}
	main()
	os.Exit(0)
}

// Environ is what has to be in the environment of the example, for launchers
// that pass nothing on by themselves.
func Environ() string { return marker + "=1" }

// Process is a running example. Its methods are for the test's goroutine.
type Process struct {
	t      testkit.TB
	cmd    *exec.Cmd
	lines  chan string
	stderr lockedBuffer
	done   chan struct{} // closed when it has ended
	err    error         // of exec.Cmd.Wait, once done is closed
}

// Start starts the example whose test this is. It is killed when the test
// ends, should it still run.
func Start(t testkit.TB, args ...string) *Process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatalf("process: %v", err)
	}
	return StartCommand(t, exec.Command(exe, args...))
}

// StartCommand is Start for a command that will, in the end, execute the test
// binary again.
func StartCommand(t testkit.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, lines: make(chan string, 1024), done: make(chan struct{})}
	// A binary with the race detector would sleep for a second when it exits.
	cmd.Env = append(cmd.Environ(), Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = &p.stderr
	ownGroup(cmd)
	// With a bound on the wait, a grandchild that keeps the pipes open does
	// not keep the test. But one that the test is about may go on for a while.
	cmd.WaitDelay = patience
	stdout, w := io.Pipe()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatalf("process: %v", err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	go func() {
		p.err = cmd.Wait()
		w.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() { // it may have left processes of its own
			killGroup(cmd)
		}
		<-p.done
		if t.Failed() {
			t.Logf("standard error of %s:\n%s", cmd.Path, p.Stderr())
		}
	})
	return p
}

// Line returns the next line of its standard output.
func (p *Process) Line() string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("process: ended without another line")
		}
		return line
	case <-ctx.Done():
		p.t.Fatalf("process: no line within %v", patience)
	}
	return ""
}

// PID returns its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends it a signal.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("process: %v", err)
	}
}

// Wait waits for its end and returns its exit code and the lines of its
// standard output that Line has not returned.
func (p *Process) Wait() (code int, rest []string) {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.t.Fatalf("process: still running after %v", patience)
	}
	for line := range p.lines {
		rest = append(rest, line)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatalf("process: %v", p.err)
	}
	return p.cmd.ProcessState.ExitCode(), rest
}

// Stderr returns what it has written to its standard error so far.
func (p *Process) Stderr() string { return strings.TrimSpace(p.stderr.String()) }

// AwaitStderr waits until its standard error contains text.
func (p *Process) AwaitStderr(text string) {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		changed := p.stderr.changes()
		if strings.Contains(p.stderr.String(), text) {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			if !strings.Contains(p.stderr.String(), text) {
				p.t.Fatalf("process: ended without saying %q", text)
			}
			return
		case <-timeout.C:
			p.t.Fatalf("process: has not said %q within %v", text, patience)
		}
	}
}

// lockedBuffer is a bytes.Buffer that is read while it is being written.
type lockedBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed by the next Write; made by who waits
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) changes() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}
