package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// port is what every listener has: its context. A pointer to it goes to Add,
// so all connections of the listener share one.
type port struct {
	greeting string
	admin    bool         // takes commands, and stays
	lines    atomic.Int64 // answered here, by all connections ever
}

// session is what every connection has. Others read lines while the handler
// counts, so it is an atomic; the rest is set before the handler starts.
type session struct {
	lines atomic.Int64
}

type conn = lgrp.Conn[*port, session]

// server is the group handler: it chooses what serves a connection, and is
// told what comes and goes.
type server struct {
	group *lgrp.ListenGroup[*port, session]
	watch *log.Logger
}

func newServer(stdout io.Writer, opts *lgrp.Options) *server {
	s := &server{watch: log.New(stdout, "", 0)}
	s.group = lgrp.NewGroup(s, opts)
	return s
}

// Connected chooses the handler by the listener's context.
func (s *server) Connected(_ context.Context, nc net.Conn, c *conn) (lgrp.ConnHandler[*port, session], error) {
	s.watch.Printf("+ connection %d at %s", c.ID(), c.ListenerID())
	if c.Listener.admin {
		return s.admin, nil
	}
	return s.greet, nil
}

// Disconnected, Listening and Unlistening are the optional methods of a group
// handler.
func (s *server) Disconnected(c *conn, err error) {
	s.watch.Printf("- connection %d at %s: %d lines%s", c.ID(), c.ListenerID(), c.Data.lines.Load(), because(err))
}

func (s *server) Listening(l lgrp.ListenerInfo) {
	if l.ID != adminID { // main prints that one in another form
		s.watch.Printf("+ listener %s at %s", l.ID, l.Addr)
	}
}

func (s *server) Unlistening(l lgrp.ListenerInfo, err error) {
	s.watch.Printf("- listener %s at %s: %d connections%s", l.ID, l.Addr, l.Accepted, because(err))
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// greet is what the listeners that come and go serve.
func (s *server) greet(ctx context.Context, nc net.Conn, c *conn) error {
	if _, err := fmt.Fprintf(nc, "%s, you are connection %d of %s\n", c.Listener.greeting, c.ID(), c.ListenerID()); err != nil {
		return err
	}
	return eachLine(ctx, nc, c, func(line string) error {
		c.Listener.lines.Add(1)
		_, err := fmt.Fprintf(nc, "%s, %s\n", c.Listener.greeting, line)
		return err
	})
}

// maxLine bounds the memory that a client can claim: a longer line ends its
// connection.
const maxLine = 64 << 10

// eachLine calls f with every line until the peer sends no more or the group
// drains, which is no error: the line under way has then been answered.
func eachLine(ctx context.Context, nc net.Conn, c *conn, f func(line string) error) error {
	c.OnDrain(func() { _ = nc.SetReadDeadline(time.Now()) })
	lines := bufio.NewScanner(nc)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		c.Data.lines.Add(1)
		if err := f(lines.Text()); err != nil {
			return err
		}
	}
	select {
	case <-c.Draining():
		return nil
	default:
	}
	if cause := context.Cause(ctx); cause != nil { // killed: say why, not that the socket is closed
		return cause
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) { // say so to a peer that may be sending still
		fmt.Fprintf(nc, "error: a line has fewer than %d bytes\n", maxLine)
		_ = netx.Linger(nc, time.Second)
	}
	return err
}
