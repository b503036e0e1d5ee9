// Command grpc serves gRPC on any listeners of a group: connections are
// counted, limited and killed there, and an RPC finds its connection.
//
//	go run ./grpc
//	grpcurl -plaintext ADDRESS grpc.health.v1.Health/Check
package main

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/listengroup/listengroup/examples/interop/internal/cli"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
)

func main() {
	srv := newServer()
	g := lgrp.New(lgrp.Typed[port, session](middleware.Serve(srv.Serve)), nil)
	// GOAWAY on every connection: they end when their RPCs have.
	cli.Main("grpc", "Serves grpc.health.v1.Health.\n", g, port{"serving"}, srv.GracefulStop)
}

// port is what every listener has: the service that it is healthy for.
type port struct{ service string }

type session struct{}

type conn = lgrp.Conn[port, session]

func newServer() *grpc.Server {
	srv := grpc.NewServer(grpc.Creds(groupCreds{insecure.NewCredentials()}))
	grpc_health_v1.RegisterHealthServer(srv, health{})
	return srv
}

// groupCreds are credentials that make the group's connection the AuthInfo of
// its RPCs: the place where gRPC shows the net.Conn to its user.
type groupCreds struct {
	credentials.TransportCredentials
}

type authInfo struct {
	credentials.AuthInfo
	conn *conn
}

func (g groupCreds) ServerHandshake(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
	ctx, ok := netx.ServeContext(nc)
	if !ok {
		return nil, nil, errors.New("not a connection of a group")
	}
	c, _ := lgrp.FromContext[port, session](ctx)
	nc, info, err := g.TransportCredentials.ServerHandshake(nc)
	return nc, authInfo{info, c}, err
}

// health is served according to the listener.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	p, _ := peer.FromContext(ctx)
	c := p.AuthInfo.(authInfo).conn
	c.SetNote("last asked about " + r.Service)
	status := grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
	if r.Service == "" || r.Service == c.Listener.service {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	return &grpc_health_v1.HealthCheckResponse{Status: status}, nil
}
