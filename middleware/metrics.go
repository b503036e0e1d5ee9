package middleware

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// A MetricsSink is where [Metrics] puts its figures: a few lines over any
// metrics library. Its methods are called by many goroutines at once, those that
// serve, read or write connections, and must not block. listener is the
// listener's id.
type MetricsSink interface {
	// ConnStarted says that a connection has come.
	ConnStarted(listener string)

	// ConnEnded says that it has ended, why, and how long it took.
	ConnEnded(listener string, why lgrp.Reason, took time.Duration)

	// BytesMoved says how many bytes have been read and written since the last
	// call for the same connection: one of them after each 64 KiB, and the rest
	// before ConnEnded.
	BytesMoved(listener string, read, written int64)
}

// Metrics tells sink of connections and their bytes. It stands where the bytes
// are that it is to tell of; on the outside it tells of everybody that was
// admitted, inside others of those that they let through. It keeps splice;
// behind TLS it hides the *tls.Conn from handlers that assert one, such as
// HTTP/2.
//
// What the group itself knows, such as how many connections are open, is in
// [lgrp.GroupInfo] and needs no middleware.
func Metrics(sink MetricsSink) lgrp.Middleware {
	if sink == nil {
		panic("middleware: Metrics with a nil MetricsSink")
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			nc, m := measure(sink, nc, c)
			defer m.end() // also when a panic goes by
			m.err = next(ctx, nc, c)
			m.returned = true
			return m.err
		}
	}
}

// metricsConn has what end needs too, so that it is not on the stack while next
// runs.
type metricsConn struct {
	netx.Meter
	sink          MetricsSink
	c             *lgrp.AnyConn
	begun         time.Time
	read, written atomic.Int64 // not reported yet

	// what next has returned, if it has
	err      error
	returned bool
}

// Inlined, it would lie on the stack of every idle connection.
//
//go:noinline
func measure(sink MetricsSink, nc net.Conn, c *lgrp.AnyConn) (net.Conn, *metricsConn) {
	m := &metricsConn{sink: sink, c: c, begun: time.Now()}
	sink.ConnStarted(c.ListenerID())
	return netx.Metered(nc, m), m
}

func (m *metricsConn) end() {
	m.report()
	m.sink.ConnEnded(m.c.ListenerID(), outcome(m.c, m.err, m.returned), time.Since(m.begun))
}

const reportEvery = 64 << 10

func (m *metricsConn) AfterRead(n int) {
	if m.read.Add(int64(n)) >= reportEvery {
		m.report()
	}
}

func (m *metricsConn) AfterWrite(n int) {
	if m.written.Add(int64(n)) >= reportEvery {
		m.report()
	}
}

func (m *metricsConn) report() {
	if read, written := m.read.Swap(0), m.written.Swap(0); read > 0 || written > 0 {
		m.sink.BytesMoved(m.c.ListenerID(), read, written)
	}
}
