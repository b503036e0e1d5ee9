package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/exp/jsonrpc2"

	"github.com/listengroup/listengroup/examples/internal/process"
)

func TestMain(m *testing.M) {
	process.Main(main)
	os.Exit(m.Run())
}

// TestProcess is about what all commands of this module have in common.
func TestProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := process.Start(t, "127.0.0.1:0", "unix:"+path)
	tcp, unix := p.Line(), p.Line()
	require.Equal(t, "unix://"+path, unix)
	for network, address := range map[string]string{"tcp": tcp, "unix": path} {
		client, err := jsonrpc2.Dial(t.Context(), jsonrpc2.NetDialer(network, address, net.Dialer{}), jsonrpc2.ConnectionOptions{})
		require.NoError(t, err)
		var sum float64
		require.NoError(t, client.Call(t.Context(), "add", []float64{1, 2}).Await(t.Context(), &sum))
		require.Equal(t, 3.0, sum)
	}
	p.Signal(syscall.SIGTERM)
	code, rest := p.Wait()
	require.Equal(t, 0, code, p.Stderr())
	require.Empty(t, rest)

	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown flag", []string{"-frob"}, 2, "jsonrpc2: flag provided but not defined: -frob (see -h)"},
		{"negative grace", []string{"-grace", "-1s"}, 2, "jsonrpc2: -grace cannot be negative (see -h)"},
		{"port too large", []string{"127.0.0.1:70000"}, 2, `port "70000"`},
		{"directory", []string{"unix:" + t.TempDir()}, 1, "a directory is there"},
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
	code, out := process.Start(t, "-h").Wait()
	require.Equal(t, 0, code)
	require.Contains(t, strings.Join(out, "\n"), "Methods:")
}
