package middleware

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// LogOptions say at which levels [Log] writes. The zero value, and nil, are the
// defaults. A *slog.LevelVar can be changed while connections are served.
type LogOptions struct {
	// Start is the level of the record at the start. Defaults to
	// slog.LevelDebug.
	Start slog.Leveler

	// End is the level of the record at the end. Defaults to slog.LevelInfo.
	End slog.Leveler

	// Failed is the level of the record at the end of a connection that ended
	// with ReasonError or ReasonPanic. Defaults to slog.LevelWarn.
	Failed slog.Leveler
}

// Log writes two records for each connection, on its goroutine: "connection
// start" with conn (its id), listener and peer, and "connection end" with these
// and duration, read and written (bytes), reason and, if there is one, error:
// the handler's, or the cause given to Close, whichever ended the connection. A
// nil logger means slog.Default() at the time of the call.
//
// It stands where the bytes are that it is to tell of, and inside what learns
// the real peer, such as ProxyProtocol. It keeps splice; behind TLS it hides
// the *tls.Conn from handlers that assert one, such as HTTP/2.
//
// Connections that never come that far are the group's to log.
func Log(logger *slog.Logger, opts *LogOptions) lgrp.Middleware {
	if logger == nil {
		logger = slog.Default()
	}
	o := LogOptions{Start: slog.LevelDebug, End: slog.LevelInfo, Failed: slog.LevelWarn}
	if opts != nil {
		o = LogOptions{Start: or(opts.Start, o.Start), End: or(opts.End, o.End), Failed: or(opts.Failed, o.Failed)}
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			nc, l := startLog(ctx, logger, &o, nc, c)
			defer l.end() // also when a panic goes by
			l.err = next(ctx, nc, c)
			l.returned = true
			return l.err
		}
	}
}

// logged is a connection that is logged, and what must not be on the stack
// while next runs.
type logged struct {
	netx.Meter
	read, written atomic.Int64

	logger *slog.Logger
	levels *LogOptions
	ctx    context.Context
	c      *lgrp.AnyConn
	begun  time.Time

	// what next has returned, if it has
	err      error
	returned bool
}

// Inlined, it would lie on the stack of every idle connection.
//
//go:noinline
func startLog(ctx context.Context, logger *slog.Logger, levels *LogOptions, nc net.Conn, c *lgrp.AnyConn) (net.Conn, *logged) {
	if level := levels.Start.Level(); logger.Enabled(ctx, level) {
		logger.LogAttrs(ctx, level, "connection start", about(c)...)
	}
	l := &logged{logger: logger, levels: levels, ctx: ctx, c: c, begun: time.Now()}
	return netx.Metered(nc, l), l
}

func (l *logged) AfterRead(n int)  { l.read.Add(int64(n)) }
func (l *logged) AfterWrite(n int) { l.written.Add(int64(n)) }

func (l *logged) end() {
	why := outcome(l.c, l.err, l.returned)
	level := l.levels.End.Level()
	if why == lgrp.ReasonError || why == lgrp.ReasonPanic {
		level = l.levels.Failed.Level()
	}
	if !l.logger.Enabled(l.ctx, level) {
		return
	}
	attrs := append(about(l.c), slog.Duration("duration", time.Since(l.begun)),
		slog.Int64("read", l.read.Load()), slog.Int64("written", l.written.Load()), slog.String("reason", why.String()))
	err := l.err
	if l.c.Info().Reason != lgrp.ReasonNone { // ended from outside: what next has returned is what came of it
		err = context.Cause(l.ctx)
	}
	if err != nil && err != lgrp.ErrKilled { // which the reason says
		attrs = append(attrs, slog.Any("error", err))
	}
	l.logger.LogAttrs(l.ctx, level, "connection end", attrs...)
}

func about(c *lgrp.AnyConn) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 8), slog.Uint64("conn", c.ID()), slog.String("listener", c.ListenerID()))
	if peer := c.RemoteAddr(); peer != nil {
		attrs = append(attrs, slog.String("peer", peer.String()))
	}
	return attrs
}

func or(l, otherwise slog.Leveler) slog.Leveler {
	if l == nil {
		return otherwise
	}
	return l
}
