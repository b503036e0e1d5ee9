package middleware

import (
	"errors"
	"net"
	"sync/atomic"
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
// or one over several paths (MPTCP), of which TCP_INFO describes the first only,
// or the kernel does not count, as gVisor's.
func watchKernel(nc net.Conn) (k kernelTraffic, ok bool) {
	tcp, ok := netx.Underlying[*net.TCPConn](nc)
	if !ok {
		return k, false
	}
	if multipath, err := tcp.MultipathTCP(); multipath || err != nil {
		return k, false
	}
	k = kernelTraffic{tcp}
	return k, k.counted()
}

// kernelCounts is set when a connection has been seen to be counted: all are.
var kernelCounts atomic.Bool

// counted looks at the segments, which have come with Linux 4.2, one version
// after the bytes: opening a connection takes some.
func (k kernelTraffic) counted() bool {
	if kernelCounts.Load() {
		return true
	}
	counts := false
	_ = k.info(func(_ int, info *unix.TCPInfo) { counts = info.Segs_in > 0 || info.Segs_out > 0 })
	if counts {
		kernelCounts.Store(true)
	}
	return counts
}

// traffic is a kernel's figures at one moment.
type traffic struct {
	read, written         uint64
	sinceRead, sinceWrite time.Duration // since data last came or went, to a clock tick
	unread                bool          // there are bytes that have arrived and not been read
}

// now reports false once the connection has been closed.
func (k kernelTraffic) now() (t traffic, ok bool) {
	err := k.info(func(fd int, info *unix.TCPInfo) {
		t = traffic{
			read: info.Bytes_received, written: info.Bytes_acked,
			sinceRead:  time.Duration(info.Last_data_recv) * time.Millisecond,
			sinceWrite: time.Duration(info.Last_data_sent) * time.Millisecond,
		}
		n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
		t.unread = err == nil && n > 0
	})
	return t, err == nil
}

func (k kernelTraffic) info(use func(fd int, info *unix.TCPInfo)) error {
	raw, err := k.tcp.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = getTCPInfo(int(fd)); err == nil {
			use(int(fd), info)
		}
	})
	return errors.Join(cerr, err)
}

// getTCPInfo is replaced in tests, by a kernel that does not count.
var getTCPInfo = func(fd int) (*unix.TCPInfo, error) {
	return unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
}
