package middleware

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/listengroup/listengroup/netx"
)

// kernelTraffic is what the kernel knows of a TCP connection, see tcp(7): bytes
// that have arrived, read or not, and bytes that the peer has acknowledged,
// also of splice and sendfile while they last. Asking costs a system call, and
// the connection nothing.
type kernelTraffic struct{ tcp *net.TCPConn }

// watchKernel reports false if the kernel cannot tell: nc is no TCP connection,
// or one over several paths (MPTCP), of which TCP_INFO describes the first only.
func watchKernel(nc net.Conn) (k kernelTraffic, ok bool) {
	tcp, ok := netx.Underlying[*net.TCPConn](nc)
	if !ok {
		return k, false
	}
	if multipath, err := tcp.MultipathTCP(); multipath || err != nil {
		return k, false
	}
	return kernelTraffic{tcp}, true
}

// traffic is a kernel's figures at one moment.
type traffic struct {
	read, written         uint64
	sinceRead, sinceWrite time.Duration // since data last came or went, to a clock tick
	unread                bool          // there are bytes that have arrived and not been read
}

// now reports false once the connection has been closed.
func (k kernelTraffic) now() (t traffic, ok bool) {
	raw, err := k.tcp.SyscallConn()
	if err != nil {
		return t, false
	}
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ok = true
		t = traffic{
			read: info.Bytes_received, written: info.Bytes_acked,
			sinceRead:  time.Duration(info.Last_data_recv) * time.Millisecond,
			sinceWrite: time.Duration(info.Last_data_sent) * time.Millisecond,
		}
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		t.unread = err == nil && n > 0
	})
	return t, ok && err == nil
}
