package netx

import (
	"bytes"
	"errors"
	"io"
	"net"
)

// ErrLineTooLong is what [ReadLine] returns when there is no end within max
// bytes.
var ErrLineTooLong = errors.New("netx: line too long")

// ReadLine reads nc's next line, which with its end, "\n" or "\r\n", takes at
// most max bytes, and returns it without the end. It is for a greeting or a name
// in front of a protocol of another kind: unlike a bufio.Reader that is dropped
// afterwards it loses nothing of what the peer has sent with it. Read that from
// the connection that is returned, also after an error, as with [Peek].
//
// An error leaves all of the line to be read, so ReadLine can be tried again: it
// is [ErrLineTooLong], or what nc's Read gave, io.EOF in the middle of a line
// too. ReadLine waits as long as nc's read deadline lets it, and counts as a Read.
func ReadLine(nc net.Conn, max int) (string, net.Conn, error) {
	var head []byte
	for {
		var err error
		seen := len(head)
		if seen >= max {
			return "", nc, ErrLineTooLong
		}
		head, nc, err = PeekAtLeast(nc, seen+1, max)
		if i := bytes.IndexByte(head[seen:], '\n'); i >= 0 {
			line := make([]byte, seen+i+1)
			if _, err := io.ReadFull(nc, line); err != nil {
				return "", nc, err
			}
			return string(bytes.TrimSuffix(line[:seen+i], []byte{'\r'})), nc, nil
		}
		if err != nil {
			return "", nc, err
		}
	}
}
