// Command proxy passes connections on: from each address that it listens on to
// one that belongs to it, over TCP and Unix sockets. The address to pass on to
// is the listener's context.
//
//	go run ./examples/proxy 127.0.0.1:8080 127.0.0.1:80
//
// On Linux the kernel moves the bytes, whatever middleware is in between.
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
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const usage = `usage: proxy [flags] LISTEN TARGET [LISTEN TARGET]...

Passes what comes in at LISTEN on to TARGET. Addresses are host:port or
unix:/path; a range of ports, 8000-8010, goes to one TARGET or to a range of the
same size. What connections are about it does not know, so at the end, on
SIGTERM or SIGINT, they have -grace to finish by themselves; a second signal
ends it now. The exit code is 0, 2 for wrong arguments, and 1 if it could not
listen or had to force a connection.

flags:
`

// config is what the flags say.
type config struct {
	max, perIP      int
	idle, connect   time.Duration
	trusted         []netip.Prefix
	proxied, sendV1 bool
	grace           time.Duration
	verbose         bool
}

func parse(args []string) (cfg config, routes []route, flags *flag.FlagSet, err error) {
	flags = flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, not the whole usage
	flags.IntVar(&cfg.max, "max", 0, "most connections at one time, the others wait; 0 is no limit")
	flags.IntVar(&cfg.perIP, "perip", 0, "most connections from one IPv4 address or IPv6 /64; 0 is no limit")
	flags.DurationVar(&cfg.idle, "idle", 5*time.Minute, "end connections over which no byte has passed for this long; 0 is never")
	flags.DurationVar(&cfg.connect, "connect", 5*time.Second, "how long connecting to a target may take")
	flags.DurationVar(&cfg.grace, "grace", 30*time.Second, "how long connections may take to finish")
	flags.Func("from", "expect a PROXY protocol header from everybody, and trust it if they are in `network`, such as 10.0.0.0/8 (repeatable)", func(s string) error {
		p, err := netip.ParsePrefix(s)
		cfg.trusted, cfg.proxied = append(cfg.trusted, p), true
		return err
	})
	flags.BoolVar(&cfg.sendV1, "send", false, "tell targets who the client is, by a PROXY protocol header of version 1")
	flags.BoolVar(&cfg.verbose, "v", false, "log every connection")
	if err := flags.Parse(args); err != nil {
		return cfg, nil, flags, err
	}
	if cfg.max < 0 || cfg.perIP < 0 || min(cfg.idle, cfg.connect, cfg.grace) < 0 {
		return cfg, nil, flags, errors.New("-max, -perip, -idle, -connect and -grace cannot be negative")
	}
	routes, err = parseRoutes(flags.Args())
	return cfg, routes, flags, err
}

// run is main with its surroundings as parameters. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	cfg, routes, flags, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		if _, ok := errors.AsType[*net.OpError](err); ok { // no such interface, or nothing of this name from systemd
			fmt.Fprintf(stderr, "proxy: %v\n", err)
			return 1
		}
		fmt.Fprintf(stderr, "proxy: %v (see -h)\n", err)
		return 2
	}

	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	logger := slog.New(slog.NewTextHandler(stderr, nil))
	p := &proxy{connect: cfg.connect, sendV1: cfg.sendV1}
	g := lgrp.New(p.serve, &lgrp.Options{
		MaxConns: cfg.max,
		Grace:    cmp.Or(cfg.grace, -1), // for the group 0 is its default, and less is none
		Logger:   logger,
	})
	if cfg.verbose {
		g.Use(middleware.Log(logger, nil))
	}
	if cfg.perIP > 0 {
		g.Use(middleware.LimitPerIP(cfg.perIP, nil))
	}
	g.Use(middleware.IdleTimeout(cfg.idle))

	specs := make([]lgrp.ListenerSpec[*target], len(routes))
	for i, r := range routes {
		specs[i] = lgrp.ListenerSpec[*target]{Addr: r.listen, Context: &target{addr: r.target}}
		if cfg.proxied {
			specs[i].Transport = []lgrp.Middleware{middleware.ProxyProtocol(&middleware.ProxyProtocolOptions{Trusted: cfg.trusted})}
		}
	}
	listeners, err := g.AddAll(ctx, specs...)
	if err != nil {
		fmt.Fprintf(stderr, "proxy: %v\n", err)
		return 1
	}
	for _, l := range listeners {
		fmt.Fprintf(stdout, "%s to %s\n", l.Addr(), l.Context().addr)
	}

	go func() {
		fmt.Fprintf(stderr, "proxy: %v: waiting for at most %v; once more to force\n", <-sigs, cfg.grace)
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
		fmt.Fprintf(stderr, "proxy: %v\n", err)
		return 1
	}
	return 0
}
