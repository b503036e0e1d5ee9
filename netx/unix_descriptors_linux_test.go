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
)

func init() { children["few descriptors"] = listenWithFewDescriptors }

// takeDescriptors leaves the process none, and returns what it took.
func takeDescriptors() (hoard []*os.File, err error) {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		return nil, err
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return hoard, nil
		}
		hoard = append(hoard, f)
	}
}

// listenWithFewDescriptors listens on a stale socket with ever more descriptors
// left, until there are enough.
func listenWithFewDescriptors(_ *bufio.Reader, args []string) error {
	path := args[0]
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	hoard, err := takeDescriptors()
	if err != nil {
		return err
	}
	for free := 0; ; free++ {
		ln, err := listenChild("unix://"+path, nil)
		if err == nil {
			fmt.Println(free)
			return ln.Close()
		}
		if !errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.EADDRINUSE) || free == 10 {
			return fmt.Errorf("with %d descriptors: %w", free, err)
		}
		hoard[0].Close()
		hoard = hoard[1:]
	}
}

// It used to say that a live server owned the path, which sends people looking
// for one.
func TestUnixProbeWithoutDescriptorsIsNoLiveOwner(t *testing.T) {
	path := socketPath(t)
	c := startChild(t, "few descriptors", path)
	require.Equal(t, "3", c.read(), "descriptors that it takes: the socket, the lock and, in turn, the probe and net's duplicate")
	c.end()
	requireEmptyDir(t, path)
}
