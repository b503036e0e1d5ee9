// Package memconn is a network inside one process: connections and listeners that behave like TCP,
// without sockets. It imports only the standard library.
//
// # Usage
//
// [Pair] makes the two ends of a connection:
//
//	client, server := memconn.Pair(clientAddr, serverAddr, nil)
//
// [Listen] makes a listener whose clients come from its own Dial:
//
//	ln := memconn.Listen(addr, nil)
//	go serve(ln)
//	nc, err := ln.Dial(ctx, clientAddr)
//
// Addresses are whatever net.Addr the caller gives; nothing is registered anywhere, so equal addresses
// do not disturb each other.
//
// # Like TCP
//
// net.Pipe is the usual stand-in for a connection, but it answers io.ErrClosedPipe where TCP answers
// net.ErrClosed, EPIPE or ECONNRESET, refuses deadlines once the other end is closed, blocks on empty
// reads and writes, has no half-close, and lets an end be closed twice. A [Conn] answers as a TCP
// connection on Linux does: it is buffered ([Options].Size) with optional [Options].Latency, its ends
// can be half-closed (CloseWrite, CloseRead) and reset, closing an end with unread data resets the
// other, and errors are *net.OpError values that carry both addresses. Calls on an end that was closed
// itself answer an error that is both net.ErrClosed and io.ErrClosedPipe.
//
// Five things are simpler than in a kernel, so that tests are repeatable. Establishing a connection
// takes no time. Writing to an end that was closed cleanly fails at once; a kernel lets the first write
// succeed and loses it. A reset is reported by every call that follows; a kernel reports it once, then
// io.EOF and EPIPE. After CloseRead nothing more can be read; Linux still hands over what arrives.
// Half-closing what has ended already does nothing; a kernel answers ENOTCONN.
//
// With [Options].Sync a Write returns only when the other end has read its last byte, which is how
// net.Pipe finds code that relies on buffering; the errors stay TCP's.
//
// # In testing/synctest
//
// Connections and listeners made inside a bubble can be used by all of its goroutines: every wait is
// on a sync.Cond, which is durably blocking, no lock is held while anybody waits, and deadlines and
// latency follow the bubble's clock. No operation starts a goroutine, except the timer that ends a
// wait at its deadline.
package memconn
