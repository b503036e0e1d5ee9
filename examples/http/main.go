// Command http serves net/http on TCP, on a Unix socket and over TLS with
// HTTP/2, through one group: connections are limited, seen and drained
// together, whatever they came in on.
//
//	go run ./examples/http
//
// It prints a curl command for each listener. On SIGTERM it first says on
// /healthz that it is not ready, for as long as -notready says, so that a load
// balancer sends new clients elsewhere, and then drains.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/examples/internal/sockpath"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const usage = `usage: http [flags]

A web server on a TCP port, a Unix socket and a TLS port, which an empty flag
switches off. SIGTERM or SIGINT drains it, a second one ends it now. The exit
code is 0, 2 for wrong flags, and 1 if it could not listen or had to force a
connection.

  /           which connection this is, and how many requests came on it
  /slow?for=D answers after D, such as 2s
  /conns      the group and its connections as JSON
  /healthz    200 while it wants new clients, else 503

flags:
`

// config is what the flags say.
type config struct {
	tcp, unix, tls  addr.Addr
	max             int
	notReady, grace time.Duration
}

// check returns what is wrong with the flags together, or with one whose type
// lets it pass.
func (cfg *config) check() error {
	if cfg.tcp.IsZero() && cfg.unix.IsZero() && cfg.tls.IsZero() {
		return errors.New("nothing to listen on: -tcp, -unix and -tls are all empty")
	}
	for _, a := range []addr.Addr{cfg.tcp, cfg.unix, cfg.tls} {
		if a.Scheme() == "mem" {
			return fmt.Errorf("%s is for clients in the same process", a)
		}
	}
	if cfg.max < 0 || cfg.notReady < 0 || cfg.grace < 0 {
		return errors.New("-max, -notready and -grace cannot be negative")
	}
	return nil
}

func run(args []string, stdout, stderr io.Writer) int {
	cfg := config{
		tcp:  addr.MustParse("127.0.0.1:0"),
		unix: addr.FromNet(&net.UnixAddr{Name: sockpath.Default("listengroup-http"), Net: "unix"}),
		tls:  addr.MustParse("127.0.0.1:0"),
	}
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, not the whole usage
	// An addr.Addr is a flag, and empty when the flag is.
	flags.Var(&cfg.tcp, "tcp", "TCP `address`")
	flags.Var(&cfg.unix, "unix", "Unix socket `address`")
	flags.Var(&cfg.tls, "tls", "TCP `address` for TLS")
	flags.IntVar(&cfg.max, "max", 0, "most connections at one time; an idle one makes room; 0 is no limit")
	flags.DurationVar(&cfg.notReady, "notready", 0, "how long to go on accepting while not ready, at the end")
	flags.DurationVar(&cfg.grace, "grace", 10*time.Second, "how long connections may take to finish, -notready included")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "http: %v (see -h)\n", err)
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "http: unexpected argument %q (see -h)\n", flags.Arg(0))
		return 2
	}
	if err := cfg.check(); err != nil {
		fmt.Fprintf(stderr, "http: %v (see -h)\n", err)
		return 2
	}

	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)

	mux := http.NewServeMux() // filled below, for its handlers ask the group
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	g := lgrp.New(lgrp.Typed[port, session](middleware.HTTP(srv)), &lgrp.Options{
		MaxConns: cfg.max,
		OnLimit:  lgrp.EvictIdle(), // a client that keeps its connection alive must not keep others out
		Logger:   slog.New(slog.NewTextHandler(stderr, nil)),
	})
	routes(mux, g)
	lines, err := listen(g, cfg)
	if err != nil {
		fmt.Fprintf(stderr, "http: %v\n", err)
		return 1
	}
	for _, line := range lines {
		fmt.Fprintln(stdout, line)
	}

	fmt.Fprintf(stderr, "http: %v: draining for at most %v; once more to force\n", <-sigs, cfg.grace)
	ctx, cancel := context.WithTimeout(context.Background(), cfg.grace)
	defer cancel()
	go func() { <-sigs; cancel() }()
	report, err := g.Drain(ctx, &lgrp.DrainOptions{NotReadyFor: cfg.notReady})
	_ = g.Close() // nothing is left to close, but what came in between
	fmt.Fprintf(stdout, "%d finished, %d forced, %d stuck\n", report.Finished, report.Forced, len(report.Stuck))
	if err != nil {
		fmt.Fprintf(stderr, "http: %v\n", err)
		return 1
	}
	return 0
}
