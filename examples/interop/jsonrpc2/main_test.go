package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/exp/jsonrpc2"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// TestJSONRPC runs a library that knows nothing of virtual time in a bubble.
func TestJSONRPC(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		g := lgrp.New(serve, nil)
		ln := testkit.Listen(t)
		_, err := g.Add(t.Context(), lgrp.ListenerSpec[port]{Listener: ln})
		require.NoError(t, err)

		client, err := jsonrpc2.Dial(t.Context(), dialer{ln.NewConn()}, jsonrpc2.ConnectionOptions{})
		require.NoError(t, err)
		var sum float64
		require.NoError(t, client.Call(t.Context(), "add", []float64{1, 2, 4}).Await(t.Context(), &sum))
		require.Equal(t, 7.0, sum)
		err = client.Call(t.Context(), "add", "seven").Await(t.Context(), nil)
		require.ErrorContains(t, err, "invalid params")
		var calls int
		require.NoError(t, client.Call(t.Context(), "calls", nil).Await(t.Context(), &calls))
		require.Equal(t, 3, calls)
		for c := range g.Conns() {
			require.EqualValues(t, 3, c.Data.calls.Load())
			require.Equal(t, "calls", c.Info().Note)
		}

		require.NoError(t, g.Shutdown(t.Context()), "the drain closes idle connections")
		require.Error(t, client.Call(t.Context(), "calls", nil).Await(t.Context(), &calls))
		_ = client.Close()
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonDrained: 1}, g.Info().Closed)
	})
}
