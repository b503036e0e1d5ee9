package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// port is what every listener has: its context. A pointer to it goes to Add,
// so all connections of the listener share one.
type port struct {
	greeting string
	limit    int64 // bytes from one client; 0 is no limit
	tls      bool
	total    netx.Counter // bytes of all connections ever
}

// session is what every connection has: it counts its bytes.
type session struct {
	count *netx.Counter
}

type conn = lgrp.Conn[*port, session]

// count is typed middleware: it sees the listener's context and writes the
// connection's, before the handler starts and anybody else may look. The
// connection it passes on counts, and still lets the kernel move the bytes.
func count(next lgrp.ConnHandler[*port, session]) lgrp.ConnHandler[*port, session] {
	return func(ctx context.Context, nc net.Conn, c *conn) error {
		nc, c.Data.count = netx.CountConn(nc, &c.Listener.total)
		return next(ctx, nc, c)
	}
}

// logTo is typed middleware that writes a line when a connection begins and
// when it ends.
func logTo(w io.Writer) lgrp.TypedMiddleware[*port, session] {
	l := log.New(w, "", log.Ltime|log.Lmicroseconds)
	return func(next lgrp.ConnHandler[*port, session]) lgrp.ConnHandler[*port, session] {
		return func(ctx context.Context, nc net.Conn, c *conn) error {
			l.Printf("connection %d: %s to %s", c.ID(), c.RemoteAddr(), c.ListenerID())
			err := next(ctx, nc, c)
			n := c.Data.count.Counts()
			l.Printf("connection %d: %d bytes in, %d bytes out, error %v", c.ID(), n.BytesRead, n.BytesWritten, err)
			return err
		}
	}
}

// echo serves one connection.
func echo(_ context.Context, nc net.Conn, c *conn) error {
	// A client that says nothing would hold a drain up for all of its grace:
	// end the Read when it begins.
	c.OnDrain(func() { _ = nc.SetReadDeadline(time.Now()) })

	if c.Listener.greeting != "" {
		if _, err := fmt.Fprintln(nc, c.Listener.greeting); err != nil {
			return err
		}
	}
	var from io.Reader = nc // io.Copy gets the connection itself, unless it must stop
	if c.Listener.limit > 0 {
		from = io.LimitReader(nc, c.Listener.limit)
	}
	n, err := io.Copy(nc, from)
	switch {
	case draining(c):
		return nil
	case err == nil && c.Listener.limit > 0 && n == c.Listener.limit:
		return sayGoodbye(nc, c)
	}
	return err
}

// draining reports whether the connection has been asked to finish.
func draining(c *conn) bool {
	select {
	case <-c.Draining():
		return true
	default:
		return false
	}
}

// sayGoodbye ends a connection that has used up its bytes, and may be sending
// more.
func sayGoodbye(nc net.Conn, c *conn) error {
	fmt.Fprintf(nc, "\nthat was %d bytes, goodbye\n", c.Listener.limit)
	return netx.Linger(nc, time.Second)
}
