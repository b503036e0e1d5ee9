// Command activated serves sockets that others opened, and hands them on: to
// be started by systemd when the first client comes, and replaced by a new
// version of itself without a client noticing.
//
//	systemd-socket-activate -l 127.0.0.1:9000 --fdname=web activated systemd:web
//	kill -HUP PID
//
// On SIGHUP it starts its program again, with its sockets as fd:3, fd:4 and so
// on. When the successor says that it listens, the predecessor stops accepting
// and drains: both take from the same queue in between, so nobody is refused.
// If the successor does not come up, nothing has happened.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const usage = `usage: activated [flags] ADDRESS...

Answers every line with itself and the generation that serves it. ADDRESS is
systemd:name or fd:N for a socket that is open already, or host:port or
unix:/path. SIGHUP replaces the process by a new one with the same sockets,
SIGTERM and SIGINT end it, a second one at once. The exit code is 0, 2 for wrong
arguments, and 1 if it could not listen or had to force a connection.

flags:
`

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("activated", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, not the whole usage
	grace := flags.Duration("grace", 10*time.Second, "how long connections may take to finish")
	generation := flags.Int("generation", 1, "set by the predecessor")
	ready := flags.Int("ready", 0, "set by the predecessor: the descriptor to say on that the successor listens")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "activated: %v (see -h)\n", err)
		return 2
	case flags.NArg() == 0:
		fmt.Fprintln(stderr, "activated: no address to listen on (see -h)")
		return 2
	case *grace < 0:
		fmt.Fprintln(stderr, "activated: -grace cannot be negative (see -h)")
		return 2
	}

	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)

	g := lgrp.New(server{*generation}.serve, nil)
	for _, arg := range flags.Args() {
		if err := listen(g, arg); err != nil {
			fmt.Fprintf(stderr, "activated: %v\n", err)
			_ = g.Close()
			if _, ok := errors.AsType[*addr.ParseError](err); ok {
				return 2
			}
			return 1
		}
	}
	fmt.Fprintf(stdout, "generation %d is process %d", *generation, os.Getpid())
	for l := range g.Listeners() {
		fmt.Fprintf(stdout, ", listens on %s", l.Addr())
	}
	fmt.Fprintln(stdout)
	if *ready != 0 {
		w := os.NewFile(uintptr(*ready), "ready")
		_, err := io.WriteString(w, isReady)
		if err2 := w.Close(); err == nil {
			err = err2
		}
		if err != nil {
			fmt.Fprintf(stderr, "activated: tell the predecessor: %v\n", err)
			_ = g.Close()
			return 1
		}
	}

	for s := range sigs {
		if s != syscall.SIGHUP {
			break
		}
		if err := handOver(g, *generation+1, *grace); err != nil {
			fmt.Fprintf(stderr, "activated: hand over: %v\n", err)
			continue
		}
		break
	}
	ctx, cancel := context.WithTimeout(context.Background(), *grace)
	defer cancel()
	go func() { <-sigs; cancel() }()
	err := g.Shutdown(ctx)
	fmt.Fprintf(stdout, "generation %d ends after %d connections\n", *generation, g.Info().Accepted)
	if err != nil {
		fmt.Fprintf(stderr, "activated: %v\n", err)
		return 1
	}
	return 0
}

// listen opens what arg stands for. The group adopts the listeners: so they
// are at hand when they have to be handed over. A name of systemd's may be
// that of several sockets.
func listen(g *lgrp.ListenGroup[port, session], arg string) error {
	ctx := context.Background()
	a, err := addr.Parse(arg)
	if err != nil {
		return err
	}
	as, err := netx.Expand(a)
	if err != nil {
		return err
	}
	lns, err := netx.ListenAll(ctx, as, nil)
	if err != nil {
		return err
	}
	for i, ln := range lns {
		if _, err := g.Add(ctx, lgrp.ListenerSpec[port]{Listener: ln, Context: port{ln}}); err != nil {
			for _, rest := range lns[i+1:] {
				_ = rest.Close()
			}
			return err
		}
	}
	return nil
}
