package middleware_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// Ten thousand clients that never come to the point, at one time: what each
// costs is bounded, and all of them are gone when their time is up. For kinds
// that are much like another it is a thousand, or as many as LGRP_HOSTILE says;
// .ci/run asks for 10,000 of each.
//
// The measuring is done in a process of its own, in which goroutines start with
// 2 KiB of stack: Go gives new ones more where those that there are use more
// than half of that, and then the tests before this one are measured too.
func TestHostileClientsInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second for each of ten cases")
	}
	if !inOwnProcess(t) {
		return
	}
	many, fewer := 10_000, 1_000
	if n, err := strconv.Atoi(os.Getenv("LGRP_HOSTILE")); err == nil {
		many, fewer = n, n
	}
	next := func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil }
	hello := inRecords(helloBytes("a.test", 17<<10), 1<<14)
	sniffer := middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchSNI("a.test"), Handler: next}}, nil)
	web := middleware.HTTP(&http.Server{ReadHeaderTimeout: 10 * time.Second})
	for name, tc := range map[string]struct {
		clients int
		mws     []lgrp.Middleware
		h       lgrp.Handler
		send    []byte
		each    int  // bytes of heap and stacks for each client, with the test's own
		ends    bool // at once, and not when the time is up
	}{
		"PROXY, silent":            {clients: fewer, mws: []lgrp.Middleware{middleware.ProxyProtocol(nil)}, each: 16 << 10},
		"PROXY, half a header":     {clients: many, mws: []lgrp.Middleware{middleware.ProxyProtocol(nil)}, send: []byte(longestV1[:50]), each: 16 << 10},
		"PROXY, 64 KiB announced":  {clients: many, mws: []lgrp.Middleware{middleware.ProxyProtocol(nil)}, send: append(proxyV2(0x21, 0x11, inet4)[:14], 0xff, 0xff, 1, 2, 3), each: 16 << 10},
		"PROXY, garbage":           {clients: fewer, mws: []lgrp.Middleware{middleware.ProxyProtocol(nil)}, send: bytes.Repeat([]byte{0xff}, 512), each: 16 << 10, ends: true},
		"Sniff, silent":            {clients: fewer, mws: []lgrp.Middleware{sniffer}, each: 16 << 10},
		"Sniff, most of a hello":   {clients: many, mws: []lgrp.Middleware{sniffer}, send: hello[:len(hello)-1], each: 64 << 10}, // its 17 KiB lie with the sender, too
		"TLS, silent":              {clients: many, mws: []lgrp.Middleware{middleware.TLS(serverTLS())}, each: 16 << 10},
		"TLS, half a hello":        {clients: fewer, mws: []lgrp.Middleware{middleware.TLS(serverTLS())}, send: helloBytes("localhost", 0)[:200], each: 32 << 10},
		"HTTP, half a header":      {clients: fewer, h: web, send: []byte("GET / HTTP/1.1\r\nHos"), each: 64 << 10},
		"HandshakeTimeout, silent": {clients: fewer, mws: []lgrp.Middleware{middleware.HandshakeTimeout(time.Second, middleware.ProxyProtocol(nil))}, each: 16 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			// testkit.Bubble's watchdog writes down all these goroutines each second,
			// which would be measured, too.
			synctest.Test(t, func(t *testing.T) {
				h := tc.h
				if h == nil {
					h = next
				}
				s := newStage(t, h, tc.mws...)
				s.ln.SetBacklog(tc.clients)
				before := inUse()
				conns := make([]*testkit.Conn, tc.clients)
				for i := range conns {
					conns[i] = s.dial()
					conns[i].Write(tc.send)
				}
				synctest.Wait()
				if !tc.ends {
					require.Equal(t, tc.clients, s.Info().Active)
				}
				each := int(inUse()-before) / tc.clients
				t.Logf("%d bytes a client", each)
				require.LessOrEqual(t, each, tc.each)
				begun := time.Now()
				s.awaitEnds(t, tc.clients)
				require.LessOrEqual(t, time.Since(begun), 11*time.Second)
				runtime.KeepAlive(conns)
			})
		})
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, and stacks that were in use during the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
