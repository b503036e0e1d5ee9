package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
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

// backend is a server to pass on to: it sends back all that it was sent, once
// it has been sent all of it.
func backend(t *testing.T, network, address string) net.Listener {
	ln, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				all, _ := io.ReadAll(nc)
				_, _ = nc.Write(all)
			}()
		}
	}()
	return ln
}

// through starts the program and returns where it listens.
func through(t *testing.T, args ...string) (*process.Process, string) {
	p := process.Start(t, args...)
	from, _, ok := strings.Cut(p.Line(), " to ")
	require.True(t, ok)
	return p, from
}

func exchange(t *testing.T, address string, what []byte) []byte {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write(what)
	require.NoError(t, err)
	require.NoError(t, nc.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	return got
}

// TestBothWays: half-close arrives at both ends, and every byte.
func TestBothWays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	backend(t, "unix", path)
	for _, target := range []string{backend(t, "tcp", "127.0.0.1:0").Addr().String(), "unix:" + path} {
		p, from := through(t, "-v", "-perip", "5", "127.0.0.1:0", target)
		block := make([]byte, 1<<20)
		_, _ = rand.Read(block)
		require.True(t, bytes.Equal(block, exchange(t, from, block)))
		p.Signal(syscall.SIGTERM)
		code, rest := p.Wait()
		require.Equal(t, 0, code)
		require.Len(t, rest, 1)
		require.Regexp(t, `: 1 connections, 1048576 bytes to .*, 1048576 back$`, rest[0])
		require.Contains(t, p.Stderr(), "connection end")
	}
}

// TestTargetDown: the client is reset, as it would be without us.
func TestTargetDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln.Close()
	p, from := through(t, "127.0.0.1:0", ln.Addr().String())
	nc, err := net.Dial("tcp", from)
	if err == nil { // else the reset came before Dial had looked
		_, err = nc.Read(make([]byte, 1))
		nc.Close()
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	p.Signal(syscall.SIGTERM)
	_, rest := p.Wait()
	require.Contains(t, rest[0], "1 times it was down")
}

// TestPROXY: the client that one proxy tells of is told on by the next.
func TestPROXY(t *testing.T) {
	target := backend(t, "tcp", "127.0.0.1:0")
	_, second := through(t, "-from", "127.0.0.0/8", "-send", "127.0.0.1:0", target.Addr().String())
	_, first := through(t, "-send", "127.0.0.1:0", second)

	nc, err := net.Dial("tcp", first)
	require.NoError(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, "hello")
	require.NoError(t, err)
	require.NoError(t, nc.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	client, server := nc.LocalAddr().(*net.TCPAddr), nc.RemoteAddr().(*net.TCPAddr)
	require.Equal(t, fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello", client.Port, server.Port), string(got))

	// Who has no header is not let in.
	bad, err := net.Dial("tcp", second)
	require.NoError(t, err)
	defer bad.Close()
	_, _ = io.WriteString(bad, "GET / HTTP/1.0\r\n\r\n")
	n, err := io.Copy(io.Discard, bad)
	require.Zero(t, n, "%v", err)
}

// TestForce: what a connection is about is unknown, so it may go on until it
// must not.
func TestForce(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	p, from := through(t, "-grace", "1h", "127.0.0.1:0", silent.Addr().String())
	nc, err := net.Dial("tcp", from)
	require.NoError(t, err)
	defer nc.Close()
	up, err := silent.Accept()
	require.NoError(t, err)
	defer up.Close()
	p.Signal(syscall.SIGTERM)
	p.AwaitStderr("terminated")
	_, err = io.WriteString(up, "still here\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(nc).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "still here\n", line)
	p.Signal(syscall.SIGTERM)
	code, _ := p.Wait()
	require.Equal(t, 1, code)
	require.Regexp(t, "0 connections finished, 1 forced, 0 stuck|1 connections were forced", p.Stderr(), "whether or not the drain had begun")
}

func TestRoutes(t *testing.T) {
	routes, err := parseRoutes([]string{":8000-8002", "web:9000-9002", ":80", "unix:/s"})
	require.NoError(t, err)
	var got []string
	for _, r := range routes {
		got = append(got, r.listen.String()+" "+r.target.String())
	}
	require.Equal(t, []string{":8000 web:9000", ":8001 web:9001", ":8002 web:9002", ":80 unix:///s"}, got)
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing", nil, 2, "addresses come in pairs"},
		{"odd", []string{":0"}, 2, "addresses come in pairs"},
		{"unknown flag", []string{"-frob"}, 2, "proxy: flag provided but not defined: -frob (see -h)"},
		{"bad network", []string{"-from", "10.0.0.0/99"}, 2, `invalid value "10.0.0.0/99" for flag -from`},
		{"bad address", []string{"nowhere", ":1"}, 2, `addr: parse "nowhere"`},
		{"ranges that differ", []string{":8000-8002", ":9000-9001"}, 2, "are 3 addresses"},
		{"port too large", []string{":0", ":70000"}, 2, `port "70000"`},
		{"negative grace", []string{"-grace", "-1s", ":0", ":1"}, 2, "cannot be negative"},
		{"negative max", []string{"-max", "-1", ":0", ":1"}, 2, "cannot be negative"},
		{"a target that listens", []string{":0", "fd:3"}, 2, "fd:3 is not to be reached"},
		{"no such interface", []string{"%nosuch0:1", ":1"}, 1, "interface nosuch0"},
		{"directory", []string{"unix:" + t.TempDir(), ":1"}, 1, "a directory is there"},
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
		require.Contains(t, strings.Join(out, "\n"), "LISTEN TARGET")
	})
}
