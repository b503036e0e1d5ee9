package main

import (
	"io"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// TestMetrics: one port, on which an echo is counted and HTTP tells of it.
func TestMetrics(t *testing.T) {
	g := newGroup(prometheus.NewRegistry())
	l, err := g.Listen(t.Context(), "127.0.0.1:0", port{})
	require.NoError(t, err)
	a := l.Addr()

	nc, err := netx.Dial(t.Context(), a)
	require.NoError(t, err)
	_, err = io.WriteString(nc, "echo")
	require.NoError(t, err)
	require.NoError(t, netx.CloseWrite(nc))
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "echo", string(got))
	require.NoError(t, g.Wait(t.Context(), func(n lgrp.Counts) bool { return n.Ended == 1 }))

	text := get(t, a)
	id := `listener="` + l.ID() + `"`
	for _, line := range []string{
		`listengroup_accepted_total{` + id + `} 2`,
		`listengroup_closed_total{` + id + `,reason="returned"} 1`,
		`listengroup_connections{` + id + `,state="active"} 1`,
		`listengroup_listener{` + id + `,state="accepting"} 1`,
		`listengroup_connection_seconds_count{` + id + `,reason="returned"} 1`,
		`listengroup_bytes_total{direction="written",` + id + `} 4`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NoError(t, g.Shutdown(t.Context()))
}

func get(t *testing.T, a addr.Addr) string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + a.String() + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}
