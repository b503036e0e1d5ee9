package netx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// children are what the test binary does when a test has started it again, to
// have a process that can be killed. An error is printed and means status 1.
var children = map[string]func(stdin *bufio.Reader, args []string) error{}

const childVar = "NETX_TEST_CHILD"

// TestChildProcess is not a test: it is where children begin.
func TestChildProcess(t *testing.T) {
	name := os.Getenv(childVar)
	if name == "" {
		t.Skip("only for processes that other tests start")
	}
	var args []string
	for i, arg := range os.Args {
		if arg == "--" {
			args = os.Args[i+1:]
			break
		}
	}
	if err := children[name](bufio.NewReader(os.Stdin), args); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// childCommand runs children[name]; wrapper is a program to start it with.
func childCommand(t *testing.T, wrapper []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	line := append(append([]string{}, wrapper...), self, "-test.run=^TestChildProcess$", "--")
	line = append(line, args...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // far more than any needs
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	// A group of its own, for wrappers and what they have started die together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// The race detector sleeps for a second before it lets a process end.
	cmd.Env = append(os.Environ(), childVar+"="+name, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// child is a running child process that is talked to in lines.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &child{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(c.kill)
	return c
}

func startChild(t *testing.T, name string, args ...string) *child {
	t.Helper()
	return start(t, childCommand(t, nil, name, args...))
}

// read returns the child's next line.
func (c *child) read() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	require.NoError(c.t, err, "the child said %q", line)
	return strings.TrimSuffix(line, "\n")
}

func (c *child) write(line string) {
	c.t.Helper()
	_, err := io.WriteString(c.in, line+"\n")
	require.NoError(c.t, err)
}

// kill is kill -9, and waits.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		c.cmd.Cancel()
		c.cmd.Wait()
	}
}

// end lets the child finish, which it does when its standard input ends.
func (c *child) end() {
	c.t.Helper()
	c.in.Close()
	rest, err := io.ReadAll(c.out)
	require.NoError(c.t, err)
	require.NoError(c.t, c.cmd.Wait(), "the child said %q", rest)
}

// listenChild is what a child calls; there is no test in it.
func listenChild(address string, opts *netx.Options) (net.Listener, error) {
	a, err := addr.Parse(address)
	if err != nil {
		return nil, err
	}
	return netx.Listen(context.Background(), a, opts)
}

// untilEOF waits for the parent to let go.
func untilEOF(stdin *bufio.Reader) error {
	_, err := stdin.ReadByte()
	return ignoreEOF(err)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func readProc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}
