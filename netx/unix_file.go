//go:build unix && !aix

package netx

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A socketFile is the file of a bound unix socket.
type socketFile struct {
	path string // absolute, for the directory may be changed
	info fs.FileInfo
}

func newSocketFile(path string) (*socketFile, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	return socketFileOf(path, info), nil
}

func socketFileOf(path string, info fs.FileInfo) *socketFile {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return &socketFile{path, info}
}

// remove unlinks the file if it is still the same, under the lock. When it
// cannot, the file stays behind: the next one to listen there removes it.
// The socket must be open, or its inode may be another's by now.
func (f *socketFile) remove() {
	if !f.present() {
		return
	}
	unlock, err := lockPath(context.Background(), f.path, unlockWait)
	if err != nil {
		return
	}
	defer unlock()
	f.removeLocked()
}

func (f *socketFile) removeLocked() error {
	if !f.present() {
		return nil
	}
	err := unix.Unlink(f.path)
	if err == unix.ENOENT {
		return nil
	}
	return wrapSyscall("unlink", err)
}

func (f *socketFile) present() bool {
	info, err := os.Lstat(f.path)
	return err == nil && os.SameFile(f.info, info)
}
