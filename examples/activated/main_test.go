package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/examples/internal/process"
)

func TestMain(m *testing.M) {
	process.Main(main)
	os.Exit(m.Run())
}

// says is the line in which a generation tells of itself.
var says = regexp.MustCompile(`^generation (\d+) is process (\d+), listens on (.*)$`)

// generation reads that line. Processes that are not the test's own child are
// killed at its end.
func generation(t *testing.T, p *process.Process) (number string, proc *os.Process, address string) {
	t.Helper()
	m := says.FindStringSubmatch(p.Line())
	require.NotNil(t, m)
	pid, err := strconv.Atoi(m[2])
	require.NoError(t, err)
	proc, err = os.FindProcess(pid)
	require.NoError(t, err)
	t.Cleanup(func() { _ = proc.Kill() })
	return m[1], proc, m[3]
}

func ask(t *testing.T, nc net.Conn, line string) string {
	t.Helper()
	_, err := io.WriteString(nc, line+"\n")
	require.NoError(t, err)
	answer, err := bufio.NewReader(nc).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSuffix(answer, "\n")
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	nc, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return nc
}

// TestHandOver: clients come all the time while the server is replaced, and
// none is refused or goes without an answer.
func TestHandOver(t *testing.T) {
	p := process.Start(t, "127.0.0.1:0", "unix:"+filepath.Join(t.TempDir(), "s"))
	n, _, address := generation(t, p)
	require.Equal(t, "1", n)
	tcp, unix, ok := strings.Cut(address, ", listens on unix://")
	require.True(t, ok)
	old := dial(t, "tcp", tcp)
	require.Equal(t, "generation 1: a", ask(t, old, "a"))

	stop, result := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				result <- nil
				return
			default:
			}
			if err := oneClient(tcp); err != nil {
				result <- fmt.Errorf("client %d: %w", n, err)
				return
			}
		}
	}()
	p.Signal(syscall.SIGHUP)
	n, successor, address2 := generation(t, p)
	require.Equal(t, "2", n)
	require.Equal(t, address, address2)
	require.Regexp(t, `^generation 1 ends after \d+ connections$`, p.Line())
	_, err := old.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "an idle client of the predecessor is let go")
	require.Equal(t, "generation 2: b", ask(t, dial(t, "tcp", tcp), "b"))
	require.Equal(t, "generation 2: c", ask(t, dial(t, "unix", unix), "c"))
	close(stop)
	require.NoError(t, <-result)

	require.NoError(t, successor.Signal(syscall.SIGTERM))
	code, rest := p.Wait()
	require.Equal(t, 0, code)
	require.Len(t, rest, 1)
	require.Regexp(t, `^generation 2 ends after \d+ connections$`, rest[0])
}

// oneClient half-closes, so that a drain cannot be taken for an answer.
func oneClient(address string) error {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "x\n"); err != nil {
		return err
	}
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.ReadAll(nc)
	return err
}

// TestActivation has the real launcher start the program when the first client
// comes.
func TestActivation(t *testing.T) {
	launcher, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate is not installed (Debian package systemd)")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	tcp := free.Addr().String()
	require.NoError(t, free.Close())
	unix := filepath.Join(t.TempDir(), "s")

	p := process.StartCommand(t, exec.Command(launcher, "-E", process.Environ(),
		"-l", tcp, "-l", unix, "--fdname=web:side", exe, "systemd:side", "systemd:web"))
	p.AwaitStderr("Listening on " + unix)
	nc := dial(t, "tcp", tcp)
	_, _, address := generation(t, p)
	require.Equal(t, "unix://"+unix+", listens on "+tcp, address, "by name, not by place")
	require.Equal(t, "generation 1: first", ask(t, nc, "first"))
	require.Equal(t, "generation 1: side", ask(t, dial(t, "unix", unix), "side"))
	p.Signal(syscall.SIGTERM) // the launcher has become the program
	code, rest := p.Wait()
	require.Equal(t, 0, code)
	require.Equal(t, []string{"generation 1 ends after 2 connections"}, rest)
}

// TestSuccessorFails: then nothing has happened.
func TestSuccessorFails(t *testing.T) {
	// Where the successor looks for its program there is none any more.
	exe, err := os.Executable()
	require.NoError(t, err)
	text, err := os.ReadFile(exe)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "activated")
	require.NoError(t, os.WriteFile(copied, text, 0o755))
	p := process.StartCommand(t, exec.Command(copied, "127.0.0.1:0"))
	_, _, address := generation(t, p)
	require.NoError(t, os.Remove(copied))
	p.Signal(syscall.SIGHUP)
	p.AwaitStderr("activated: hand over: ")
	require.Equal(t, "generation 1: still", ask(t, dial(t, "tcp", address), "still"))
	p.Signal(syscall.SIGTERM)
	code, _ := p.Wait()
	require.Equal(t, 0, code)
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing", nil, 2, "activated: no address to listen on (see -h)"},
		{"unknown flag", []string{"-frob"}, 2, "activated: flag provided but not defined: -frob (see -h)"},
		{"bad address", []string{"nowhere"}, 2, `addr: parse "nowhere"`},
		{"negative grace", []string{"-grace", "-1s", "127.0.0.1:0"}, 2, "-grace cannot be negative"},
		{"not activated", []string{"systemd:web"}, 1, "no sockets were passed"},
		{"no such descriptor", []string{"fd:77"}, 1, "bad file descriptor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := process.Start(t, c.args...)
			code, out := p.Wait()
			require.Equal(t, c.code, code, p.Stderr())
			require.Empty(t, out)
			require.Contains(t, p.Stderr(), c.want)
			require.NotContains(t, p.Stderr(), "\n", "one line")
		})
	}
	t.Run("help", func(t *testing.T) {
		code, out := process.Start(t, "-h").Wait()
		require.Equal(t, 0, code)
		require.Contains(t, strings.Join(out, "\n"), "SIGHUP")
	})
}
