package netx_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// open listens until the test is over. Where there is no IPv6 it is not
// tested.
func open(t *testing.T, address string, opts *netx.Options) net.Listener {
	t.Helper()
	if strings.Contains(address, "[::1]") {
		ln, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			t.Skip("SKIPPED: no IPv6 here: ", err)
		}
		ln.Close()
	}
	ln, err := netx.Listen(t.Context(), addr.MustParse(address), opts)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

var names atomic.Int64

// abstract returns an address that no other test has.
func abstract() string {
	return fmt.Sprintf("unix:@netx-test-%d-%d", os.Getpid(), names.Add(1))
}

// connect dials a listener.
func connect(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	// A queue that was wrongly stopped lets clients wait for minutes.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := netx.Dial(ctx, addr.FromNet(ln.Addr()))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}
