package netx_test

import (
	"errors"
	"os"
	"testing"

	"github.com/listengroup/listengroup/netx"
	"github.com/stretchr/testify/require"
)

func TestPeerCred(t *testing.T) {
	near, far := unixPair(t)
	_, err := far.Write([]byte("x"))
	require.NoError(t, err)
	_, peeked, err := netx.Peek(netx.WithCloseNotify(near), 1)
	require.NoError(t, err)
	want := netx.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}
	cred, err := netx.PeerCred(near)
	require.NoError(t, err)
	require.Equal(t, want, cred)
	cred, err = netx.PeerCred(peeked)
	require.NoError(t, err)
	require.Equal(t, want, cred)

	require.NoError(t, near.Close())
	_, err = netx.PeerCred(near)
	require.True(t, netx.IsClosed(err), "%v", err)
	tcp, _ := tcpPair(t)
	_, err = netx.PeerCred(tcp)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "*net.TCPConn")
}
