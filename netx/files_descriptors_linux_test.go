package netx_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/netx"
)

func init() { children["files without descriptors"] = filesWithFewDescriptors }

// filesWithFewDescriptors asks for Files with one descriptor too few, and then
// stops and closes the listener.
func filesWithFewDescriptors(_ *bufio.Reader, args []string) error {
	one, err := listenChild("unix://"+args[0], nil)
	if err != nil {
		return err
	}
	three, err := listenChild("127.0.0.1:0", &netx.Options{Shards: 3})
	if err != nil {
		return err
	}
	hoard, err := takeDescriptors()
	if err != nil {
		return err
	}
	if files, err := netx.Files(one); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%v, %w", files, err)
	}
	if f, err := one.(interface{ File() (*os.File, error) }).File(); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%v, %w", f, err)
	}
	for _, f := range hoard[:2] {
		f.Close()
	}
	if files, err := netx.Files(three); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%v, %w", files, err)
	}
	for range 2 { // what there was has been closed again
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		hoard = append(hoard, f)
	}
	for _, f := range hoard {
		f.Close()
	}
	if err := netx.StopQueue(three); err != nil {
		return err
	}
	for i, s := range three.(interface{ Shards() []net.Listener }).Shards() {
		n, err := backlogOf(s)
		if err != nil {
			return err
		}
		if n != 0 {
			return fmt.Errorf("shard %d: not stopped: backlog %d", i, n)
		}
	}
	return errors.Join(one.Close(), three.Close())
}

// A socket of which no duplicate could be made is nobody else's: its file goes
// with it, and its queue can be stopped.
func TestFilesWithoutDescriptorsHandNothingOut(t *testing.T) {
	path := socketPath(t)
	startChild(t, "files without descriptors", path).end()
	requireEmptyDir(t, path)
}

// Where one socket has been closed, no other is handed out.
func TestFilesOfClosedShard(t *testing.T) {
	ln := open(t, "127.0.0.1:0", &netx.Options{Shards: 3})
	all := ln.(interface{ Shards() []net.Listener }).Shards()
	require.NoError(t, netx.StopQueue(all[2]))
	_, err := netx.Files(ln)
	require.ErrorIs(t, err, net.ErrClosed)
	for _, s := range all {
		require.NoError(t, netx.StopQueue(s))
		require.Zero(t, tcpBacklog(t, s))
	}
}
