// Command echo is a server that sends back what it is sent, on TCP, on Unix
// sockets and over TLS, with one handler and a context for each listener.
//
//	go run ./examples/echo
//
// It prints a line for each listener that can be pasted into another shell,
// and when it has ended a line for each that says what happened there.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const usage = `usage: echo [flags]

Sends back what it is sent. SIGTERM or SIGINT ends it: connections may finish,
for as long as -grace says; a second one ends it now. The exit code is 0, 2 for
wrong flags, and 1 if it could not listen or had to force a connection.

-listen may be given many times. It takes the place of the default listeners,
which are a TCP port, a Unix socket and a TLS port. URL is

  host:port or tcp://host:port     TCP; port 0 is any that is free,
                                   8000-8010 as many listeners
  unix:/path or unix:///path?mode=0600
  tls://host:port                  TLS, with a certificate made at start
  systemd:name, fd:3               a socket that is open already

and may be followed, after a space each, by

  limit=BYTES     how much a connection may send; 0 is no limit
  greeting=TEXT   said to every client, up to the end of the argument

as in: echo -listen 'tls://:7000 limit=1000 greeting=Good day'

flags:
`

// run is main with its surroundings as parameters. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, not the whole usage
	var listen []spec
	flags.Func("listen", "listen on `URL`", func(s string) error {
		sp, err := parseSpec(s)
		listen = append(listen, sp)
		return err
	})
	grace := flags.Duration("grace", 10*time.Second, "how long connections may take to finish")
	most := flags.Int("max", 0, "most connections at one time; 0 is no limit")
	verbose := flags.Bool("v", false, "log every connection to standard error")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "echo: %v (see -h)\n", err)
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "echo: unexpected argument %q (see -h)\n", flags.Arg(0))
		return 2
	case *grace < 0:
		fmt.Fprintf(stderr, "echo: invalid value %v for flag -grace: less than nothing (see -h)\n", *grace)
		return 2
	case *most < 0:
		fmt.Fprintf(stderr, "echo: invalid value %d for flag -max: less than nothing (see -h)\n", *most)
		return 2
	}
	if len(listen) == 0 {
		listen = defaultSpecs()
	}

	// Before the addresses are printed: whoever reads them may send signals.
	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	g := lgrp.New(echo, &lgrp.Options{
		MaxConns: *most,
		Grace:    cmp.Or(*grace, -1), // for the group 0 is its default, and less is none
		Logger:   slog.New(slog.NewTextHandler(stderr, nil)),
	})
	g.UseTyped(count)
	if *verbose {
		g.UseTyped(logTo(stderr))
	}
	listeners, err := open(ctx, g, listen)
	if err != nil {
		fmt.Fprintf(stderr, "echo: %v\n", err)
		return 1
	}
	for _, l := range listeners {
		fmt.Fprintln(stdout, clientCommand(l))
	}

	go func() {
		fmt.Fprintf(stderr, "echo: %v: draining for at most %v; once more to force\n", <-sigs, *grace)
		cancel()
		<-sigs
		_ = g.Close() // what it forces is counted
	}()
	err = g.Run(ctx)
	if n := g.Info().Closed[lgrp.ReasonForced]; err == nil && n > 0 {
		err = fmt.Errorf("%d connections were forced", n) // by Close, before Run had heard of the first signal
	}
	for _, l := range listeners {
		fmt.Fprintln(stdout, summary(l))
	}
	if err != nil {
		fmt.Fprintf(stderr, "echo: %v\n", err)
		return 1
	}
	return 0
}
