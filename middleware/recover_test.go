package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func ExampleRecover() {
	report := func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			err := next(ctx, nc, c)
			fmt.Println("failed:", err)
			return err
		}
	}
	broken := func(context.Context, net.Conn, *lgrp.AnyConn) error { panic("a bug") }
	g, dial := serve(broken, report, middleware.Recover(slog.New(slog.DiscardHandler)))
	defer g.Close()

	dial()
	fmt.Println(ended(g, 1).Closed)
	// Output:
	// failed: lgrp: panic: a bug
	// map[panic:1]
}

func TestRecover(t *testing.T) {
	cause := errors.New("cause")
	deep := &lgrp.PanicError{Value: "deep", Stack: []byte("where it was")}
	for name, test := range map[string]struct {
		h     func() error
		want  error // by errors.Is
		value any   // of a *lgrp.PanicError
		stack string
	}{
		"returns nil":         {h: func() error { return nil }},
		"returns an error":    {h: func() error { return os.ErrExist }, want: os.ErrExist},
		"panics with text":    {h: func() error { panic("text") }, value: "text", stack: "TestRecover"},
		"panics with error":   {h: func() error { panic(cause) }, want: cause, value: cause, stack: "TestRecover"},
		"panics with a panic": {h: func() error { panic(deep) }, value: "deep", stack: "where it was"},
		"runtime error":       {h: func() error { return []error{}[len(os.Args)] }, value: nil, stack: "TestRecover"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			h := middleware.Recover(slog.New(slog.NewTextHandler(&log, nil)))(
				func(context.Context, net.Conn, *lgrp.AnyConn) error { return test.h() })
			err := h(t.Context(), nil, new(lgrp.AnyConn))
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
			}
			pe, panicked := err.(*lgrp.PanicError)
			require.Equal(t, test.stack != "", panicked, "%v", err)
			if !panicked {
				require.Empty(t, log.String())
				return
			}
			if test.value != nil {
				require.Equal(t, test.value, pe.Value)
			}
			require.Contains(t, string(pe.Stack), test.stack)
			require.Contains(t, log.String(), "level=ERROR")
			require.Contains(t, log.String(), test.stack)
		})
	}
}

// Goexit is no panic: it cannot be turned into an error.
func TestRecoverLeavesGoexit(t *testing.T) {
	returned, done := false, make(chan bool)
	go func() {
		defer close(done)
		_ = middleware.Recover(nil)(func(context.Context, net.Conn, *lgrp.AnyConn) error { runtime.Goexit(); return nil })(
			context.Background(), nil, new(lgrp.AnyConn))
		returned = true
	}()
	<-done
	require.False(t, returned)
}

func TestRecoverAllocations(t *testing.T) {
	require.Zero(t, allocations(t, new(lgrp.AnyConn), middleware.Recover(nil)))
}
