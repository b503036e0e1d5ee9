// Package cli is what the commands of this module have in common: addresses to
// listen on, signals, exit codes.
package cli

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
)

// Main runs a group at the addresses that are the command's arguments, until a
// signal ends it, and ends the process. about is the help; atDrain, which may
// be nil, is called when the drain begins.
func Main[L, C any](name, about string, g *lgrp.ListenGroup[L, C], lctx L, atDrain func()) {
	os.Exit(run(name, about, g, lctx, atDrain, os.Args[1:], os.Stdout, os.Stderr))
}

func run[L, C any](name, about string, g *lgrp.ListenGroup[L, C], lctx L, atDrain func(), args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, not the whole usage
	grace := flags.Duration("grace", 10*time.Second, "how long connections may take to finish")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, "usage: %s [flags] [ADDRESS]...\n\n%s\nADDRESS is host:port or unix:/path; the default is 127.0.0.1:0. SIGTERM or\nSIGINT drains it, a second one ends it now. The exit code is 0, 2 for wrong\narguments, and 1 if it could not listen or had to force a connection.\n\nflags:\n", name, about)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v (see -h)\n", name, err)
		return 2
	case *grace < 0:
		fmt.Fprintf(stderr, "%s: -grace cannot be negative (see -h)\n", name)
		return 2
	}
	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)

	addresses := flags.Args()
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:0"}
	}
	for _, address := range addresses {
		l, err := g.Listen(context.Background(), address, lctx)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			_ = g.Close()
			if _, ok := errors.AsType[*addr.ParseError](err); ok {
				return 2
			}
			return 1
		}
		fmt.Fprintln(stdout, l.Addr())
	}

	fmt.Fprintf(stderr, "%s: %v: draining for at most %v; once more to force\n", name, <-sigs, *grace)
	if atDrain != nil {
		go atDrain()
	}
	ctx, cancel := context.WithTimeout(context.Background(), *grace)
	defer cancel()
	go func() { <-sigs; cancel() }()
	if err := g.Shutdown(ctx); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
