package netx

import "golang.org/x/sys/unix"

// shutQueue has a listening unix socket refuse whoever has not come to queue up
// yet, also by the path that it had: a client looks the path up first, and may
// take its time after that. The kernel looks at the shutdown with the queue
// locked (unix_stream_connect), so once this returns nobody comes any more.
// Those that are queued stay, and accept(2) goes on to yield them; empty, it
// says EAGAIN as before.
func shutQueue(s *socket) error {
	return withFD(s, func(fd int) error {
		return wrapSyscall("shutdown", unix.Shutdown(fd, unix.SHUT_RD))
	})
}
