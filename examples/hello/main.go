// Command hello is the program of the README: one handler, two listeners that
// greet differently, and a clean end.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

type port struct{ greeting string } // what every listener has
type session struct{ bytes int64 }  // what every connection has

func echo(_ context.Context, nc net.Conn, c *lgrp.Conn[port, session]) error {
	c.OnDrain(func() { nc.SetReadDeadline(time.Now()) }) // end the Read when a drain begins
	fmt.Fprintf(nc, "%s, you are number %d\n", c.Listener.greeting, c.ID())
	c.Data.bytes, _ = io.Copy(nc, nc)
	log.Printf("number %d, on %s, sent %d bytes", c.ID(), c.ListenerID(), c.Data.bytes)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	g := lgrp.New(echo, nil)
	for address, p := range map[string]port{"127.0.0.1:7001": {"Hello"}, "unix:/tmp/hello.sock": {"Hi"}} {
		if _, err := g.Listen(ctx, address, p); err != nil {
			log.Fatal(err)
		}
	}
	if err := g.Run(ctx); err != nil { // until Ctrl-C or SIGTERM, then a drain of at most 30 s
		log.Fatal(err)
	}
}
