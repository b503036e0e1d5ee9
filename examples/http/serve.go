package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

// port is what every listener has.
type port struct{ scheme string }

// session is what every connection has: requests may be served at the same
// time, over HTTP/2.
type session struct{ requests atomic.Int64 }

type group = lgrp.ListenGroup[port, session]

// routes adds ordinary HTTP handlers, which find the connection of a request by
// its context.
func routes(mux *http.ServeMux, g *group) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		c, _ := lgrp.FromContext[port, session](r.Context())
		fmt.Fprintf(w, "%s, %s: request %d on connection %d\n",
			c.Listener.scheme, r.Proto, c.Data.requests.Add(1), c.ID())
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(d):
			fmt.Fprintln(w, "done")
		case <-r.Context().Done(): // nobody is there any more: context.Cause knows why
		}
	})
	mux.HandleFunc("GET /conns", func(w http.ResponseWriter, r *http.Request) {
		var all struct {
			Group lgrp.GroupInfo  `json:"group"`
			Conns []lgrp.ConnInfo `json:"conns"`
		}
		all.Group = g.Info()
		for c := range g.ConnInfos() {
			all.Conns = append(all.Conns, c)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all) // the client has gone
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if !g.Ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}

// listen opens what cfg asks for, all or nothing, and returns a command for
// each that fetches from it.
func listen(g *group, cfg config) (lines []string, err error) {
	cert, err := newCertificate()
	if err != nil {
		return nil, err
	}
	secure := middleware.TLS(&tls.Config{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"h2", "http/1.1"},
	})
	var specs []lgrp.ListenerSpec[port]
	for _, l := range []struct {
		id        string
		addr      addr.Addr
		transport []lgrp.Middleware
	}{
		{"http", cfg.tcp, nil},
		{"unix", cfg.unix, nil},
		{"https", cfg.tls, []lgrp.Middleware{secure}},
	} {
		if !l.addr.IsZero() {
			specs = append(specs, lgrp.ListenerSpec[port]{ID: l.id, Addr: l.addr, Context: port{l.id}, Transport: l.transport})
		}
	}
	ls, err := g.AddAll(context.Background(), specs...)
	if err != nil {
		return nil, err
	}
	for _, l := range ls {
		lines = append(lines, clientCommand(l))
	}
	return lines, nil
}

// clientCommand returns what fetches from l when it is pasted into a shell. Which
// flag an address came by says whether it has TLS, and no more.
func clientCommand(l *lgrp.Listener[port]) string {
	command, scheme := "curl ", "http://"
	if l.Context().scheme == "https" {
		command, scheme = "curl -k ", "https://"
	}
	host := l.Addr().HostPort()
	if path := l.Addr().Path(); path != "" {
		option := "--unix-socket "
		if name, ok := strings.CutPrefix(path, "@"); ok {
			option, path = "--abstract-unix-socket ", name
		}
		command, host = command+option+path+" ", "localhost"
	}
	return command + scheme + host + "/"
}

// newCertificate makes a certificate for this machine that nobody has signed,
// good for a day: for trying things out.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
