// Command perlistener is a server whose listeners come and go while it runs,
// each with a context of its own, on the orders of whoever talks to its admin
// socket. A person can watch the group change: every step is a line on
// standard output.
//
//	go run ./examples/perlistener
//	nc -U …                                   # the line that it prints
//	add tcp://127.0.0.1:0 id=web greeting=hi
//	list
//
// The server greets with its listener's greeting and answers every line with
// it. The admin socket is a listener of the same group: the group handler
// looks at the listener's context to see which of the two a connection wants.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/examples/internal/sockpath"
	"github.com/listengroup/listengroup/lgrp"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const usage = `usage: perlistener [flags]

A server whose listeners are added and removed over its admin socket. SIGTERM or
SIGINT drains it, a second one ends it now. The exit code is 0, 2 for wrong
flags, and 1 if it could not listen or had to force a connection.

flags:`

// run is main with its surroundings as parameters. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("perlistener", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, not the whole usage
	admin := flags.String("admin", sockpath.Default("perlistener"),
		"`path` of the admin socket")
	limit := flags.Int("max", 0, "most connections at one time, admins too; 0 is no limit")
	grace := flags.Duration("grace", 10*time.Second, "how long connections may take to finish after SIGTERM or SIGINT")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		fmt.Fprintf(stdout, "\ncommands on the admin socket:\n%s", help)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "perlistener: %v (see -h)\n", err)
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "perlistener: unexpected argument %q (see -h)\n", flags.Arg(0))
		return 2
	case *limit < 0 || *grace < 0:
		fmt.Fprintln(stderr, "perlistener: -max and -grace cannot be negative (see -h)")
		return 2
	case *admin == "" || strings.HasPrefix(*admin, "@"):
		fmt.Fprintln(stderr, "perlistener: -admin is not the path of a file, whose mode keeps others away (see -h)")
		return 2
	}

	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	s := newServer(stdout, &lgrp.Options{
		MaxConns: *limit,
		Grace:    cmp.Or(*grace, -1), // for the group 0 is its default, and less is none
		Logger:   slog.New(slog.NewTextHandler(stderr, nil)),
	})
	// Only its owner may give orders: the file is never wider than 0600.
	where, err := addr.Parse(addr.FromNet(&net.UnixAddr{Name: *admin, Net: "unix"}).String() + "?mode=0600")
	if err == nil {
		_, err = s.group.Add(ctx, lgrp.ListenerSpec[*port]{ID: adminID, Addr: where, Context: &port{admin: true}})
	}
	if err != nil {
		fmt.Fprintf(stderr, "perlistener: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "nc -U %s\n", *admin)

	go func() {
		fmt.Fprintf(stderr, "perlistener: %v: draining for at most %v; once more to force\n", <-sigs, *grace)
		cancel()
		<-sigs
		_ = s.group.Close() // what it forces is counted
	}()
	err = s.group.Run(ctx)
	if n := s.group.Info().Closed[lgrp.ReasonForced]; err == nil && n > 0 {
		err = fmt.Errorf("%d connections were forced", n) // by Close, before Run had heard of the first signal
	}
	if err != nil {
		fmt.Fprintf(stderr, "perlistener: %v\n", err)
		return 1
	}
	return 0
}
