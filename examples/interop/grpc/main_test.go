package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func TestGRPC(t *testing.T) {
	srv := newServer()
	g := lgrp.New(lgrp.Typed[port, session](middleware.Serve(srv.Serve)), nil)
	clients := map[string]grpc_health_v1.HealthClient{}
	for _, service := range []string{"a", "b"} {
		l, err := g.Listen(t.Context(), "127.0.0.1:0", port{service})
		require.NoError(t, err)
		cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer cc.Close()
		clients[service] = grpc_health_v1.NewHealthClient(cc)
	}
	check := func(client, service string) (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
		r, err := clients[client].Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
		return r.GetStatus(), err
	}
	for _, c := range []struct {
		client, service string
		want            grpc_health_v1.HealthCheckResponse_ServingStatus
	}{
		{"a", "a", grpc_health_v1.HealthCheckResponse_SERVING},
		{"b", "b", grpc_health_v1.HealthCheckResponse_SERVING},
		{"b", "a", grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN},
	} {
		got, err := check(c.client, c.service)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s of %s", c.service, c.client)
	}

	// A killed connection is one that gRPC makes again.
	notes := map[string]uint64{}
	for c := range g.ConnInfos() {
		notes[c.Note] = c.ID
	}
	require.Len(t, notes, 1, "both were last asked about a")
	require.True(t, g.Kill(notes["last asked about a"], errors.New("enough")))
	require.NoError(t, g.Wait(t.Context(), func(n lgrp.Counts) bool { return n.Ended == 1 }))
	for service := range clients {
		_, err := check(service, service)
		require.True(t, err == nil || status.Code(err) == codes.Unavailable, "%v", err)
	}

	// gRPC says GOAWAY, and the drain sees the connections end.
	go srv.GracefulStop()
	require.NoError(t, g.Shutdown(t.Context()))
	require.Zero(t, g.Info().Closed[lgrp.ReasonForced])
}
