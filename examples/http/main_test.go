package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
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

// site is a client for one of the program's listeners: it does what the curl
// command that was printed would.
type site struct {
	t *testing.T
	http.Client
	base string
}

func newSite(t *testing.T, line string) *site {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	f := strings.Fields(line)
	if f[1] == "--unix-socket" {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", f[2])
		}
	}
	return &site{t, http.Client{Transport: tr}, strings.TrimSuffix(f[len(f)-1], "/")}
}

func (s *site) get(path string) (int, string) {
	s.t.Helper()
	resp, err := s.Get(s.base + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(body)
}

func (s *site) text(path string) string {
	_, body := s.get(path)
	return body
}

func TestThreeListeners(t *testing.T) {
	p := process.Start(t, "-notready", "10ms")
	tcp, unix, secure := newSite(t, p.Line()), newSite(t, p.Line()), newSite(t, p.Line())

	require.Equal(t, "http, HTTP/1.1: request 1 on connection 1\n", tcp.text("/"))
	require.Equal(t, "http, HTTP/1.1: request 2 on connection 1\n", tcp.text("/"))
	require.Equal(t, "unix, HTTP/1.1: request 1 on connection 2\n", unix.text("/"))
	require.Equal(t, "https, HTTP/2.0: request 1 on connection 3\n", secure.text("/"))
	require.Equal(t, "ready\n", unix.text("/healthz"))
	code, _ := unix.get("/slow?for=ever")
	require.Equal(t, http.StatusBadRequest, code)

	var all struct {
		Group struct{ Active int }
		Conns []struct {
			Listener, Protocol string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(tcp.text("/conns")), &all))
	require.Equal(t, 3, all.Group.Active)
	require.Len(t, all.Conns, 3)
	for _, c := range all.Conns {
		require.Equal(t, c.Listener == "https", c.Protocol == "h2")
	}

	// The drain closes the idle connections at once, and waits for the busy.
	slow := make(chan string, 1)
	request := func() {
		resp, err := tcp.Get(tcp.base + "/slow?for=500ms")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		slow <- string(body)
	}
	go request()
	for { // until that request is seen there: its connection is then not idle
		var now struct {
			Conns []struct {
				Listener string
				Idle     bool
			}
		}
		require.NoError(t, json.Unmarshal([]byte(unix.text("/conns")), &now))
		busy := false
		for _, c := range now.Conns {
			busy = busy || c.Listener == "http" && !c.Idle
		}
		if busy {
			break
		}
		select {
		case got := <-slow: // it was over before we have looked: another
			require.Equal(t, "done\n", got)
			go request()
		default:
		}
	}
	p.Signal(syscall.SIGTERM)
	require.Equal(t, "done\n", <-slow)
	code, rest := p.Wait()
	require.Equal(t, 0, code, p.Stderr())
	require.Equal(t, []string{"3 finished, 0 forced, 0 stuck"}, rest)
}

// TestNotReady: until the drain begins clients are served, and told.
func TestNotReady(t *testing.T) {
	p := process.Start(t, "-notready", "1h", "-grace", "1h", "-unix=", "-tls=")
	tcp := newSite(t, p.Line())
	require.Equal(t, "ready\n", tcp.text("/healthz"))
	p.Signal(syscall.SIGTERM)
	for {
		if code, _ := tcp.get("/healthz"); code == http.StatusServiceUnavailable {
			break
		}
	}
	require.Contains(t, tcp.text("/"), "http, HTTP/1.1: request")
	p.Signal(syscall.SIGTERM)
	code, rest := p.Wait()
	require.Equal(t, 1, code)
	require.Equal(t, []string{"0 finished, 1 forced, 0 stuck"}, rest)
}

// TestMakingRoom: a client that keeps its connection alive and idle does not
// keep another out.
func TestMakingRoom(t *testing.T) {
	p := process.Start(t, "-max", "1", "-unix=", "-tls=")
	line := p.Line()
	first, second := newSite(t, line), newSite(t, line)
	require.Equal(t, "http, HTTP/1.1: request 1 on connection 1\n", first.text("/"))
	require.Equal(t, "http, HTTP/1.1: request 1 on connection 2\n", second.text("/"))
	require.Equal(t, "http, HTTP/1.1: request 1 on connection 3\n", first.text("/"))
	p.Signal(os.Interrupt)
	code, _ := p.Wait()
	require.Equal(t, 0, code)
}

// TestUnixElsewhere: the command that is printed goes by the address, whichever
// flag it was given to.
func TestUnixElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := process.Start(t, "-tcp", "unix:"+path, "-unix=", "-tls=")
	line := p.Line()
	require.Equal(t, "curl --unix-socket "+path+" http://localhost/", line)
	require.Equal(t, "http, HTTP/1.1: request 1 on connection 1\n", newSite(t, line).text("/"))
	p.Signal(os.Interrupt)
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
		{"unknown flag", []string{"-frob"}, 2, "http: flag provided but not defined: -frob (see -h)"},
		{"argument", []string{"x"}, 2, `http: unexpected argument "x" (see -h)`},
		{"bad address", []string{"-tcp", "nowhere"}, 2, `invalid value "nowhere" for flag -tcp: addr: parse "nowhere"`},
		{"nothing", []string{"-tcp=", "-unix=", "-tls="}, 2, "nothing to listen on"},
		{"memory", []string{"-tcp", "mem:x"}, 2, "mem:x is for clients in the same process"},
		{"negative max", []string{"-max", "-1"}, 2, "cannot be negative"},
		{"negative grace", []string{"-grace", "-1s"}, 2, "cannot be negative"},
		{"directory", []string{"-unix", "unix:" + t.TempDir()}, 1, "a directory is there"},
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
		require.Contains(t, strings.Join(out, "\n"), "/healthz")
	})
}
