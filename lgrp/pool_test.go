package lgrp_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// A goroutine serves one connection after the other, be it one that comes when
// it is idle or one that has waited for the slot that it gives back. What a
// handler that it ran has left behind, its pprof labels, is gone; and NoReuse
// means a new one each time.
func TestGoroutinesAreReusedOrNot(t *testing.T) {
	for name, tc := range map[string]struct {
		noReuse bool
		waits   bool // the second comes while the first has the only slot
	}{
		"idle":                  {},
		"handed a slot":         {waits: true},
		"NoReuse":               {noReuse: true},
		"NoReuse, after a wait": {noReuse: true, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				served := make(chan string, 2)
				labelled := make(chan bool, 2)
				g := newGroup(t, func(ctx context.Context, nc net.Conn, c *conn) error {
					served <- goroutine()
					synctest.Wait() // those of connections before have gone, or are idle
					labelled <- strings.Contains(profile(), `"left":"behind"`)
					pprof.SetGoroutineLabels(pprof.WithLabels(ctx, pprof.Labels("left", "behind")))
					return hold(ctx, nc, c)
				}, &lgrp.Options{MaxConns: 1, NoReuse: tc.noReuse})
				_, ln := adopt(t, g, spec{})
				first := ln.NewConn()
				before := <-served
				if tc.waits {
					ln.NewConn()
					until(t, g, func(n lgrp.Counts) bool { return n.Parked == 1 })
				}
				require.NoError(t, first.Close())
				until(t, g, func(n lgrp.Counts) bool { return n.Ended == 1 })
				if !tc.waits {
					ln.NewConn()
				}
				require.Equal(t, !tc.noReuse, before == <-served)
				require.False(t, <-labelled)
				require.False(t, <-labelled, "of the connection before")
			})
		})
	}
}

// goroutine returns the number of the goroutine that calls it.
func goroutine() string {
	buf := make([]byte, 64)
	return strings.Fields(string(buf[:runtime.Stack(buf, false)]))[1]
}

// profile returns the profile of all goroutines, with their labels.
func profile() string {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}
