package main

import (
	"crypto/tls"
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

// dialLine does what the line that the program printed would do in a shell.
func dialLine(t *testing.T, line string) net.Conn {
	t.Helper()
	var nc net.Conn
	var err error
	switch f := strings.Fields(line); {
	case strings.HasPrefix(line, "nc -U "):
		nc, err = net.Dial("unix", f[2])
	case strings.HasPrefix(line, "nc "):
		nc, err = net.Dial("tcp", net.JoinHostPort(f[1], f[2]))
	case strings.HasPrefix(line, "openssl s_client -quiet -connect "):
		nc, err = tls.Dial("tcp", f[4], &tls.Config{InsecureSkipVerify: true})
	default:
		require.Fail(t, "not a command", "%q", line)
	}
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return nc
}

// exchange sends text, half-closes, and returns all that comes back.
func exchange(t *testing.T, nc net.Conn, text string) string {
	t.Helper()
	_, err := io.WriteString(nc, text)
	require.NoError(t, err)
	require.NoError(t, nc.(interface{ CloseWrite() error }).CloseWrite())
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	return string(got)
}

func TestDefaults(t *testing.T) {
	p := process.Start(t)
	tcp, unix, secure := p.Line(), p.Line(), p.Line()
	require.Regexp(t, `^nc 127\.0\.0\.1 \d+$`, tcp)
	require.Regexp(t, `^nc -U /.*listengroup-echo-\d+\.sock$`, unix)
	require.Regexp(t, `^openssl s_client -quiet -connect 127\.0\.0\.1:\d+$`, secure)

	require.Equal(t, "Hello over TCP.\none", exchange(t, dialLine(t, tcp), "one"))
	require.Equal(t, "Hello over a Unix socket.\ntwo", exchange(t, dialLine(t, unix), "two"))
	require.Equal(t, "Hello over TLS.\nthree", exchange(t, dialLine(t, secure), "three"))

	// Plain text on the TLS port ends there, and harms nobody.
	plain, err := net.Dial("tcp", strings.Fields(secure)[4])
	require.NoError(t, err)
	_, _ = io.WriteString(plain, "GET / HTTP/1.0\r\n\r\n")
	_, _ = io.Copy(io.Discard, plain)
	plain.Close()

	// A drain does not wait for a client that says nothing.
	idle := dialLine(t, secure)
	greeting := make([]byte, len("Hello over TLS.\n"))
	_, err = io.ReadFull(idle, greeting)
	require.NoError(t, err)
	p.Signal(syscall.SIGTERM)
	_, err = idle.Read(greeting)
	require.ErrorIs(t, err, io.EOF, "close_notify, no reset")

	code, rest := p.Wait()
	require.Equal(t, 0, code)
	require.Equal(t, []string{
		"tcp: 1 connections, 3 bytes in, 19 bytes out, 1 returned",
		"unix: 1 connections, 3 bytes in, 29 bytes out, 1 returned",
		"tls: 3 connections, 5 bytes in, 37 bytes out, 1 returned, 1 handshake, 1 drained",
	}, rest)
	require.Contains(t, p.Stderr(), "echo: terminated: draining for at most 10s; once more to force")
	_, err = os.Lstat(strings.Fields(unix)[2])
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a socket")
	p := process.Start(t,
		"-listen", "tcp://127.0.0.1:0 limit=5 greeting=two  words",
		"-listen", "unix:"+strings.ReplaceAll(path, " ", "%20")+"?mode=0600",
		"-listen", "tls://localhost:0", "-v")
	tcp, unix, secure := p.Line(), p.Line(), p.Line()

	got := exchange(t, dialLine(t, tcp), "12345 and more")
	require.Equal(t, "two  words\n12345\nthat was 5 bytes, goodbye\n", got)
	require.Equal(t, "1234", strings.TrimPrefix(exchange(t, dialLine(t, tcp), "1234"), "two  words\n"))
	require.Equal(t, "nc -U '"+strings.ReplaceAll(path, "'", `'\''`)+"'", unix)
	stat, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), stat.Mode().Perm())
	require.Equal(t, "x", exchange(t, dialLine(t, secure), "x"))

	p.Signal(os.Interrupt)
	code, rest := p.Wait()
	require.Equal(t, 0, code)
	require.Len(t, rest, 3)
	require.Regexp(t, `^127\.0\.0\.1:\d+: 2 connections, 18 bytes in, 58 bytes out, 2 returned$`, rest[0])
	require.Equal(t, "unix://"+strings.ReplaceAll(path, " ", "%20")+": 0 connections, 0 bytes in, 0 bytes out", rest[1])
	require.Contains(t, p.Stderr(), "connection 1: 14 bytes in, 43 bytes out, error <nil>")
}

// TestPortRange: each port of a range counts for itself.
func TestPortRange(t *testing.T) {
	spc, err := parseSpec("tls://127.0.0.1:8000-8002 limit=7")
	require.NoError(t, err)
	specs, err := expand([]spec{spc})
	require.NoError(t, err)
	require.Len(t, specs, 3)
	for i, s := range specs {
		require.Equal(t, fmt.Sprintf("127.0.0.1:%d", 8000+i), s.addr.String())
		require.True(t, s.port.tls)
		require.EqualValues(t, 7, s.port.limit)
	}
	require.NotSame(t, specs[0].port, specs[1].port)
}

func TestErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	uln, err := net.Listen("unix", live)
	require.NoError(t, err)
	defer uln.Close()

	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown flag", []string{"-frob"}, 2, "echo: flag provided but not defined: -frob (see -h)"},
		{"argument", []string{"x"}, 2, `echo: unexpected argument "x" (see -h)`},
		{"bad duration", []string{"-grace", "soon"}, 2, `invalid value "soon" for flag -grace`},
		{"no address", []string{"-listen", ""}, 2, "no address"},
		{"port too large", []string{"-listen", "tcp://127.0.0.1:70000"}, 2, `port "70000"`},
		{"bad limit", []string{"-listen", ":0 limit=-1"}, 2, `"-1" is not a number of bytes`},
		{"unknown option", []string{"-listen", ":0 colour=red"}, 2, `"colour=red" is neither limit= nor greeting=`},
		{"TLS with a path", []string{"-listen", "tls://:1/x"}, 2, "invalid value"},
		{"TLS with a query", []string{"-listen", "tls://:1?x=1"}, 2, "invalid value"},
		{"TLS to nowhere", []string{"-listen", "tls://"}, 2, `addr: parse "tls://"`},
		{"memory", []string{"-listen", "mem:x"}, 2, "mem:x is for clients in the same process"},
		{"negative grace", []string{"-grace", "-1s"}, 2, "invalid value -1s for flag -grace"},
		{"negative max", []string{"-max", "-1"}, 2, "invalid value -1 for flag -max"},
		{"no sockets passed", []string{"-listen", "systemd:web"}, 1, "no sockets were passed"},
		{"unknown scheme", []string{"-listen", "gopher://x"}, 1, "scheme gopher: not registered"},
		{"port in use", []string{"-listen", ln.Addr().String()}, 1, "address already in use"},
		{"directory", []string{"-listen", "unix:" + dir}, 1, "a directory is there"},
		{"missing directory", []string{"-listen", "unix:/no/such/s"}, 1, "no such file or directory"},
		{"long path", []string{"-listen", "unix:/" + strings.Repeat("x", 200)}, 1, "107"},
		{"live server", []string{"-listen", "unix:" + live}, 1, "already in use"},
		{"second of two", []string{"-listen", "127.0.0.1:0", "-listen", "unix:" + dir}, 1, "a directory is there"},
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
		require.Contains(t, strings.Join(out, "\n"), "tls://host:port")
	})
}

// TestSecondSignal: a client that does not read what it is sent holds its
// handler in a Write, and so the drain, which only force ends.
func TestSecondSignal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := process.Start(t, "-grace", "1h", "-listen", "unix:"+path)
	p.Line()
	talker, witness := dialLine(t, "nc -U "+path), dialLine(t, "nc -U "+path)
	// The server has stopped reading when there is no room, time and again,
	// though it answers another client in between.
	for full := 0; full < 20; {
		require.NoError(t, talker.SetWriteDeadline(time.Now().Add(10*time.Millisecond)))
		n, err := talker.Write(make([]byte, 1<<10))
		if n > 0 {
			full = 0
			continue
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		full++
		_, err = witness.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(witness, make([]byte, 1))
		require.NoError(t, err)
	}
	p.Signal(syscall.SIGTERM)
	_, err := witness.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF) // so the first signal has been seen
	p.Signal(syscall.SIGTERM)
	code, rest := p.Wait()
	require.Equal(t, 1, code)
	require.Regexp(t, `: 2 connections, .*, 1 drained, 1 forced$`, rest[0])
	require.Contains(t, p.Stderr(), "echo: lgrp: drain: 1 connections finished, 1 forced, 0 stuck")
}
