package netx

import (
	"net"
	"os"
	"syscall"
)

// PeerCred returns the credentials that the kernel vouches for of the peer of
// nc, a unix socket or a wrapper over one. It is SO_PEERCRED of unix(7).
//
// The error matches errors.ErrUnsupported for other connections, and on systems
// other than Linux.
func PeerCred(nc net.Conn) (Cred, error) {
	uc, ok := search[*net.UnixConn](nc, beneath)
	if !ok {
		return Cred{}, unsupported("peer credentials", nc)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return Cred{}, err
	}
	var cred *syscall.Ucred
	var operr error
	err = raw.Control(func(fd uintptr) {
		cred, operr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil {
		return Cred{}, err
	}
	if operr != nil {
		return Cred{}, os.NewSyscallError("getsockopt", operr)
	}
	return Cred{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}, nil
}
