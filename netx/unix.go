//go:build unix && !aix

package netx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/addr"
)

func listenUnix(ctx context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	path := a.Path()
	if err := checkPath(path); err != nil {
		return nil, err
	}
	perm, err := permissionsOf(a)
	if err != nil {
		return nil, err
	}
	f, err := unixSocket()
	if err != nil {
		return nil, err
	}
	defer f.Close() // net listens on a duplicate
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := o.control("unix", path, rc, perm.beforeBind); err != nil {
		return nil, err
	}
	if isAbstract(path) {
		return bindAbstract(f, path, o)
	}
	return bindPath(ctx, f, path, perm, o)
}

func isAbstract(path string) bool { return strings.HasPrefix(path, "@") }

func bindAbstract(f *os.File, path string, o *Options) (net.Listener, error) {
	if err := bind(f, path); err != nil {
		return nil, err
	}
	return listenOn(f, o)
}

// bindPath does all that touches the file under the lock, and leaves no file
// behind when it fails.
func bindPath(ctx context.Context, f *os.File, path string, perm permissions, o *Options) (net.Listener, error) {
	unlock, err := lockPath(ctx, path, lockWait)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clearPath(path); err != nil {
		return nil, err
	}
	if err := bind(f, path); err != nil {
		return nil, err
	}
	file, err := newSocketFile(path)
	if err != nil {
		return nil, err
	}
	s, err := listenAs(f, path, perm, o)
	if err != nil {
		file.removeLocked()
		return nil, err
	}
	s.file = file
	return s, nil
}

// listenAs gives the file to whom it was asked for while nobody can connect
// yet, and then lets them.
func listenAs(f *os.File, path string, perm permissions, o *Options) (*socket, error) {
	if err := perm.afterBind(path); err != nil {
		return nil, err
	}
	return listenOn(f, o)
}

func listenOn(f *os.File, o *Options) (*socket, error) {
	backlog := o.Backlog
	if backlog <= 0 {
		backlog = maxBacklog
	}
	if err := listenAgain(f, backlog); err != nil {
		return nil, err
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	s := &socket{kernelListener: ln.(*net.UnixListener)}
	s.state.Store(stateBound)
	return s, nil
}

// maxBacklog is more than any kernel allows, each of which takes that to mean
// its maximum.
const maxBacklog = math.MaxInt32

func bind(f *os.File, path string) error {
	return withFD(f, func(fd int) error {
		return wrapSyscall("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	})
}

// checkPath says what the kernel calls an invalid argument. An abstract name
// has no terminating zero, hence one byte more.
func checkPath(path string) error {
	most := len(unix.RawSockaddrUnix{}.Path) - 1
	if isAbstract(path) {
		switch {
		case runtime.GOOS != "linux":
			return fmt.Errorf("abstract sockets: %w", errors.ErrUnsupported)
		case path == "@": // what net calls sockets that have no name
			return fmt.Errorf("no name after the @: %w", syscall.EINVAL)
		}
		most++
	}
	if len(path) > most {
		return fmt.Errorf("path of %d bytes is too long, a socket's has at most %d: %w", len(path), most, syscall.ENAMETOOLONG)
	}
	return nil
}

// clearPath makes sure that nothing is at path, which the caller has locked.
// The only thing it removes is a socket that nobody listens on.
func clearPath(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, which is not a socket and will not be removed: %w", kindOf(info), syscall.EADDRINUSE)
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("a live server owns it: %w", syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		// Nobody listens. An owner that has not come to listen(2) yet would
		// hold the lock.
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EPROTOTYPE): // a full queue, another type of socket
		return fmt.Errorf("a live server owns it (%w): %w", unwrapOp(err), syscall.EADDRINUSE)
	default: // no permission, no descriptor left
		return fmt.Errorf("cannot find out whether a live server owns it: %w", unwrapOp(err))
	}
	stale := socketFileOf(path, info)
	return stale.removeLocked()
}

func kindOf(info fs.FileInfo) string {
	switch info.Mode().Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	default:
		return "something (" + info.Mode().String() + ")"
	}
}

// unixSocket returns a socket that is not bound to anything yet.
func unixSocket() (*os.File, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, wrapSyscall("socket", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, wrapSyscall("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
