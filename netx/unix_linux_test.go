package netx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func TestUnixListenErrorsNameThePart(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Mkdir(at("dir"), 0o755))
	require.NoError(t, os.WriteFile(at("dir/keep"), nil, 0o644))
	require.NoError(t, os.WriteFile(at("file"), []byte("text"), 0o644))
	require.NoError(t, os.Symlink(at("file"), at("link")))
	require.NoError(t, os.Symlink(at("nothing"), at("dangling")))
	require.NoError(t, syscall.Mkfifo(at("fifo"), 0o600))
	require.NoError(t, os.Mkdir(at("locked.netx-lock"), 0o755))
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at("datagrams"), Net: "unixgram"})
	require.NoError(t, err)
	defer datagrams.Close()
	live := open(t, "unix://"+at("live"), nil)
	linked := at("tolive")
	require.NoError(t, os.Symlink(live.Addr().String(), linked))
	long := at(strings.Repeat("x", 120))

	for _, test := range []struct {
		name, address string
		is            error
		says          string
	}{
		{"live server", "unix://" + at("live"), syscall.EADDRINUSE, "a live server owns it"},
		{"live server of datagrams", "unix://" + at("datagrams"), syscall.EADDRINUSE, "a live server owns it"},
		{"symbolic link to a live server", "unix://" + linked, syscall.EADDRINUSE, "a symbolic link is there"},
		{"directory", "unix://" + at("dir"), syscall.EADDRINUSE, "a directory is there"},
		{"regular file", "unix://" + at("file"), syscall.EADDRINUSE, "a file is there"},
		{"symbolic link to a file", "unix://" + at("link"), syscall.EADDRINUSE, "a symbolic link is there"},
		{"symbolic link to nothing", "unix://" + at("dangling"), syscall.EADDRINUSE, "a symbolic link is there"},
		{"fifo", "unix://" + at("fifo"), syscall.EADDRINUSE, "something (prw-------) is there"},
		{"missing parent", "unix://" + at("no/such/app.sock"), fs.ErrNotExist, "directory " + at("no/such") + ": no such file"},
		{"parent is a file", "unix://" + at("file/app.sock"), syscall.ENOTDIR, "directory " + at("file") + ": not a directory"},
		{"something at the lock file", "unix://" + at("locked"), syscall.EISDIR, "lock file " + at("locked.netx-lock")},
		{"long path", "unix://" + long, syscall.ENAMETOOLONG, "path of " + strconv.Itoa(len(long)) + " bytes is too long, a socket's has at most 107"},
		{"long abstract name", "unix:@" + strings.Repeat("x", 108), syscall.ENAMETOOLONG, "at most 108"},
		{"nameless", "unix:@", syscall.EINVAL, "no name after the @"},
		{"unknown owner", "unix://" + at("a") + "?owner=nobody-of-this-name", nil, "owner nobody-of-this-name: "},
		{"unknown group", "unix://" + at("a") + "?group=no-group-of-this-name", nil, "group no-group-of-this-name: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			ln, err := netx.Listen(t.Context(), addr.MustParse(test.address), nil)
			require.ErrorContains(t, err, test.says)
			require.Nil(t, ln)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "listen", op.Op)
			require.Equal(t, addr.MustParse(test.address), op.Addr)
		})
	}
	require.FileExists(t, at("dir/keep"))
	text, err := os.ReadFile(at("file"))
	require.NoError(t, err)
	require.Equal(t, "text", string(text))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 9, "all that was there is still there, and nothing else")
}

func init() { children["unprivileged"] = listenUnprivileged }

// listenUnprivileged prints what Listen says to somebody who is not root.
func listenUnprivileged(_ *bufio.Reader, args []string) error {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			fmt.Println("skip:", err)
			return nil
		}
		// Others may not be let into the directory for temporary files.
		if _, err := os.Lstat(args[1]); err != nil {
			fmt.Println("skip:", err)
			return nil
		}
	}
	ln, err := listenChild(args[0], nil)
	if err == nil {
		ln.Close()
	}
	return err
}

func TestUnixWithoutPermission(t *testing.T) {
	for _, test := range []struct {
		name  string
		dir   fs.FileMode
		file  string // at the socket's path, with a suffix
		query string
		says  string
	}{
		{"to write to the directory", 0o555, "", "", "directory DIR: permission denied"},
		{"to give the socket away", 0o777, "", "?owner=0", "owner or group: "},
		{"to open the lock file", 0o777, ".netx-lock", "", "lock file DIR/app.sock.netx-lock: permission denied"},
		{"to ask a server whether it lives", 0o777, "live", "", "cannot find out whether a live server owns it: connect: permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := socketPath(t)
			dir := filepath.Dir(path)
			if test.file != "" && os.Getuid() != 0 {
				t.Skip("needs root, to be somebody else")
			}
			switch test.file {
			case "":
			case "live":
				open(t, "unix://"+path+"?mode=0600", nil)
			default:
				require.NoError(t, os.WriteFile(path+test.file, nil, 0o600))
			}
			require.NoError(t, os.Chmod(dir, test.dir))
			said := startChild(t, "unprivileged", "unix://"+path+test.query, dir).read()
			if strings.HasPrefix(said, "skip: ") {
				t.Skip("SKIPPED: cannot be somebody else here: ", said)
			}
			require.Contains(t, said, strings.ReplaceAll(test.says, "DIR", dir))
			require.NoError(t, os.Chmod(dir, 0o700))
			if test.file == "" {
				requireEmptyDir(t, path)
			}
		})
	}
}

func TestUnixModeOwnerGroup(t *testing.T) {
	own := func() (uid, gid int) { return os.Getuid(), os.Getgid() }
	uid, gid := own()
	type want struct {
		mode     fs.FileMode
		uid, gid int
	}
	tests := []struct {
		name, query string
		umask       int
		want        want
		root        bool
	}{
		{"umask decides when no mode is asked for", "", 0o027, want{0o750, uid, gid}, false},
		{"mode is exact under an umask", "?mode=0666", 0o077, want{0o666, uid, gid}, false},
		{"mode is exact under no umask", "?mode=0600", 0, want{0o600, uid, gid}, false},
		{"mode without an owner's bits", "?mode=0060", 0o022, want{0o060, uid, gid}, false},
		{"own group by number", "?mode=0660&group=" + strconv.Itoa(gid), 0o022, want{0o660, uid, gid}, false},
		{"owner and group by number", "?owner=12&group=34&mode=0620", 0o022, want{0o620, 12, 34}, true},
		{"owner by name", "?owner=root", 0o022, want{0o755, 0, gid}, true},
		{"group by name", "?group=root&mode=0777", 0o022, want{0o777, uid, 0}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := socketPath(t)
			if test.root {
				// Root need not be allowed to, in a container.
				if err := os.Lchown(filepath.Dir(path), test.want.uid, test.want.gid); err != nil {
					t.Skip("SKIPPED: may not give files away: ", err)
				}
			}
			old := syscall.Umask(test.umask)
			defer syscall.Umask(old)
			open(t, "unix://"+path+test.query, nil)
			var st syscall.Stat_t
			require.NoError(t, syscall.Lstat(path, &st))
			require.Equal(t, test.want, want{fs.FileMode(st.Mode & 0o777), int(st.Uid), int(st.Gid)})
		})
	}
}

func TestUnixTakesOverAndCleansUp(t *testing.T) {
	t.Run("stale file", func(t *testing.T) {
		path := socketPath(t)
		leaveStaleSocket(t, path)
		ln := open(t, "unix://"+path, nil)
		connect(t, ln)
		require.NoError(t, ln.Close())
		requireEmptyDir(t, path)
	})
	t.Run("lock file of a killed starter", func(t *testing.T) {
		path := socketPath(t)
		require.NoError(t, os.WriteFile(path+".netx-lock", nil, 0o600))
		require.NoError(t, open(t, "unix://"+path, nil).Close())
		requireEmptyDir(t, path)
	})
	t.Run("file gone before Close", func(t *testing.T) {
		path := socketPath(t)
		ln := open(t, "unix://"+path, nil)
		require.NoError(t, os.Remove(path))
		require.NoError(t, ln.Close())
		require.ErrorIs(t, ln.Close(), net.ErrClosed)
	})
	t.Run("directory gone before Close", func(t *testing.T) {
		path := socketPath(t)
		ln := open(t, "unix://"+path, nil)
		require.NoError(t, os.RemoveAll(filepath.Dir(path)))
		require.NoError(t, ln.Close())
	})
	t.Run("regular file in its place before Close", func(t *testing.T) {
		path := socketPath(t)
		ln := open(t, "unix://"+path, nil)
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, ln.Close())
		require.FileExists(t, path)
	})
	t.Run("relative path and another directory before Close", func(t *testing.T) {
		path := socketPath(t)
		t.Chdir(filepath.Dir(path))
		ln := open(t, "unix:"+filepath.Base(path), nil)
		require.FileExists(t, path)
		t.Chdir("/")
		require.NoError(t, ln.Close())
		requireEmptyDir(t, path)
	})
	t.Run("option that fails", func(t *testing.T) {
		path := socketPath(t)
		refused := errors.New("refused")
		_, err := netx.Listen(t.Context(), addr.MustParse("unix://"+path), &netx.Options{
			Control: func(string, string, syscall.RawConn) error { return refused },
		})
		require.ErrorIs(t, err, refused)
		requireEmptyDir(t, path)
	})
}

func TestUnixFullQueueIsALiveOwner(t *testing.T) {
	path := socketPath(t)
	ln := open(t, "unix://"+path, &netx.Options{Backlog: 1})
	for {
		c, err := net.Dial("unix", path)
		if err != nil {
			require.ErrorIs(t, err, syscall.EAGAIN)
			break
		}
		defer c.Close()
	}
	_, err := netx.Listen(t.Context(), addr.MustParse("unix://"+path), nil)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NoError(t, ln.Close())
}

// A starter that has stopped while it holds the lock must not hold up those
// who have a deadline.
func TestUnixWaitForTheLockEndsWithTheContext(t *testing.T) {
	path := socketPath(t)
	lock, err := os.OpenFile(path+".netx-lock", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	// It ends when Listen begins to look for its end, be the machine slow or
	// fast: one that had ended before Listen would not come as far as the lock.
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	before := openDescriptors(t)
	_, err = netx.Listen(&lateContext{Context: ctx, late: func() { cancel(os.ErrDeadlineExceeded) }}, addr.MustParse("unix://"+path), nil)
	require.ErrorContains(t, err, "lock file "+path+".netx-lock")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoFileExists(t, path)
	requireNoneLeft(t, before)
}

func TestUnixAbstract(t *testing.T) {
	name := strings.TrimPrefix(abstract(), "unix:")
	ln := open(t, "unix:"+name, nil)
	require.Equal(t, name, ln.Addr().String())
	require.NoFileExists(t, name)
	connect(t, ln)
	_, err := netx.Listen(t.Context(), addr.MustParse("unix:"+name), nil)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NoError(t, ln.Close())
	require.NoError(t, open(t, "unix:"+name, nil).Close())
}

func TestUnixLongestPath(t *testing.T) {
	path := socketPath(t)
	path += strings.Repeat("x", 107-len(path))
	ln := open(t, "unix://"+path, nil)
	require.Equal(t, path, ln.Addr().String())
	connect(t, ln)
	require.NoError(t, ln.Close())
	requireEmptyDir(t, path)
	_, err := netx.Dial(t.Context(), addr.MustParse("unix://"+path+"x"))
	require.ErrorIs(t, err, syscall.ENAMETOOLONG)
}
