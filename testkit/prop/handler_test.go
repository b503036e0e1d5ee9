package prop_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit/prop"
)

func lines(_ context.Context, nc net.Conn, c *lgrp.Conn[int, int]) error {
	defer c.OnDrain(func() { _ = nc.Close() })()
	for s := bufio.NewScanner(nc); s.Scan(); {
		if _, err := fmt.Fprintf(nc, "got %q\n", s.Text()); err != nil {
			return err
		}
	}
	return nil
}

func TestLines(t *testing.T) { prop.TestConnHandler(t, lines, prop.ConnHandlerSpec{}) }

func oneRead(_ context.Context, nc net.Conn, _ *lgrp.Conn[int, int]) error {
	buf := make([]byte, 1000)
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(nc, "got %q\n", buf[:n]); err != nil {
			return err
		}
	}
}

func TestOneRead(t *testing.T) {
	prop.TestConnHandler(t, oneRead, prop.ConnHandlerSpec{Deviations: map[prop.Law]string{
		prop.LawChunking: "on purpose",
		prop.LawDrained:  "on purpose",
	}})
}
