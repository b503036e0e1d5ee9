package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// target is what every listener has: where its connections go, and what went
// there and came back.
type target struct {
	addr             addr.Addr
	sent, got, downs atomic.Int64
}

type conn = lgrp.Conn[*target, struct{}]

// route is what two arguments ask for.
type route struct{ listen, target addr.Addr }

func parseRoutes(args []string) ([]route, error) {
	if len(args) == 0 || len(args)%2 != 0 {
		return nil, errors.New("addresses come in pairs: LISTEN TARGET")
	}
	var routes []route
	for i := 0; i < len(args); i += 2 {
		from, err := expand(args[i])
		if err != nil {
			return nil, err
		}
		to, err := expand(args[i+1])
		if err != nil {
			return nil, err
		}
		if len(to) != 1 && len(to) != len(from) {
			return nil, fmt.Errorf("%s are %d addresses, %s are %d", args[i], len(from), args[i+1], len(to))
		}
		for _, a := range to {
			switch a.Scheme() {
			case "systemd", "fd", "mem":
				return nil, fmt.Errorf("%s is not to be reached from another process", a)
			}
		}
		for j := range from {
			routes = append(routes, route{from[j], to[j%len(to)]})
		}
	}
	return routes, nil
}

func expand(s string) ([]addr.Addr, error) {
	a, err := addr.Parse(s)
	if err != nil {
		return nil, err
	}
	return netx.Expand(a)
}

type proxy struct {
	connect time.Duration
	sendV1  bool
}

// serve passes one connection on. Its context ends when it is killed or forced,
// and with it what it does here, connecting too.
func (p *proxy) serve(ctx context.Context, nc net.Conn, c *conn) error {
	t := c.Listener
	dialCtx, cancel := context.WithTimeout(ctx, p.connect)
	up, err := netx.Dial(dialCtx, t.addr)
	cancel()
	if err != nil {
		t.downs.Add(1)
		_ = netx.Abort(nc) // what the client would have got from the target itself
		return err
	}
	defer up.Close()
	if p.sendV1 {
		if _, err := up.Write(headerV1(nc.RemoteAddr(), nc.LocalAddr())); err != nil {
			return err
		}
	}
	c.SetNote("to " + t.addr.String())
	sent, got, err := netx.Proxy(ctx, nc, up)
	t.sent.Add(sent)
	t.got.Add(got)
	if netx.IsReset(err) { // by either side: pass that on too
		_ = netx.Abort(nc)
		_ = netx.Abort(up)
	}
	return err
}

// headerV1 is the header of the PROXY protocol that people can read.
func headerV1(client, local net.Addr) []byte {
	src, ok1 := client.(*net.TCPAddr)
	dst, ok2 := local.(*net.TCPAddr)
	if !ok1 || !ok2 {
		return []byte("PROXY UNKNOWN\r\n")
	}
	a, b := src.AddrPort(), dst.AddrPort()
	family := "TCP6"
	if a.Addr().Unmap().Is4() && b.Addr().Unmap().Is4() {
		family = "TCP4"
	}
	return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family,
		a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone(""), a.Port(), b.Port())
}

// summary says what happened at a listener.
func summary(l *lgrp.Listener[*target]) string {
	info, t := l.Info(), l.Context()
	s := fmt.Sprintf("%s: %d connections, %d bytes to %s, %d back", l.ID(), info.Accepted, t.sent.Load(), t.addr, t.got.Load())
	if n := t.downs.Load(); n > 0 {
		s += fmt.Sprintf(", %d times it was down", n)
	}
	return s
}
