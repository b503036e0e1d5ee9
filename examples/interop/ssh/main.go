// Command ssh is an SSH server whose only program says who is asking. The
// handler is given the connection as it was accepted, which is what
// golang.org/x/crypto/ssh wants.
//
//	go run ./ssh
//	ssh -p PORT anybody@127.0.0.1 whoami
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/listengroup/listengroup/examples/interop/internal/cli"
	"github.com/listengroup/listengroup/lgrp"
)

func main() {
	key, err := hostKey()
	if err != nil {
		log.Fatalf("ssh: %v", err)
	}
	about := "Lets everybody in, under a host key made at start, and answers every command\nwith who they are.\n"
	cli.Main("ssh", about, lgrp.New(serve, nil), port{key}, nil)
}

// port is what every listener has: the key that clients know it by.
type port struct{ key ssh.Signer }

// session is what every connection has, once the handshake has told.
type session struct {
	mu   sync.Mutex
	user string
}

func hostKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// handshake is how long a client may take to say who it is.
const handshake = 10 * time.Second

func serve(ctx context.Context, nc net.Conn, c *lgrp.Conn[port, session]) error {
	cfg := &ssh.ServerConfig{NoClientAuth: true}
	cfg.AddHostKey(c.Listener.key)
	if err := nc.SetDeadline(time.Now().Add(handshake)); err != nil {
		return err
	}
	sc, channels, requests, err := ssh.NewServerConn(nc, cfg)
	if err != nil {
		return &lgrp.CloseError{Reason: lgrp.ReasonHandshake, Err: err}
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.Data.mu.Lock()
	c.Data.user = sc.User()
	c.Data.mu.Unlock()
	c.SetNote("user " + sc.User())

	// A drain lets the programs that run finish, and takes no new ones: it
	// ends the connection when there are none left. Before, the connection
	// ends when the client does.
	var programs sync.WaitGroup
	defer programs.Wait()
	draining := make(chan struct{})
	c.OnDrain(func() { close(draining) })
	go ssh.DiscardRequests(requests)
	for {
		select {
		case ch, ok := <-channels:
			if !ok {
				return nil
			}
			if ch.ChannelType() != "session" {
				_ = ch.Reject(ssh.UnknownChannelType, "only sessions")
				continue
			}
			programs.Go(func() { program(ch, c) })
		case <-draining:
			programs.Wait()
			return sc.Close()
		}
	}
}

// program runs the one that there is, whatever its name.
func program(nch ssh.NewChannel, c *lgrp.Conn[port, session]) {
	ch, requests, err := nch.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		run := r.Type == "exec" || r.Type == "shell"
		if r.WantReply {
			_ = r.Reply(run, nil)
		}
		if !run {
			continue
		}
		c.Data.mu.Lock()
		user := c.Data.user
		c.Data.mu.Unlock()
		fmt.Fprintf(ch, "%s, connection %d from %s\n", user, c.ID(), c.RemoteAddr())
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
		go ssh.DiscardRequests(requests)
		return
	}
}
