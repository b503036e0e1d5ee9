package main

import (
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func TestSSH(t *testing.T) {
	key, err := hostKey()
	require.NoError(t, err)
	testkit.Bubble(t, func(t *testing.T) {
		g := lgrp.New(serve, &lgrp.Options{Logger: slog.New(slog.DiscardHandler)})
		ln := testkit.Listen(t)
		_, err = g.Add(t.Context(), lgrp.ListenerSpec[port]{Listener: ln, Context: port{key}})
		require.NoError(t, err)

		nc := ln.NewConn()
		sc, channels, requests, err := ssh.NewClientConn(nc, "host", &ssh.ClientConfig{
			User: "anne", HostKeyCallback: ssh.FixedHostKey(key.PublicKey()),
		})
		require.NoError(t, err)
		client := ssh.NewClient(sc, channels, requests)
		for range 2 {
			s, err := client.NewSession()
			require.NoError(t, err)
			out, err := s.Output("whoami")
			require.NoError(t, err)
			require.Equal(t, "anne, connection 1 from "+nc.LocalAddr().String()+"\n", string(out))
		}

		// One that never says who it is has only so long. Time is virtual.
		silent := ln.NewConn()
		_, err = io.Copy(io.Discard, silent)
		require.NoError(t, err)

		require.NoError(t, g.Shutdown(t.Context()), "the drain ends what is idle")
		require.Error(t, client.Wait())
		require.Equal(t, map[lgrp.Reason]uint64{lgrp.ReasonDrained: 1, lgrp.ReasonHandshake: 1}, g.Info().Closed)
	})
}
