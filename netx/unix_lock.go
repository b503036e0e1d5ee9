//go:build unix && !aix

package netx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockSuffix makes the lock file's name from the socket's. It is not just
// ".lock", because servers have lock files of that name for their own use.
const lockSuffix = ".netx-lock"

const (
	// lockWait bounds how long Listen waits for others who are starting or
	// stopping at the same path. They need less than a millisecond, so whoever
	// holds the lock that long is stopped or means harm.
	lockWait = 10 * time.Second
	// unlockWait is the same for Close, which then leaves its file behind.
	unlockWait = time.Second
)

var errLocked = errors.New("another process keeps it locked")

// lockPath takes the lock on a socket's path: an flock(2) on a file beside it,
// which dies with its holder. The file is removed again before it is unlocked,
// so that nothing stays behind; whoever gets the lock on a file that is no
// longer at its path has to begin again.
//
// Waiting is by trying again, for flock cannot be interrupted.
func lockPath(ctx context.Context, path string, most time.Duration) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, most, errLocked)
	defer cancel()
	name := path + lockSuffix
	for wait := time.Millisecond; ; wait = min(2*wait, 16*time.Millisecond) {
		fd, err := tryLock(name)
		switch {
		case err == nil:
			return func() {
				unix.Unlink(name)
				unix.Close(fd)
			}, nil
		case err != unix.EWOULDBLOCK:
			return nil, lockError(path, name, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, fmt.Errorf("lock file %s: %w", name, context.Cause(ctx))
		}
	}
}

// tryLock returns EWOULDBLOCK when somebody else has the lock.
func tryLock(name string) (int, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	var fd int
	if err := retry(func() (err error) { fd, err = unix.Open(name, flags, 0o600); return }); err != nil {
		return -1, err
	}
	if err := lockFile(fd, name); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// lockFile locks what fd is open on, if that is the lock file still.
func lockFile(fd int, name string) error {
	var opened, present unix.Stat_t
	if err := unix.Fstat(fd, &opened); err != nil {
		return err
	}
	if opened.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("not a regular file")
	}
	if err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	err := unix.Lstat(name, &present)
	if err == unix.ENOENT || err == nil && (present.Ino != opened.Ino || present.Dev != opened.Dev) {
		return unix.EWOULDBLOCK // removed by its last holder
	}
	return err
}

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// lockError blames the directory unless there is a lock file to blame.
func lockError(path, name string, err error) error {
	if _, lerr := os.Lstat(name); lerr == nil {
		return fmt.Errorf("lock file %s: %w", name, err)
	}
	return fmt.Errorf("directory %s: %w", filepath.Dir(path), err)
}
