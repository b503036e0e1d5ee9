package lgrp

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// addrless is a listener that has nothing but no address.
type addrless struct{ net.Listener }

func (addrless) Addr() net.Addr { return nil }

// Between being registered, where a drain or Kill finds it, and being admitted
// a connection can be ended by somebody. However it is turned away after that,
// it is counted by the reason it has. The window is too small to be hit from
// outside; the model over TCP did, once in some hundred sequences.
func TestCountedByItsReason(t *testing.T) {
	for name, prepare := range map[string]func(g *core, l *listener, s *socket){
		"late":     func(_ *core, _ *listener, s *socket) { s.shut = true },
		"rejected": func(g *core, _ *listener, _ *socket) { g.max, g.active = 1, 1 },
		"rejected after a pause": func(g *core, l *listener, _ *socket) {
			g.max, g.active = 1, 1
			l.intent = intendPause
		},
		"admitted": func(*core, *listener, *socket) {},
	} {
		t.Run(name, func(t *testing.T) {
			g := newCore(&Options{OnLimit: Reject(nil, 0)})
			l := g.newListener(context.Background(), "a", 0, LimitPolicy{}, listenSpec{})
			l.intent = intendAccept
			s := newSocket(l, addrless{})
			prepare(g, l, s)

			client, server := net.Pipe()
			defer client.Close()
			c := &AnyConn{l: l, raw: server, id: 1}
			g.reg.add(c)
			require.True(t, c.end(ReasonForced, errForced))
			switch v, _, _ := g.admit(s, c); v {
			case parked:
				l.intent = intendAccept
				require.Equal(t, []*AnyConn{c}, g.handOut().reject)
			case admitted:
				g.finish(c, nil, nil)
			}
			require.Equal(t, map[Reason]uint64{ReasonForced: 1}, g.info().Closed)
			require.Equal(t, uint64(1), l.closed[ReasonForced])
		})
	}
}
