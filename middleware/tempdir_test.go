package middleware_test

import "os"

// Where the directory for temporary files has a long path, no socket could be
// bound below it: a socket's path has at most 107 bytes.
func init() {
	const longest = 50
	if _, err := os.Stat("/tmp"); len(os.TempDir()) > longest && err == nil {
		os.Setenv("TMPDIR", "/tmp")
	}
}
