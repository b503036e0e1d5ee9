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
// that matches [errors.ErrUnsupported] for other listeners. When it fails nothing
// has been handed out.
func Files(ln net.Listener) ([]*os.File, error) {
	all := []net.Listener{ln}
	if s, ok := ln.(interface{ Shards() []net.Listener }); ok {
		all = s.Shards()
	}
	var files []*os.File
	err := func() error {
		for _, ln := range all {
			f, err := file(ln)
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		if s, ok := ln.(*shards); ok {
			s.handing.Lock()
			defer s.handing.Unlock()
		}
		return handOut(all)
	}()
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, &net.OpError{Op: "file", Net: ln.Addr().Network(), Addr: ln.Addr(), Err: unwrapOp(err)}
	}
	return files, nil
}

// file returns a duplicate of ln's descriptor, which is handed out when all are
// there.
func file(ln net.Listener) (*os.File, error) {
	if c, ok := ln.(syscall.Conn); ok {
		return dup(c)
	}
	return nil, errors.ErrUnsupported
}

// handOut marks all sockets or none.
func handOut(all []net.Listener) error {
	var marked []*socket
	for _, ln := range all {
		switch ln := ln.(type) {
		case *socket:
			undo, err := ln.handOut()
			if err != nil {
				for _, s := range marked {
					s.takeBack()
				}
				return err
			}
			if undo {
				marked = append(marked, ln)
			}
		case *net.UnixListener:
			ln.SetUnlinkOnClose(false)
		}
	}
	return nil
}
