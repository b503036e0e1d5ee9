//go:build linux

package middleware_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

func ExamplePeerCred() {
	dir, err := os.MkdirTemp("", "peercred")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	g := lgrp.New(lgrp.Typed[struct{}, struct{}](greet), nil)
	g.Use(middleware.PeerCred(&middleware.PeerCredOptions{
		UIDs:  []int{0, os.Getuid()},
		GIDs:  []int{os.Getgid()},
		Allow: func(c netx.Cred) bool { return c.PID == os.Getppid() }, // whoever started us
	}))
	path := filepath.Join(dir, "s")
	if _, err := g.Listen(context.Background(), "unix://"+path, struct{}{}); err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()
	nc, err := net.Dial("unix", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	fmt.Println(hear(nc))
	// Output: hello
}

func TestPeerCred(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	for name, tc := range map[string]struct {
		opts *middleware.PeerCredOptions
		tcp  bool
		text string // of the refusal
	}{
		"nil":             {nil, false, ""},
		"zero":            {&middleware.PeerCredOptions{}, false, ""},
		"by uid":          {&middleware.PeerCredOptions{UIDs: []int{uid + 1, uid}}, false, ""},
		"by gid":          {&middleware.PeerCredOptions{UIDs: []int{uid + 1}, GIDs: []int{gid}}, false, ""},
		"by function":     {&middleware.PeerCredOptions{Allow: func(c netx.Cred) bool { return c.PID == os.Getpid() }}, false, ""},
		"other uid":       {&middleware.PeerCredOptions{UIDs: []int{uid + 1}}, false, "is not allowed"},
		"other gid":       {&middleware.PeerCredOptions{GIDs: []int{gid + 1}}, false, "is not allowed"},
		"not by function": {&middleware.PeerCredOptions{Allow: func(netx.Cred) bool { return false }}, false, "is not allowed"},
		"over TCP":        {&middleware.PeerCredOptions{Allow: func(netx.Cred) bool { return true }}, true, "PeerCred"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{}
			a := "unix://" + filepath.Join(t.TempDir(), "s")
			if tc.tcp {
				a = "127.0.0.1:0"
			}
			s.start(t, echo, lgrp.ListenerSpec[struct{}]{Addr: addr.MustParse(a), Transport: []lgrp.Middleware{middleware.PeerCred(tc.opts)}})
			for l := range s.Listeners() {
				nc, err := netx.Dial(t.Context(), l.Addr())
				require.NoError(t, err)
				require.NoError(t, netx.CloseWrite(nc))
				defer nc.Close()
			}
			e := s.awaitEnds(t, 1)[0]
			if tc.text == "" {
				require.Equal(t, lgrp.ReasonReturned, e.why, "%v", e.err)
				return
			}
			require.Equal(t, lgrp.ReasonDenied, e.why)
			require.ErrorContains(t, e.err, tc.text)
		})
	}
}

func TestPeerCredAllocations(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("unix", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	nc, err := ln.Accept()
	require.NoError(t, err)
	defer nc.Close()
	h := middleware.PeerCred(nil)(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = h(ctx, nc, c) }), 6.0) // what asking the kernel takes
}
