package middleware_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

// say is a middleware that is seen.
func say(name string, log *[]string) lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			*log = append(*log, name)
			return next(ctx, nc, c)
		}
	}
}

func ExampleChain() {
	var log []string
	stack := middleware.Chain(say("a", &log), say("b", &log), say("c", &log))
	g, dial := serve(greet, stack)
	nc := dial()
	fmt.Println(hear(nc))
	nc.Close()
	g.Close()
	fmt.Println(log)
	// Output:
	// hello
	// [a b c]
}

func ExampleWhen() {
	var log []string
	odd := func(c *lgrp.AnyConn) bool { return c.ID()%2 == 1 }
	g, dial := serve(greet, middleware.When(odd, say("odd", &log)))
	for range 3 {
		nc := dial()
		hear(nc)
		nc.Close()
	}
	g.Close()
	fmt.Println(log)
	// Output: [odd odd]
}

func TestChainOfNothing(t *testing.T) {
	called := false
	h := middleware.Chain()(func(context.Context, net.Conn, *lgrp.AnyConn) error { called = true; return nil })
	require.NoError(t, h(t.Context(), nil, nil))
	require.True(t, called)
}

func TestChainKeepsItsMiddleware(t *testing.T) {
	var log []string
	mws := []lgrp.Middleware{say("a", &log)}
	chain := middleware.Chain(mws...)
	mws[0] = say("other", &log)
	require.NoError(t, chain(func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })(t.Context(), nil, nil))
	require.Equal(t, []string{"a"}, log)
}

func TestChainAndWhenPanicOnMisuse(t *testing.T) {
	require.Panics(t, func() { middleware.Chain(nil) })
	require.Panics(t, func() { middleware.When(nil, middleware.Labels()) })
	require.Panics(t, func() { middleware.When(func(*lgrp.AnyConn) bool { return true }, nil) })
}

func TestChainAndWhenAllocateNothing(t *testing.T) {
	pass := func(next lgrp.Handler) lgrp.Handler { return next }
	h := middleware.Chain(pass, middleware.When(func(*lgrp.AnyConn) bool { return true }, pass))(
		func(context.Context, net.Conn, *lgrp.AnyConn) error { return nil })
	ctx, c := context.Background(), &lgrp.AnyConn{}
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = h(ctx, nil, c) }))
}
