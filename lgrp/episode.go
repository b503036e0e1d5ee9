package lgrp

import (
	"log/slog"
	"time"
)

// episode is a run of accept errors. It is logged in one record: when it is
// over, or when it has gone on for a while, whichever is first, so that a
// machine that stays full is noticed. A single error that a retry at once
// made good is not worth a warning.
type episode struct {
	l      *listener
	count  int
	first  time.Time
	err    error
	logged bool
}

const longEpisode = 5 * time.Second

func (e *episode) failed(err error) {
	e.count++
	e.err = err
	if e.count == 1 {
		e.first = time.Now()
	}
	if !e.logged && time.Since(e.first) >= longEpisode {
		e.log(slog.LevelWarn, "lgrp: accept keeps failing")
	}
}

// fatal ends the run with the error that closes the listener, and is told in
// any case: there may be nobody else who notices.
func (e *episode) fatal(err error) {
	if e.count++; e.count == 1 {
		e.first = time.Now()
	}
	e.err = err
	e.log(slog.LevelError, "lgrp: accept failed for good and the listener is closed")
}

// end is called with every connection, so it is quick where there is nothing
// to end.
func (e *episode) end() {
	if e.count == 0 {
		return
	}
	if !e.logged {
		level := slog.LevelWarn
		if e.count == 1 && !isCapacity(e.err) {
			level = slog.LevelDebug
		}
		e.log(level, "lgrp: accept failed")
	}
	*e = episode{l: e.l}
}

func (e *episode) log(level slog.Level, msg string) {
	e.logged = true
	e.l.g.logAside(level, msg,
		slog.String("listener", e.l.id), slog.Int("errors", e.count),
		slog.Duration("for", time.Since(e.first)), slog.Any("error", e.err))
}
