package middleware_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func TestSniffedConnectionsAreSeenByInspection(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := lgrp.New(func(context.Context, net.Conn, *lgrp.Conn[int, int]) error { return nil }, nil)
		defer g.Close()
		g.Use(middleware.Sniff([]middleware.SniffRoute{{
			Match: middleware.MatchPrefix("hi"),
			Handler: func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				_, err := io.Copy(io.Discard, nc)
				return err
			},
		}}, nil))
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), lgrp.ListenerSpec[int]{Listener: ln})
		require.NoError(t, err)
		nc := ln.NewConn()
		synctest.Wait()
		_, ok := g.Conn(1)
		require.False(t, ok, "it has said nothing yet")
		_, err = nc.Write([]byte("hi"))
		require.NoError(t, err)
		synctest.Wait()
		_, ok = g.Conn(1)
		require.True(t, ok)
	})
}
