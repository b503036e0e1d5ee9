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
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) (err error) {
			begun := time.Now()
			m := &metricsConn{sink: sink, listener: c.ListenerID()}
			sink.ConnStarted(m.listener)
			returned := false
			defer func() { // also when a panic goes by
				m.report()
				sink.ConnEnded(m.listener, outcome(c, err, returned), time.Since(begun))
			}()
			err = next(ctx, netx.Metered(nc, m), c)
			returned = true
			return err
		}
	}
}

type metricsConn struct {
	netx.Meter
	sink          MetricsSink
	listener      string
	read, written atomic.Int64 // not reported yet
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
		m.sink.BytesMoved(m.listener, read, written)
	}
}
