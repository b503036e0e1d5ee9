package netx_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() { children["serve"] = serveOneByOne }

// serveOneByOne accepts, reads, writes and closes.
func serveOneByOne(_ *bufio.Reader, args []string) error {
	var ln net.Listener
	var err error
	if args[0] == "net" {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	} else {
		ln, err = listenChild("127.0.0.1:0", nil)
	}
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	var b [1]byte
	for range countedConns {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		if _, err := c.Read(b[:]); err != nil {
			return err
		}
		if _, err := c.Write(b[:]); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

const countedConns = 200

// The calls that a connection costs. Those of the scheduler, such as futex and
// epoll_pwait, depend on the load and are nobody's doing.
const countedCalls = "accept4,accept,getsockname,getpeername,getsockopt,setsockopt,epoll_ctl,fcntl,read,recvfrom,write,sendto,shutdown,close"

func TestSystemCallsOfAConnection(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil || exec.Command(strace, "-qq", "true").Run() != nil {
		t.Skip("NOT TESTED: system calls of a connection, for strace is missing or may not trace")
	}
	count := func(how string) (perConn, inVain float64) {
		trace := filepath.Join(t.TempDir(), "trace")
		wrapper := []string{strace, "-f", "-qq", "-e", "trace=" + countedCalls, "-o", trace}
		server := start(t, childCommand(t, wrapper, "serve", how))
		a := server.read()
		for range countedConns {
			c, err := net.Dial("tcp", a)
			require.NoError(t, err)
			_, err = c.Write([]byte("x"))
			require.NoError(t, err)
			_, err = io.ReadAll(c)
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
		server.end()
		text, err := os.ReadFile(trace)
		require.NoError(t, err)
		// From the first accepted connection on.
		_, text2, ok := strings.Cut(string(text), "accept4(")
		require.True(t, ok)
		calls, tries := 1, 0
		for line := range strings.Lines(text2) {
			switch {
			case strings.Contains(line, "+++"): // of the end of a thread
			case !strings.Contains(line, "resumed>"):
				calls++
			}
			if strings.Contains(line, "EAGAIN") {
				tries++
			}
		}
		return float64(calls-tries) / countedConns, float64(tries) / countedConns
	}
	ours, waits := count("netx")
	bare, bareWaits := count("net")
	t.Logf("system calls per connection: netx %.2f and %.2f that find nothing yet, net %.2f and %.2f", ours, waits, bare, bareWaits)
	// Eight, and what wakes the scheduler's poller under load. Whether accept and
	// read have to be tried twice is a matter of timing.
	require.LessOrEqual(t, ours, 8.5)
	require.Less(t, ours+3, bare, "net sets four options on every connection")
}
