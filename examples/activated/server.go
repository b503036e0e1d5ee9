package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// port is what every listener has: the listener itself, of which netx.Files
// makes what a successor inherits.
type port struct{ ln net.Listener }

// session is what every connection has: nothing.
type session struct{}

type server struct{ generation int }

// lastCall is how long a client has, when a drain begins, to send what it was
// about to. With none at all, those who had just come in would be let go before
// their first line was read, and reset for having sent it.
const lastCall = 100 * time.Millisecond

func (s server) serve(_ context.Context, nc net.Conn, c *lgrp.Conn[port, session]) error {
	c.OnDrain(func() { _ = nc.SetReadDeadline(time.Now().Add(lastCall)) })
	lines := bufio.NewScanner(nc)
	for lines.Scan() {
		if _, err := fmt.Fprintf(nc, "generation %d: %s\n", s.generation, lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); !netx.IsTimeout(err) {
		return err
	}
	return netx.Linger(nc, 5*lastCall)
}
