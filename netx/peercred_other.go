//go:build !linux

package netx

import "net"

// PeerCred is for Linux only: elsewhere its error matches errors.ErrUnsupported.
func PeerCred(nc net.Conn) (Cred, error) {
	return Cred{}, unsupported("peer credentials", nc)
}
