package lgrp

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// earlyLog logs connections that ended before their handler started: failed
// handshakes, refusals, limits. A flood of them must not become a flood of
// records: for each listener and reason the first is logged at once, and
// after that one record a second with the count.
type earlyLog struct {
	g *core

	mu      sync.Mutex
	entries map[earlyKey]*earlyEntry
	closed  bool
}

type earlyKey struct {
	l *listener
	r Reason
}

type earlyEntry struct {
	count int // not logged yet
	err   error
	timer *time.Timer
}

const earlyLogEvery = time.Second

// note never logs on the calling goroutine, which may be an accept loop.
func (e *earlyLog) note(l *listener, r Reason, err error, c *AnyConn) {
	if r == ReasonPanic {
		return // has been logged with its stack
	}
	k := earlyKey{l, r}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n, ok := e.entries[k]; ok {
		n.count++
		n.err = err
		return
	}
	if e.closed {
		return
	}
	if e.entries == nil {
		e.entries = make(map[earlyKey]*earlyEntry)
	}
	e.entries[k] = &earlyEntry{timer: time.AfterFunc(earlyLogEvery, func() { e.flush(k) })}
	e.g.logAside(slog.LevelWarn, "lgrp: connection ended before it was served",
		slog.String("listener", l.id), slog.String("reason", r.String()), slog.Uint64("conn", c.id), slog.Any("error", err))
}

// flush logs what came during the last second, and stops when nothing did.
func (e *earlyLog) flush(k earlyKey) {
	e.mu.Lock()
	n := e.entries[k]
	if n == nil {
		e.mu.Unlock()
		return
	}
	count, err := n.count, n.err
	n.count, n.err = 0, nil
	if count == 0 || e.closed {
		delete(e.entries, k)
	} else {
		n.timer.Reset(earlyLogEvery)
	}
	e.mu.Unlock()
	if count > 0 {
		e.g.task(func() {
			e.g.log.LogAttrs(context.Background(), slog.LevelWarn, "lgrp: connections ended before they were served",
				slog.String("listener", k.l.id), slog.String("reason", k.r.String()), slog.Int("count", count), slog.Any("last_error", err))
		})
	}
}

// close logs what is left.
func (e *earlyLog) close() {
	e.mu.Lock()
	e.closed = true
	var keys []earlyKey
	for k, n := range e.entries {
		n.timer.Stop()
		keys = append(keys, k)
	}
	e.mu.Unlock()
	for _, k := range keys {
		e.flush(k)
	}
}
