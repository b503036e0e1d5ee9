// Command jsonrpc2 serves JSON-RPC 2.0, with the headers that language servers
// use, at addresses of any kind.
//
//	go run ./jsonrpc2 unix:/tmp/rpc.sock
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"golang.org/x/exp/jsonrpc2"

	"github.com/listengroup/listengroup/examples/interop/internal/cli"
	"github.com/listengroup/listengroup/lgrp"
)

func main() {
	cli.Main("jsonrpc2", `Methods: "add" with a list of numbers, "calls" for how many this connection made.`+"\n", lgrp.New(serve, nil), port{}, nil)
}

type port struct{}

// session counts: calls of one connection may be answered while others look.
type session struct{ calls atomic.Int64 }

// dialer gives jsonrpc2, which wants to dial, the connection that is there.
type dialer struct{ net.Conn }

func (d dialer) Dial(context.Context) (io.ReadWriteCloser, error) { return d.Conn, nil }

func serve(ctx context.Context, nc net.Conn, c *lgrp.Conn[port, session]) error {
	handler := jsonrpc2.HandlerFunc(func(ctx context.Context, r *jsonrpc2.Request) (any, error) {
		c.SetNote(r.Method)
		calls := c.Data.calls.Add(1)
		switch r.Method {
		case "add":
			var terms []float64
			if err := json.Unmarshal(r.Params, &terms); err != nil {
				return nil, fmt.Errorf("%w: %w", jsonrpc2.ErrInvalidParams, err)
			}
			sum := 0.0
			for _, t := range terms {
				sum += t
			}
			return sum, nil
		case "calls":
			return calls, nil
		}
		return nil, jsonrpc2.ErrNotHandled
	})
	rpc, err := jsonrpc2.Dial(ctx, dialer{nc}, jsonrpc2.ConnectionOptions{Handler: handler})
	if err != nil {
		return err
	}
	// Close answers what has been asked already, and then closes nc.
	c.OnDrain(func() { _ = rpc.Close() })
	err = rpc.Wait()
	if c.Info().Draining {
		return nil
	}
	return err
}
