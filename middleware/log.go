package middleware

import (
	"context"
	"log/slog"
	"net"
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
// and duration, read and written (bytes), reason and, if there is one, error. A
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
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) (err error) {
			if level := o.Start.Level(); logger.Enabled(ctx, level) {
				logger.LogAttrs(ctx, level, "connection start", about(c)...)
			}
			begun := time.Now()
			nc, count := netx.CountConn(nc, nil)
			returned := false
			defer func() { // also when a panic goes by
				why := outcome(c, err, returned)
				level := o.End.Level()
				if why == lgrp.ReasonError || why == lgrp.ReasonPanic {
					level = o.Failed.Level()
				}
				if !logger.Enabled(ctx, level) {
					return
				}
				n := count.Counts()
				attrs := append(about(c), slog.Duration("duration", time.Since(begun)),
					slog.Int64("read", n.BytesRead), slog.Int64("written", n.BytesWritten), slog.String("reason", why.String()))
				if err != nil {
					attrs = append(attrs, slog.Any("error", err))
				}
				logger.LogAttrs(ctx, level, "connection end", attrs...)
			}()
			err = next(ctx, nc, c)
			returned = true
			return err
		}
	}
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
