package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

// TestCrowd is a thousand clients at three listeners, of whom some are killed,
// some lose their listener, and the rest see a shutdown: all bytes come back,
// or the connection ends for the reason that was given, and neither a goroutine
// nor a socket is left.
func TestCrowd(t *testing.T) {
	const clients = 1000
	goroutines, sockets := runtime.NumGoroutine(), openSockets()

	ctx, fail := context.WithCancelCause(t.Context()) // ends the waiting for what will not come
	defer fail(nil)
	killed := errors.New("picked out")
	ended := make(chan string, clients)
	g := lgrp.New(echo, &lgrp.Options{
		Logger: slog.New(slog.DiscardHandler),
		Events: &lgrp.Events{ConnClosed: func(info lgrp.ConnInfo, why lgrp.Reason, err error) {
			causes := map[lgrp.Reason]error{lgrp.ReasonKilled: killed, lgrp.ReasonListenerRemoved: lgrp.ErrListenerRemoved}
			if cause, ok := causes[why]; ok && !errors.Is(err, cause) {
				ended <- fmt.Sprintf("%s by %v", why, err)
				return
			}
			ended <- why.String()
		}, AcceptError: func(_ lgrp.ListenerInfo, err error, _ time.Duration) { fail(err) }},
	})
	g.UseTyped(count)
	cert, err := newCertificate()
	require.NoError(t, err)
	// A machine that is busy, with the race detector besides, takes longer over
	// hundreds of handshakes than one may take.
	secure := middleware.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}, &middleware.TLSOptions{Timeout: time.Hour})
	ls, err := g.AddAll(t.Context(),
		lgrp.ListenerSpec[*port]{ID: "tcp", Addr: addr.MustParse("127.0.0.1:0"), Context: &port{}},
		lgrp.ListenerSpec[*port]{ID: "unix", Addr: addr.MustParse("unix:" + filepath.Join(t.TempDir(), "s")), Context: &port{}},
		lgrp.ListenerSpec[*port]{ID: "tls", Addr: addr.MustParse("127.0.0.1:0"), Context: &port{tls: true}, Transport: []lgrp.Middleware{secure}},
	)
	require.NoError(t, err)

	// Each client echoes a few blocks, and then waits for its end. A client
	// whose connection ends before is fine if it was one of those to be killed.
	ready := make(chan struct{}, clients)
	results := make(chan error, clients)
	for i := range clients {
		go func() {
			err := crowdClient(ls[i%3], uint64(i), ready)
			if err != nil {
				fail(err)
			}
			results <- err
		}()
	}

	// When half of the clients are done echoing: kill every tenth, and remove
	// the Unix listener with all that it has.
	for range clients / 2 {
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	kills := 0
	for c := range g.Conns() {
		if c.ID()%10 == 0 && c.ListenerID() != "unix" && g.Kill(c.ID(), killed) {
			kills++
		}
	}
	// Everybody must have got in by then, so that none is refused.
	err = g.Wait(ctx, func(n lgrp.Counts) bool { return n.Accepted == uint64(clients) })
	if err != nil {
		_ = g.Close()
	}
	if errors.Is(context.Cause(ctx), syscall.EMFILE) {
		t.Skipf("SKIPPED: too few descriptors for %d clients", clients)
	}
	require.NoError(t, err)
	require.NoError(t, ls[1].Remove(lgrp.KillConns))
	require.NoError(t, g.Wait(t.Context(), func(n lgrp.Counts) bool { return n.Ended >= uint64(kills) }))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for what will not come
	defer cancel()
	require.NoError(t, g.Shutdown(ctx))
	for range clients {
		select {
		case err := <-results:
			require.NoError(t, err)
		case <-ctx.Done():
			require.Fail(t, "a client has not seen its end")
		}
	}

	reasons := map[string]int{}
	for range clients {
		reasons[<-ended]++
	}
	require.Equal(t, kills, reasons["killed"], "%v", reasons)
	require.Positive(t, reasons["listener-removed"])
	require.Positive(t, reasons["drained"])
	require.Equal(t, clients, reasons["killed"]+reasons["listener-removed"]+reasons["drained"]+reasons["peer-closed"], "%v", reasons)
	info := g.Info()
	require.Zero(t, info.Active+info.Parked+info.Uncounted)
	require.EqualValues(t, clients, info.Accepted)

	// Shutdown has joined the group's goroutines, and the clients' are at
	// their last instruction.
	for ; runtime.NumGoroutine() > goroutines || openSockets() > sockets; runtime.Gosched() {
		require.NoError(t, ctx.Err(), "%d goroutines, there were %d; %d sockets, there were %d",
			runtime.NumGoroutine(), goroutines, openSockets(), sockets)
	}
}

// openSockets counts the sockets of this process, where that can be known. (Not
// its pipes: those that splice has used wait in a pool for the next one.)
func openSockets() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(link, "socket:") {
			n++
		}
	}
	return n
}

// crowdClient reports what must not happen: a wrong byte, or an end that is
// not one of a connection.
func crowdClient(l *lgrp.Listener[*port], seed uint64, ready chan<- struct{}) error {
	a := l.Addr()
	nc, err := (&net.Dialer{}).DialContext(context.Background(), a.Network(), strings.TrimPrefix(a.String(), "unix://"))
	if err != nil {
		return fmt.Errorf("%s: %w", l.ID(), err)
	}
	defer nc.Close()
	if l.Context().tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	r := rand.New(rand.NewPCG(seed, 0))
	over := false
	for range 5 {
		block := make([]byte, 1+r.IntN(20_000))
		for i := range block {
			block[i] = byte(r.Uint32())
		}
		wrote := make(chan error, 1)
		go func() { _, err := nc.Write(block); wrote <- err }()
		got := make([]byte, len(block))
		n, err := io.ReadFull(nc, got)
		if !bytes.Equal(got[:n], block[:n]) {
			return fmt.Errorf("%s: client %d got other bytes back", l.ID(), seed)
		}
		if err != nil { // killed, or removed: the write's end says nothing more
			nc.Close()
			<-wrote
			over = true
			break
		}
		if err := <-wrote; err != nil {
			return err
		}
	}
	ready <- struct{}{}
	if !over {
		if n, err := nc.Read(make([]byte, 1)); n > 0 {
			return fmt.Errorf("%s: client %d got a byte too many, %v", l.ID(), seed, err)
		}
	}
	return nil
}
