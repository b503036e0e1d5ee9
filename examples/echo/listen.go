package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/examples/internal/sockpath"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

// spec is what -listen asks for.
type spec struct {
	id   string
	addr addr.Addr
	port *port
}

// parseSpec understands "URL limit=N greeting=the rest". An address has no
// spaces, so the first one ends it.
func parseSpec(s string) (sp spec, err error) {
	options, greeting, _ := strings.Cut(s+" ", " greeting=")
	fields := strings.Fields(options)
	if len(fields) == 0 {
		return sp, fmt.Errorf("no address")
	}
	if sp.addr, err = addr.Parse(fields[0]); err != nil {
		return sp, err
	}
	if sp.addr.Scheme() == "mem" {
		return sp, fmt.Errorf("%s is for clients in the same process", sp.addr)
	}
	sp.port = &port{greeting: strings.TrimSpace(greeting)}
	for _, f := range fields[1:] {
		value, ok := strings.CutPrefix(f, "limit=")
		if !ok {
			return sp, fmt.Errorf("%q is neither limit= nor greeting=", f)
		}
		if sp.port.limit, err = strconv.ParseInt(value, 10, 64); err != nil || sp.port.limit < 0 {
			return sp, fmt.Errorf("%q is not a number of bytes", value)
		}
	}
	// TLS is not an address: it is a TCP port with middleware.
	if rest, ok := strings.CutPrefix(sp.addr.String(), "tls:"); ok {
		sp.port.tls = true
		if sp.addr, err = addr.Parse("tcp:" + rest); err != nil {
			if wrong, ok := errors.AsType[*addr.ParseError](err); ok {
				wrong.Input = fields[0] // as it was typed
			}
			return sp, err
		}
	}
	return sp, nil
}

// expand makes as many listeners of a range of ports, of an interface, and of a
// name that systemd has several sockets for.
func expand(specs []spec) (all []spec, err error) {
	for _, s := range specs {
		as, err := netx.Expand(s.addr)
		if err != nil {
			return nil, err
		}
		for _, a := range as {
			// One port each, for each counts its own bytes.
			all = append(all, spec{s.id, a, &port{greeting: s.port.greeting, limit: s.port.limit, tls: s.port.tls}})
		}
	}
	return all, nil
}

// defaultSpecs are one of each kind.
func defaultSpecs() []spec {
	path := sockpath.Default("listengroup-echo")
	return []spec{
		{"tcp", addr.MustParse("127.0.0.1:0"), &port{greeting: "Hello over TCP."}},
		{"unix", addr.FromNet(&net.UnixAddr{Name: path, Net: "unix"}), &port{greeting: "Hello over a Unix socket.", limit: 1 << 20}},
		{"tls", addr.MustParse("127.0.0.1:0"), &port{greeting: "Hello over TLS.", limit: 1 << 20, tls: true}},
	}
}

// open opens all listeners or none.
func open(ctx context.Context, g *lgrp.ListenGroup[*port, session], specs []spec) ([]*lgrp.Listener[*port], error) {
	specs, err := expand(specs)
	if err != nil {
		return nil, err
	}
	var secure []lgrp.Middleware // one for all: it is made when the first listener needs it
	all := make([]lgrp.ListenerSpec[*port], len(specs))
	for i, s := range specs {
		all[i] = lgrp.ListenerSpec[*port]{ID: s.id, Addr: s.addr, Context: s.port}
		if !s.port.tls {
			continue
		}
		if secure == nil {
			cert, err := newCertificate()
			if err != nil {
				return nil, err
			}
			secure = []lgrp.Middleware{middleware.TLS(&tls.Config{Certificates: []tls.Certificate{cert}})}
		}
		all[i].Transport = secure
	}
	return g.AddAll(ctx, all...)
}

// clientCommand returns what connects to l when it is pasted into a shell.
func clientCommand(l *lgrp.Listener[*port]) string {
	a := l.Addr()
	if path := a.Path(); strings.HasPrefix(path, "@") {
		return "socat - ABSTRACT-CONNECT:" + quote(path[1:])
	} else if path != "" {
		return "nc -U " + quote(path)
	}
	host := a.Host()
	if ip, ok := a.IP(); host == "" || ok && ip.IsUnspecified() {
		host = "localhost"
	}
	if l.Context().tls {
		return "openssl s_client -quiet -connect " + net.JoinHostPort(host, strconv.Itoa(a.Port()))
	}
	return fmt.Sprintf("nc %s %d", host, a.Port())
}

// quote makes a path one word for a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@", r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// summary says what happened at a listener: its handle knows, also when the
// group has let it go.
func summary(l *lgrp.Listener[*port]) string {
	info := l.Info()
	n := l.Context().total.Counts()
	s := fmt.Sprintf("%s: %d connections, %d bytes in, %d bytes out", l.ID(), info.Accepted, n.BytesRead, n.BytesWritten)
	for _, r := range lgrp.Reasons() {
		if k := info.Closed[r]; k > 0 {
			s += fmt.Sprintf(", %d %s", k, r)
		}
	}
	if info.Cause != nil {
		s += fmt.Sprintf(", failed: %v", info.Cause)
	}
	return s
}
