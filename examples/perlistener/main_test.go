package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/examples/internal/process"
)

func TestMain(m *testing.M) {
	process.Main(main)
	os.Exit(m.Run())
}

// client is one connection, of an admin or another.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, network, address string) *client {
	nc, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) send(line string) {
	_, err := fmt.Fprintln(c, line)
	require.NoError(c.t, err)
}

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	require.NoError(c.t, err)
	return strings.TrimSuffix(line, "\n")
}

// ask sends a command that is answered by one line.
func (c *client) ask(command string) string {
	c.send(command)
	return c.line()
}

func (c *client) end() {
	_, err := c.r.ReadByte()
	require.ErrorIs(c.t, err, io.EOF)
}

// start starts the program and returns it with a connection to its admin
// socket.
func start(t *testing.T, args ...string) (*process.Process, *client, string) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	p := process.Start(t, append([]string{"-admin", path}, args...)...)
	require.Equal(t, "nc -U "+path, p.Line())
	admin := dial(t, "unix", path)
	require.Equal(t, "+ connection 1 at admin", p.Line())
	return p, admin, path
}

// TestALifeOfAGroup is the session that the program is made for.
func TestALifeOfAGroup(t *testing.T) {
	p, admin, path := start(t)

	web := strings.Fields(admin.ask("add tcp://127.0.0.1:0 id=web max=1 greeting=good  morning"))
	require.Equal(t, "web", web[0])
	require.Equal(t, "+ listener web at "+web[1], p.Line())
	side := filepath.Join(filepath.Dir(path), "side.sock")
	require.Equal(t, "side unix://"+side, admin.ask("add unix:"+side+" id=side greeting=hi"))
	require.Equal(t, "+ listener side at unix://"+side, p.Line())

	a := dial(t, "tcp", web[1])
	require.Equal(t, "good  morning, you are connection 2 of web", a.line())
	require.Equal(t, "good  morning, anne", a.ask("anne"))
	require.Equal(t, "+ connection 2 at web", p.Line())
	u := dial(t, "unix", side)
	require.Equal(t, "hi, you are connection 3 of side", u.line())
	require.Equal(t, "+ connection 3 at side", p.Line())

	// One more than web may have waits for a slot, which a kill frees.
	b := dial(t, "tcp", web[1])
	for {
		admin.send("conns web")
		require.Equal(t, []string{"CONN", "LISTENER", "PEER", "AGE", "LINES", "NOTE"}, strings.Fields(admin.line()))
		require.Equal(t, "2 web 1", fieldsOf(admin.line(), 0, 1, 4))
		// A marker, for how many lines there are is not known.
		if line := admin.ask("no such command"); !strings.HasPrefix(line, "error:") {
			require.Equal(t, "4 web -", fieldsOf(line, 0, 1, 4))
			require.Contains(t, line, "waits for a slot")
			require.Contains(t, admin.line(), "error:")
			break
		}
	}
	require.Equal(t, "ok", admin.ask("kill 2"))
	a.end()
	require.Equal(t, "good  morning, you are connection 4 of web", b.line())
	require.ElementsMatch(t, []string{
		"- connection 2 at web: 1 lines: killed by an admin", "+ connection 4 at web",
	}, []string{p.Line(), p.Line()})

	// Removing web keeps its connection, and leaves side alone.
	require.Equal(t, "ok", admin.ask("remove web"))
	require.Contains(t, admin.ask("pause web"), `there is no listener "web"`)
	_, err := net.Dial("tcp", web[1])
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Equal(t, "good  morning, bert", b.ask("bert"))
	require.Equal(t, "hi, ute", u.ask("ute"))

	// Its id and its port are free again.
	require.Equal(t, "web "+web[1], admin.ask("add "+web[1]+" id=web"))
	require.Equal(t, "0 finished, 0 forced, 0 stuck", admin.ask("drain web"))
	require.Equal(t, "+ listener web at "+web[1], p.Line())
	require.Equal(t, "- listener web at "+web[1]+": 0 connections", p.Line())

	p.Signal(syscall.SIGTERM)
	admin.end()
	b.end()
	u.end()
	code, rest := p.Wait()
	require.Equal(t, 0, code)
	require.ElementsMatch(t, []string{
		"- connection 4 at web: 1 lines", "- listener web at " + web[1] + ": 2 connections",
		"- connection 3 at side: 1 lines", "- listener side at unix://" + side + ": 1 connections",
		"- connection 1 at admin: 9 lines", "- listener admin at unix://" + path + ": 1 connections",
	}, ignoreAdminLines(rest))
	for _, path := range []string{path, side} {
		_, err := os.Lstat(path)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

func fieldsOf(line string, which ...int) string {
	var picked []string
	for _, i := range which {
		picked = append(picked, strings.Fields(line)[i])
	}
	return strings.Join(picked, " ")
}

// ignoreAdminLines evens out how often the test has asked.
func ignoreAdminLines(lines []string) []string {
	for i, line := range lines {
		if strings.HasPrefix(line, "- connection 1 at admin: ") {
			lines[i] = "- connection 1 at admin: 9 lines"
		}
	}
	return lines
}

func TestCommands(t *testing.T) {
	_, admin, path := start(t, "-max", "9")
	require.Contains(t, admin.ask("add 127.0.0.1:0 id=w"), "w 127.0.0.1:")
	for _, c := range []struct{ name, command, want string }{
		{"unknown", "frobnicate", "error: that is not how it is called: see help"},
		{"unknown with a listener", "frobnicate w", "error: that is not how it is called: see help"},
		{"too many words", "list all", "error: that is not how it is called: see help"},
		{"add nothing", "add", "error: that is not how it is called: see help"},
		{"add an unknown option", "add :0 colour=red", `error: "colour=red" is none of id=, max= and greeting=`},
		{"add a taken id", "add 127.0.0.1:0 id=w", "error: lgrp: duplicate listener id"},
		{"add a bad port", "add tcp://127.0.0.1:70000", `error: addr: parse "tcp://127.0.0.1:70000": port "70000"`},
		{"add an unknown scheme", "add gopher://x", "error: lgrp: listen gopher://x:70"},
		{"add a held path", "add unix:" + path, "address already in use"},
		{"add a directory", "add unix:" + filepath.Dir(path), "a directory is there"},
		{"add a long path", "add unix:/" + strings.Repeat("x", 200), "107"},
		{"kill nobody", "kill 99", "error: there is no connection 99"},
		{"kill a word", "kill bill", "invalid syntax"},
		{"conns of nobody", "conns x", `error: there is no listener "x"`},
		{"limit a word", "limit w many", "invalid syntax"},
		{"drain forever", "drain w soon", "invalid duration"},
		{"remove the admin", "remove admin", "error: the admin listener stays as it is"},
	} {
		require.Contains(t, admin.ask(c.command), c.want, c.name)
	}
	// Those that have no more to say when they succeed.
	for _, c := range []string{"pause w", "pause w", "resume w", "release w", "resume w", "limit w 3", "limit 7", "remove w kill"} {
		require.Equal(t, "ok", admin.ask(c), c)
	}
	admin.send("\n \nquit") // nothing is no command
	admin.end()
}

// TestLongLine: whoever sends a line without an end is told, and others are not
// shown all of what he said.
func TestLongLine(t *testing.T) {
	_, admin, path := start(t)
	long := strings.Repeat("x", 10_000)
	require.Contains(t, admin.ask(long), "error: that is not how it is called")
	other := dial(t, "unix", path)
	other.send("conns")
	other.line()
	require.Less(t, len(other.line()), 200)
	require.Contains(t, other.line(), `"conns"`)

	other.send(strings.Repeat(long, 10))
	require.Equal(t, "error: a line has fewer than 65536 bytes", other.line())
	other.end()
	require.Contains(t, admin.ask("list"), "ADDRESS")
}

func TestFlags(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown flag", []string{"-frob"}, 2, "perlistener: flag provided but not defined: -frob (see -h)"},
		{"bad duration", []string{"-grace", "soon"}, 2, `invalid value "soon" for flag -grace`},
		{"argument", []string{"serve"}, 2, `perlistener: unexpected argument "serve" (see -h)`},
		{"negative grace", []string{"-grace", "-1s"}, 2, "-max and -grace cannot be negative"},
		{"negative max", []string{"-max", "-1"}, 2, "-max and -grace cannot be negative"},
		{"no path", []string{"-admin", ""}, 2, "-admin is not the path of a file"},
		{"abstract path", []string{"-admin", "@x"}, 2, "-admin is not the path of a file"},
		{"long path", []string{"-admin", long}, 1, "107"},
		{"missing directory", []string{"-admin", "/no/such/directory/s"}, 1, "no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := process.Start(t, c.args...)
			code, out := p.Wait()
			require.Equal(t, c.code, code)
			require.Empty(t, out)
			require.Contains(t, p.Stderr(), c.want)
			require.NotContains(t, p.Stderr(), "\n", "one line")
		})
	}
	t.Run("help", func(t *testing.T) {
		code, out := process.Start(t, "-h").Wait()
		require.Equal(t, 0, code)
		require.Contains(t, strings.Join(out, "\n"), "release ID")
	})
}

// TestSecondSignal: a client that does not read what it is sent holds its
// handler in a Write, and so the drain, which only force ends.
func TestSecondSignal(t *testing.T) {
	p, admin, path := start(t, "-grace", "1h")
	stuck := filepath.Join(filepath.Dir(path), "s.sock")
	admin.ask("add unix:" + stuck)
	c := dial(t, "unix", stuck)
	require.Equal(t, "hello, you are connection 2 of unix://"+stuck, c.line())
	line := []byte(strings.Repeat("x", 1023) + "\n")
	// The server has stopped reading when there is no room for one more line,
	// time and again, though it answers the admin in between.
	for full := 0; full < 20; {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(10*time.Millisecond)))
		switch n, err := c.Write(line); {
		case errors.Is(err, os.ErrDeadlineExceeded) && n == 0:
			full++
			require.Contains(t, admin.ask("no such command"), "error:")
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			require.NoError(t, err)
		default:
			full = 0
			line = append(line[n:], line[:n]...)
		}
	}
	p.Signal(syscall.SIGTERM)
	admin.end() // so the first signal has been seen
	p.Signal(syscall.SIGTERM)
	code, _ := p.Wait()
	require.Equal(t, 1, code)
	require.Contains(t, p.Stderr(), "lgrp: drain: 1 connections finished, 1 forced, 0 stuck")
}
