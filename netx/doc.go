// Package netx opens listeners and connections from addresses of package addr,
// and helps with what net.Conn leaves out.
//
// # Listening
//
// [Listen] opens one listener on an address, [ListenAll] any number, all or
// none. What they return is net's: a TCP listener accepts *[net.TCPConn], and
// nothing is wrapped around it.
//
//	ln, err := netx.Listen(ctx, addr.MustParse(":8080"), nil)
//
// The address says where:
//
//	:8080, 127.0.0.1:0, [::1]:80    TCP; tcp4:// and tcp6:// for one of the two
//	:8000-8010                      several ports, for ListenAll
//	tcp://%eth0:80                  the addresses that an interface has now
//	unix:///run/app.sock?mode=0660  a unix socket; also owner= and group=
//	unix:@app                       an abstract one, without a file (Linux)
//	fd:3                            an inherited descriptor
//	systemd:web                     a socket that systemd passed by this name
//	mem:app                         a network inside this process
//
// and [Register] adds schemes. [Options] say how; each comes with its default,
// and nil means all the defaults. [Dial] connects to the same addresses.
// [Expand] resolves those that stand for several sockets.
//
// TCP keepalive is on, as in package net, but set once, on the listening
// socket, from which Linux lets connections inherit it. Accepting, reading,
// writing and closing costs eight system calls then, where net makes twelve.
//
// # Unix sockets
//
// A socket's file outlives a server that was killed, so whoever listens on a
// path has to find out whether the file there is alive, and must not be wrong.
// Listen does it in this order, all of it under a lock:
//
//   - It connects. If anyone accepts, or may, it fails with
//     [syscall.EADDRINUSE]. A server that is probed like that sees a
//     connection which ends at once.
//   - It removes a socket that refuses the connection. Nothing else is ever
//     removed: no other file, no directory, no symbolic link and not what it
//     points to.
//   - It binds. The file is born with its owner's bits of the mode at most,
//     then given to owner and group, then given the rest of the mode, and only
//     then made to listen. So nobody can connect who was not meant to, and on
//     Linux the file never has a mode wider than the one asked for. The mode
//     is exact, whatever the umask; without one the umask decides, as in
//     package net.
//
// Close removes the file before it closes the socket, under the same lock, if
// the file is still the listener's own. A listener whose file was removed by
// hand does not take its successor's with it. What cannot be removed, because
// the directory is read-only by now, stays behind for the next starter.
//
// The lock is an flock(2) on a file beside the socket, called like it with
// .netx-lock at the end. It is held only while a listener is opened or closed
// and removed before it is let go, so it is hardly ever seen. One that a killed
// process left behind is not in the way. Both the directory and the lock file
// have to be writable, as the directory has to be for bind(2) anyhow.
//
// # Stopping without losing connections
//
// Closing a listener resets every connection that waits in its queue, though
// the clients believe that they are connected. To lose none, call [StopQueue],
// take them with [AcceptQueued] until it says [ErrQueueEmpty], then Close. Of
// clients that connect over TCP in the microseconds before Close some may still
// be reset; the kernel offers no way to avoid it. Over a unix socket none is, on
// Linux.
//
// Of a sharded listener, stop and empty each of its Shards, and accept from
// them: what its own Accept has just taken from a socket is nobody's for a
// moment, in which AcceptQueued cannot see it.
//
// # Sockets from and for other processes
//
// An fd: address is a descriptor that this process inherited: it is used up,
// and closing the listener closes it. Listening on it a second time is an
// error, because by then the number may be another file's. A descriptor that
// this process opened itself, which Go makes close-on-exec, is duplicated and
// stays its owner's.
//
// A systemd: address is one of the descriptors announced in LISTEN_FDS
// (sd_listen_fds(3)), by its FileDescriptorName. The environment is read once,
// when it is first needed, and not changed; the descriptors are made
// close-on-exec then. If several sockets have one name, which is what
// systemd does with several ListenStream= lines, use ListenAll, or Expand,
// which gives an fd: address for each. What is not a listening stream socket
// is skipped, and named in the error if nothing else has the name.
//
// [Files] gives duplicates of a listener's descriptors to be handed to a
// successor. Sockets that other processes hold too, inherited or handed out,
// are left as they are: Close does not remove their files, StopQueue does
// nothing, and options are not set on them.
//
// # Connections
//
// The helpers for connections work on every [net.Conn] and keep what the
// socket can do: [Proxy] moves bytes both ways, [Peek] looks at the first,
// [CountConn] counts them. [CloseWrite] half-closes, [Linger] ends a
// conversation so that the peer hears the last word, [Abort] resets.
// [Underlying] finds the socket beneath wrappers, and [Wrap] makes wrappers
// that hide nothing. [IsClosed], [IsTimeout] and [IsReset] tell errors apart.
//
// # Concurrency
//
// Listeners may be used by several goroutines at once, and so may every
// function of this package. Listeners on mem: work inside the bubbles of
// [testing/synctest], sockets of the kernel do not.
//
// # Other systems
//
// Everything compiles everywhere. Windows has no unix listeners, descriptors,
// Files and AcceptQueued of sockets here; only Linux has abstract sockets,
// ReusePort, Shards, DeferAccept and FastOpen. What is missing fails with an
// error that matches [errors.ErrUnsupported].
//
// On macOS and the BSDs the kernel refuses a connection to a full queue as if
// nobody listened, so there a server that has fallen behind that far can be
// taken for dead.
package netx
