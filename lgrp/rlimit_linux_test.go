package lgrp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
)

const rlimitChild = "LGRP_TEST_RLIMIT_CHILD"

// TestFullFileTable runs an echo server in a process that may have 64 files,
// and hammers it from this one. No listener dies, connections that exist keep
// echoing, the full server does not spin, and it serves again as soon as one
// of its connections closes.
//
// LGRP_FULL_FILE_TABLE=30s, which .ci/run sets, makes it last that long.
func TestFullFileTable(t *testing.T) {
	if os.Getenv(rlimitChild) != "" {
		rlimitServer()
		return
	}
	long := time.Second
	if s := os.Getenv("LGRP_FULL_FILE_TABLE"); s != "" {
		var err error
		long, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullFileTable$")
	cmd.Env = append(os.Environ(), rlimitChild+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	child := bufio.NewScanner(stdout)
	ask := func(line string) childInfo {
		t.Helper()
		_, err := fmt.Fprintln(stdin, line)
		require.NoError(t, err)
		require.True(t, child.Scan(), "the child has gone: %v", child.Err())
		var info childInfo
		require.NoError(t, json.Unmarshal(child.Bytes(), &info), child.Text())
		return info
	}
	address := ask("info").Addr

	// More clients than it has descriptors for: the rest waits in the kernel.
	var ncs []net.Conn
	for range 100 {
		nc, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer nc.Close()
		ncs = append(ncs, nc)
	}
	ping := func(nc net.Conn, wait time.Duration) error {
		_ = nc.SetDeadline(time.Now().Add(wait))
		if _, err := nc.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(nc, make([]byte, 1))
		return err
	}
	require.NoError(t, ping(ncs[0], 10*time.Second))
	info := ask("info")
	for info.State != "backing-off" {
		info = ask("info")
	}
	served := info.Active
	require.Greater(t, served, 30)
	require.Less(t, served, 64)

	// What goes before it was accepted keeps its place in the kernel's queue,
	// and when that is full the kernel, not the server, turns clients away.
	room := min(somaxconn(t)-len(ncs), 1000)
	gone := 0
	before, begun := info, time.Now()
	for time.Since(begun) < long {
		for i := range 5 {
			require.NoError(t, ping(ncs[i], 10*time.Second), "a connection that exists")
		}
		// One more that will have to wait, and goes.
		if gone < int(float64(room)*time.Since(begun).Seconds()/long.Seconds()) {
			nc, err := net.Dial("tcp", address)
			require.NoError(t, err)
			_ = nc.Close()
			gone++
		}
		info = ask("info")
		require.Contains(t, []string{"backing-off", "accepting"}, info.State)
	}
	took := time.Since(begun)
	cpu := info.CPU - before.CPU
	errs := info.AcceptErrors - before.AcceptErrors
	t.Logf("full for %v: %v of CPU, %d accept errors, %d served, %d came and went", took.Round(time.Millisecond), cpu, errs, served, gone)
	require.Less(t, errs, 20+int(10*took.Seconds()), "it spins")

	// A connection that closes lets the next in, without waiting for the end
	// of the back-off. How soon is logged: time is not asserted here.
	waiting := ncs[len(ncs)-1]
	for i := 0; i < len(ncs)-1; i++ {
		_ = ncs[i].Close()
	}
	begun = time.Now()
	require.NoError(t, ping(waiting, 10*time.Second))
	t.Logf("served again after %v", time.Since(begun))
	require.NotZero(t, ask("drain").Finished)
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
}

// somaxconn is the longest queue that the kernel gives a listener.
func somaxconn(t *testing.T) (n int) {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	require.NoError(t, err)
	_, err = fmt.Sscan(string(b), &n)
	require.NoError(t, err)
	return n
}

type childInfo struct {
	Addr, State  string
	Active       int
	AcceptErrors int
	CPU          time.Duration
	Finished     int
}

// rlimitServer is the child: it answers each line on its standard input with
// what it knows, and ends with it.
func rlimitServer() {
	lim := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		panic(err)
	}
	errs := make(chan int, 1)
	errs <- 0
	g := lgrp.New(func(_ context.Context, nc net.Conn, c *conn) error {
		defer c.OnDrain(func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })()
		buf := make([]byte, 512)
		for {
			n, err := nc.Read(buf)
			if err != nil {
				if c.IsDraining() {
					return nil
				}
				return err
			}
			if _, err := nc.Write(buf[:n]); err != nil {
				return err
			}
		}
	}, &lgrp.Options{Logger: silent, Events: &lgrp.Events{AcceptError: func(lgrp.ListenerInfo, error, time.Duration) { errs <- <-errs + 1 }}})
	l, err := g.Listen(context.Background(), "127.0.0.1:0", lctx{})
	if err != nil {
		panic(err)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		info := childInfo{Addr: l.Addr().String(), State: l.Info().State.String(), Active: l.Info().Active}
		if strings.TrimSpace(in.Text()) == "drain" {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			report, _ := g.Drain(ctx, nil)
			cancel()
			info.Finished = report.Finished
		}
		var ru syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
		info.CPU = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
		n := <-errs
		errs <- n
		info.AcceptErrors = n
		_ = json.NewEncoder(os.Stdout).Encode(info)
	}
	_ = g.Close()
	os.Exit(0)
}
