//go:build !linux

package netx

import (
	"io"
	"net"
)

// spliceToUnix is for Linux only.
func spliceToUnix(*net.UnixConn, io.Reader, *Meter) (total int64, handled bool, err error) {
	return 0, false, nil
}
