package netx

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// Files returns a duplicate of every descriptor behind ln, one per socket, to
// be handed to another process, which listens on them as fd:3, fd:4 and so on
// in the order of [os/exec.Cmd.ExtraFiles]. The caller closes them.
//
// A socket that was handed out belongs to both processes from then on: closing
// ln no longer unlinks a unix socket's file, and StopQueue does nothing. Both
// accept from the same queue until one of them closes.
//
// Use it, and not net's File, to hand sockets to os/exec: that switches the
// socket to blocking mode, here too, where Accept then cannot be interrupted.
//
// It works for listeners that Listen opened on TCP and unix sockets, sharded
// or inherited ones too, and for *[net.TCPListener] and *[net.UnixListener].
// It fails with [net.ErrClosed] after Close or StopQueue, and with an error
// that matches [errors.ErrUnsupported] for other listeners.
func Files(ln net.Listener) ([]*os.File, error) {
	all := []net.Listener{ln}
	if s, ok := ln.(interface{ Shards() []net.Listener }); ok {
		all = s.Shards()
	}
	var files []*os.File
	for _, ln := range all {
		f, err := file(ln)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, &net.OpError{Op: "file", Net: ln.Addr().Network(), Addr: ln.Addr(), Err: unwrapOp(err)}
		}
		files = append(files, f)
	}
	return files, nil
}

func file(ln net.Listener) (*os.File, error) {
	switch ln := ln.(type) {
	case *socket:
		return ln.File()
	case *net.UnixListener:
		ln.SetUnlinkOnClose(false)
		return dup(ln)
	case syscall.Conn:
		return dup(ln)
	default:
		return nil, errors.ErrUnsupported
	}
}
