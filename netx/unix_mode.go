//go:build unix && !aix

package netx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/addr"
)

// permissions are who may connect to a unix socket.
type permissions struct {
	mode     fs.FileMode
	asked    bool // else the umask decides, as for net.Listen
	uid, gid int  // -1: the process's
}

func permissionsOf(a addr.Addr) (p permissions, err error) {
	p.uid, p.gid = -1, -1
	p.mode, p.asked = a.Mode()
	if owner := a.Owner(); owner != "" {
		if p.uid, err = userID(owner); err != nil {
			return p, fmt.Errorf("owner %s: %w", owner, err)
		}
	}
	if group := a.Group(); group != "" {
		if p.gid, err = groupID(group); err != nil {
			return p, fmt.Errorf("group %s: %w", group, err)
		}
	}
	return p, nil
}

// beforeBind makes the file be born with no more than its owner's bits of the
// mode: Linux takes the mode of a socket's own inode, less the umask. The
// others come when the file belongs to the right user and group.
func (p permissions) beforeBind(fd int) error {
	if !p.asked || runtime.GOOS != "linux" {
		return nil
	}
	return wrapSyscall("fchmod", unix.Fchmod(fd, uint32(p.mode.Perm()&0o700)))
}

// afterBind runs before listen(2): until then connecting is refused, so that
// nobody who could connect by an earlier mode can.
func (p permissions) afterBind(path string) error {
	if p.uid >= 0 || p.gid >= 0 {
		if err := os.Lchown(path, p.uid, p.gid); err != nil {
			return fmt.Errorf("owner or group: %w", err)
		}
	}
	if p.asked {
		if err := chmod(path, uint32(p.mode.Perm())); err != nil {
			return fmt.Errorf("mode: %w", err)
		}
	}
	return nil
}

// chmod does not follow a symbolic link that somebody put in the place of our
// socket, where the kernel can do without (Linux 6.6).
func chmod(path string, mode uint32) error {
	err := unix.Fchmodat(unix.AT_FDCWD, path, mode, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, errors.ErrUnsupported) {
		err = unix.Fchmodat(unix.AT_FDCWD, path, mode, 0)
	}
	return wrapSyscall("fchmodat", err)
}

func userID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(u.Uid)
}

func groupID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(g.Gid)
}
