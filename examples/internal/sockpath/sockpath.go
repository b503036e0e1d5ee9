// Package sockpath says where the examples, and their tests, put Unix sockets.
package sockpath

import (
	"fmt"
	"os"
	"path/filepath"
)

// longest is how long the path of a temporary directory may be, so that there
// is room for the rest: a socket's path has at most 107 bytes, 103 on macOS.
const longest = 50

// Default is where program puts its socket if it is not told: in the directory
// for temporary files, with the process id.
func Default(program string) string {
	return filepath.Join(tempDir(), fmt.Sprintf("%s-%d.sock", program, os.Getpid()))
}

// ShortenTempDir makes the directories of tests, testing.T.TempDir's and those
// of processes that tests start, short enough to hold sockets.
func ShortenTempDir() {
	if dir := tempDir(); dir != os.TempDir() {
		os.Setenv("TMPDIR", dir)
	}
}

// tempDir is os.TempDir, unless its path is so long that none of a socket in it
// could be bound.
func tempDir() string {
	dir := os.TempDir()
	if _, err := os.Stat("/tmp"); len(dir) > longest && err == nil {
		return "/tmp"
	}
	return dir
}
