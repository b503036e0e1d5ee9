package netx_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func init() {
	children["successor"] = succeed
	children["inherit"] = inheritMany
}

// succeed listens on what it inherited, answers one client and, when told,
// closes.
func succeed(stdin *bufio.Reader, args []string) error {
	for _, a := range args {
		ln, err := listenChild(a, nil)
		if err != nil {
			return err
		}
		fmt.Println("up", ln.Addr())
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		fmt.Fprint(c, "successor")
		c.Close()
		if _, err := stdin.ReadString('\n'); err != nil {
			return err
		}
		if err := ln.Close(); err != nil {
			return err
		}
		fmt.Println("closed")
	}
	return untilEOF(stdin)
}

func withFiles(t *testing.T, cmd *exec.Cmd, ln net.Listener) *exec.Cmd {
	t.Helper()
	files, err := netx.Files(ln)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, f := range files {
			f.Close()
		}
	})
	cmd.ExtraFiles = append(cmd.ExtraFiles, files...)
	return cmd
}

func TestFilesHandASocketToASuccessor(t *testing.T) {
	path := socketPath(t)
	for _, address := range []string{"127.0.0.1:0", "unix://" + path} {
		t.Run(address, func(t *testing.T) {
			ln := open(t, address, nil)
			a := addr.FromNet(ln.Addr())
			next := start(t, withFiles(t, childCommand(t, nil, "successor", "fd:3"), ln))
			require.Equal(t, "up "+ln.Addr().String(), next.read())

			// The parent's own Accept can still be interrupted: os/exec has
			// not made the socket blocking.
			require.NoError(t, ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0)))
			_, err := ln.Accept()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, netx.StopQueue(ln))
			require.NoError(t, ln.Close())

			c, err := netx.Dial(t.Context(), a)
			require.NoError(t, err, "the successor's socket was touched")
			defer c.Close()
			said, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, "successor", string(said))
			next.write("close")
			require.Equal(t, "closed", next.read())
			if a.Scheme() == "unix" {
				require.FileExists(t, path, "an inherited socket's file is not the heir's")
			}
			next.end()
		})
	}
}

func TestFilesOfEveryListener(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	path := socketPath(t)
	unixListener, err := net.Listen("unix", path)
	require.NoError(t, err)
	for _, test := range []struct {
		name string
		ln   net.Listener
		n    int
	}{
		{"tcp", open(t, "127.0.0.1:0", nil), 1},
		{"sharded", open(t, "127.0.0.1:0", &netx.Options{Shards: 3}), 3},
		{"abstract", open(t, abstract(), nil), 1},
		{"net's tcp", tcp, 1},
		{"net's unix", unixListener, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			files, err := netx.Files(test.ln)
			require.NoError(t, err)
			require.Len(t, files, test.n)
			for _, f := range files {
				flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
				require.NoError(t, err)
				require.Equal(t, unix.FD_CLOEXEC, flags)
				flags, err = unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
				require.NoError(t, err)
				require.NotZero(t, flags&unix.O_NONBLOCK)
				heir, err := net.FileListener(f)
				require.NoError(t, err)
				require.Equal(t, test.ln.Addr().String(), heir.Addr().String())
				require.NoError(t, heir.Close())
				require.NoError(t, f.Close())
			}
			require.NoError(t, test.ln.Close())
			_, err = netx.Files(test.ln)
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
	require.FileExists(t, path, "handed out, so net's listener must not remove it")
	_, err = netx.Files(open(t, "mem:files", nil))
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// A descriptor that this process opened itself stays its owner's.
func TestListenOnADescriptorOfThisProcess(t *testing.T) {
	outer := open(t, "127.0.0.1:0", nil)
	files, err := netx.Files(outer)
	require.NoError(t, err)
	fd := "fd:" + strconv.Itoa(int(files[0].Fd()))
	for range 2 {
		ln := open(t, fd, nil)
		connect(t, ln)
		require.IsType(t, new(net.TCPConn), accept(t, ln))
		require.NoError(t, ln.Close())
	}
	require.NoError(t, files[0].Close(), "it was closed by Listen")
}

func TestListenOnADescriptorThatIsNone(t *testing.T) {
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer file.Close()
	stream, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(stream)
	datagrams, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(datagrams)
	for _, test := range []struct {
		fd   int
		is   error
		says string
	}{
		{99_999, syscall.EBADF, "is not open"},
		{int(file.Fd()), syscall.ENOTSOCK, "is not a socket"},
		{stream, nil, "is a socket that does not listen"},
		{datagrams, errors.ErrUnsupported, "is not a stream socket"},
	} {
		_, err := netx.Listen(t.Context(), addr.MustParse("fd:"+strconv.Itoa(test.fd)), nil)
		require.ErrorContains(t, err, "descriptor "+strconv.Itoa(test.fd)+": "+test.says)
		if test.is != nil {
			require.ErrorIs(t, err, test.is)
		}
		_, err = unix.FcntlInt(uintptr(test.fd), unix.F_GETFD, 0)
		require.Equal(t, test.fd == 99_999, err != nil, "a refused descriptor stays open")
	}
}

// inheritMany uses descriptors up: standard input, and 3.
func inheritMany(_ *bufio.Reader, args []string) error {
	for _, a := range args {
		ln, err := listenChild(a, nil)
		if err != nil {
			return err
		}
		if _, err := listenChild(a, nil); err == nil || !strings.Contains(err.Error(), "was taken before") {
			return fmt.Errorf("%s twice: %v", a, err)
		}
		if err := ln.Close(); err != nil {
			return err
		}
		c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err == nil {
			c.Close()
			return fmt.Errorf("%s: the socket is still open", a)
		}
	}
	null, err := os.Readlink("/proc/self/fd/0")
	fmt.Println(null)
	return err
}

func TestInheritedDescriptorsAreUsedUp(t *testing.T) {
	cmd := childCommand(t, nil, "inherit", "fd:0", "fd:3")
	for i := range 2 {
		ln := open(t, "127.0.0.1:0", nil)
		files, err := netx.Files(ln)
		require.NoError(t, err)
		if i == 0 {
			cmd.Stdin = files[0]
		} else {
			cmd.ExtraFiles = files
		}
		require.NoError(t, ln.Close())
		defer files[0].Close()
	}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, cmd.Stdin.(*os.File).Close())
	require.NoError(t, cmd.ExtraFiles[0].Close())
	said, err := io.ReadAll(out)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), "the child said %q", said)
	require.Equal(t, "/dev/null\n", string(said))
}

func TestSystemdSocketActivate(t *testing.T) {
	launcher, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("NOT TESTED: activation by systemd itself, for there is no systemd-socket-activate (Debian package systemd)")
	}
	path := socketPath(t)
	probe := open(t, "127.0.0.1:0", nil)
	tcp := probe.Addr().String()
	require.NoError(t, probe.Close())
	wrapper := []string{launcher, "--fdname=web:admin", "--listen=" + tcp, "--listen=" + path, "-E", childVar, "-E", "GORACE"}
	cmd := childCommand(t, wrapper, "activated", "systemd:web", "systemd:admin")
	cmd.Stderr = nil
	messages, err := cmd.StderrPipe()
	require.NoError(t, err)
	launched := start(t, cmd)
	// It says that it listens once for each socket, then waits for a client.
	lines := bufio.NewReader(messages)
	for range 2 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "Listening on")
	}
	go io.Copy(io.Discard, lines)

	web, err := net.Dial("tcp", tcp)
	require.NoError(t, err)
	defer web.Close()
	said, err := io.ReadAll(web)
	require.NoError(t, err)
	require.Equal(t, "systemd:web", string(said))
	require.Equal(t, "systemd:admin", whoOwns(t, path))
	launched.end()
	require.FileExists(t, path, "systemd's to remove")
}

func init() { children["activated"] = serveActivated }

// serveActivated tells one client of each socket by which name it came, and
// checks that no child of its own would inherit any.
func serveActivated(_ *bufio.Reader, args []string) error {
	for _, a := range args {
		ln, err := listenChild(a, nil)
		if err != nil {
			return err
		}
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		fmt.Fprint(c, a)
		c.Close()
		if err := ln.Close(); err != nil {
			return err
		}
	}
	return noneInheritable()
}

// noneInheritable looks only at what was passed: whoever runs the tests may
// have left descriptors of their own open.
func noneInheritable() error {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil {
		return nil // nothing was
	}
	for fd := 3; fd < 3+n; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			return fmt.Errorf("descriptor %d would be inherited", fd)
		}
	}
	return nil
}
