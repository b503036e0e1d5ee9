package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// plainLog writes records without what differs from run to run.
func plainLog(w io.Writer, drop ...string) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		for _, key := range append(drop, slog.TimeKey) {
			if a.Key == key {
				return slog.Attr{}
			}
		}
		return a
	}}))
}

func ExampleLogOptions() {
	var level slog.LevelVar // can be turned while connections are served
	level.Set(slog.LevelDebug - 4)
	g, dial := serve(func(_ context.Context, _ net.Conn, c *lgrp.AnyConn) error {
		if c.ID() == 2 {
			return errors.New("out of memory")
		}
		return nil
	}, middleware.Log(plainLog(os.Stdout, "listener", "peer", "duration"), &middleware.LogOptions{
		Start: &level, End: slog.LevelDebug, Failed: slog.LevelError,
	}))
	defer g.Close()
	for i := range uint64(2) {
		dial()
		ended(g, i+1)
	}
	// Output:
	// level=DEBUG msg="connection end" conn=1 read=0 written=0 reason=returned
	// level=ERROR msg="connection end" conn=2 read=0 written=0 reason=error error="out of memory"
}

func ExampleLog() {
	g, dial := serve(greet, middleware.Log(plainLog(os.Stdout, "listener", "peer", "duration"), nil))
	nc := dial()
	hear(nc)
	fmt.Fprint(nc, "bye")
	nc.Close()
	ended(g, 1)
	g.Close()
	// Output:
	// level=DEBUG msg="connection start" conn=1
	// level=INFO msg="connection end" conn=1 read=3 written=5 reason=returned
}

func TestLog(t *testing.T) {
	var quiet slog.LevelVar
	quiet.Set(slog.LevelDebug - 1)
	const start = `level=DEBUG msg="connection start" conn=1 listener=192.0.2.1:1001 peer=198.51.100.7:1` + "\n"
	const about = `msg="connection end" conn=1 listener=192.0.2.1:1001 peer=198.51.100.7:1 `
	for name, test := range map[string]struct {
		h    func(nc net.Conn, c *lgrp.AnyConn) error
		opts *middleware.LogOptions
		want string
	}{
		"returns": {
			func(nc net.Conn, _ *lgrp.AnyConn) error {
				time.Sleep(1500 * time.Millisecond)
				_, err := fmt.Fprint(nc, "hello")
				return err
			}, nil,
			start + "level=INFO " + about + "duration=1.5s read=0 written=5 reason=returned\n",
		},
		"fails": {
			func(net.Conn, *lgrp.AnyConn) error { return errors.New("disk full") }, nil,
			start + "level=WARN " + about + `duration=0s read=0 written=0 reason=error error="disk full"` + "\n",
		},
		"panics": {
			func(net.Conn, *lgrp.AnyConn) error { panic("a bug") }, nil,
			start + "level=WARN " + about + "duration=0s read=0 written=0 reason=panic\n",
		},
		"panics inside Recover": {
			func(net.Conn, *lgrp.AnyConn) error { return &lgrp.PanicError{Value: "x"} }, nil,
			start + "level=WARN " + about + `duration=0s read=0 written=0 reason=panic error="lgrp: panic: x"` + "\n",
		},
		"killed": {
			func(nc net.Conn, c *lgrp.AnyConn) error {
				c.Close(nil)
				return nil
			}, nil,
			start + "level=INFO " + about + "duration=0s read=0 written=0 reason=killed\n",
		},
		"killed, and why": {
			func(nc net.Conn, c *lgrp.AnyConn) error {
				c.Close(errors.New("spam"))
				_, err := nc.Read(make([]byte, 1))
				return err
			}, nil,
			start + "level=INFO " + about + "duration=0s read=0 written=0 reason=killed error=spam\n",
		},
		"drained": {
			func(nc net.Conn, c *lgrp.AnyConn) error {
				c.Drain(time.Time{})
				return nil
			}, nil,
			start + "level=INFO " + about + "duration=0s read=0 written=0 reason=drained\n",
		},
		"denied": {
			func(net.Conn, *lgrp.AnyConn) error { return &lgrp.CloseError{Reason: lgrp.ReasonDenied} }, nil,
			start + "level=INFO " + about + `duration=0s read=0 written=0 reason=denied error="lgrp: connection closed: denied"` + "\n",
		},
		"levels": {
			func(net.Conn, *lgrp.AnyConn) error { return io.ErrUnexpectedEOF },
			&middleware.LogOptions{Start: slog.LevelInfo, End: slog.LevelDebug, Failed: slog.LevelError},
			strings.Replace(start, "DEBUG", "INFO", 1) + "level=ERROR " + about + `duration=0s read=0 written=0 reason=error error="unexpected EOF"` + "\n",
		},
		"quiet": {func(net.Conn, *lgrp.AnyConn) error { return nil }, &middleware.LogOptions{Start: &quiet, End: &quiet}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var log bytes.Buffer
				s := newStage(t, func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error { return test.h(nc, c) },
					from("198.51.100.7"), middleware.Log(plainLog(&log), test.opts))
				s.dial()
				s.awaitEnds(t, 1)
				require.NoError(t, s.Close())
				require.Equal(t, test.want, log.String())
			})
		})
	}
}

// What Log and Metrics say of an end is what the group counts.
func TestOutcomeIsTheGroups(t *testing.T) {
	for name, end := range map[string]func(c *lgrp.AnyConn) error{
		"nil":            func(*lgrp.AnyConn) error { return nil },
		"an error":       func(*lgrp.AnyConn) error { return errors.New("x") },
		"EOF":            func(*lgrp.AnyConn) error { return fmt.Errorf("reading: %w", io.EOF) },
		"EPIPE":          func(*lgrp.AnyConn) error { return os.NewSyscallError("write", syscall.EPIPE) },
		"reset":          func(*lgrp.AnyConn) error { return os.NewSyscallError("read", syscall.ECONNRESET) },
		"deadline":       func(*lgrp.AnyConn) error { return os.ErrDeadlineExceeded },
		"context":        func(*lgrp.AnyConn) error { return context.DeadlineExceeded },
		"net timeout":    func(*lgrp.AnyConn) error { return &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded} },
		"a close error":  func(*lgrp.AnyConn) error { return &lgrp.CloseError{Reason: lgrp.ReasonDenied} },
		"an empty one":   func(*lgrp.AnyConn) error { return &lgrp.CloseError{Err: io.EOF} },
		"a panic error":  func(*lgrp.AnyConn) error { return &lgrp.PanicError{} },
		"a panic":        func(*lgrp.AnyConn) error { panic("x") },
		"drained":        func(c *lgrp.AnyConn) error { c.Drain(time.Time{}); return nil },
		"drain and fail": func(c *lgrp.AnyConn) error { c.Drain(time.Time{}); return io.EOF },
		"killed":         func(c *lgrp.AnyConn) error { c.Close(nil); return nil },
		"evicted":        func(c *lgrp.AnyConn) error { c.Close(lgrp.ErrEvicted); panic("x") },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				sink := new(sums)
				s := newStage(t, func(_ context.Context, _ net.Conn, c *lgrp.AnyConn) error { return end(c) }, middleware.Metrics(sink))
				s.dial()
				ends := s.awaitEnds(t, 1)
				require.Equal(t, []lgrp.Reason{ends[0].why}, sink.ended)
			})
		})
	}
}

func TestLogAllocations(t *testing.T) {
	silent := slog.New(slog.DiscardHandler)
	require.EqualValues(t, 1, allocations(t, new(lgrp.AnyConn), middleware.Log(silent, nil)))
}
