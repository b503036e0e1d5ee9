package middleware

import (
	"context"
	"iter"
	"maps"
	"net"
	"sync"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// Count adds the bytes and operations of all connections to total, as
// [netx.CountConn] counts them: also those that io.Copy splices, which it goes
// on to do. To see the figures of each connection, use a [ConnCounter].
//
// It counts what passes where it stands: in a Transport before TLS what is on
// the wire, in the chain what the handler reads and writes. Behind TLS it hides
// the *tls.Conn from handlers that assert one, such as HTTP/2.
func Count(total *netx.Counter) lgrp.Middleware {
	if total == nil {
		panic("middleware: Count with a nil *netx.Counter")
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			nc, _ = netx.CountConn(nc, total)
			return next(ctx, nc, c)
		}
	}
}

// A ConnCounter is a [Count] that knows the figures of each open connection too.
// The zero value is ready for use. All methods may be called by many goroutines.
type ConnCounter struct {
	total netx.Counter
	mu    sync.Mutex
	conns map[uint64]*netx.Counter
}

// Middleware returns the middleware. All that it returns count together, so one
// ConnCounter should stand in a chain only once. Groups that share it should
// share an [lgrp.IDSource] too.
func (t *ConnCounter) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			nc, own := netx.CountConn(nc, &t.total)
			t.add(c.ID(), own)
			defer t.remove(c.ID(), own)
			return next(ctx, nc, c)
		}
	}
}

// Total returns the figures of all connections so far, open and ended.
func (t *ConnCounter) Total() netx.Counts { return t.total.Counts() }

// Conn returns the figures of an open connection by its [lgrp.AnyConn.ID].
func (t *ConnCounter) Conn(id uint64) (netx.Counts, bool) {
	t.mu.Lock()
	own, ok := t.conns[id]
	t.mu.Unlock()
	if !ok {
		return netx.Counts{}, false
	}
	return own.Counts(), true
}

// Conns yields the figures of all connections that are open when the loop
// starts, by id and in no particular order.
func (t *ConnCounter) Conns() iter.Seq2[uint64, netx.Counts] {
	return func(yield func(uint64, netx.Counts) bool) {
		t.mu.Lock()
		open := maps.Clone(t.conns)
		t.mu.Unlock()
		for id, own := range open {
			if !yield(id, own.Counts()) {
				return
			}
		}
	}
}

func (t *ConnCounter) add(id uint64, own *netx.Counter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		t.conns = make(map[uint64]*netx.Counter)
	}
	t.conns[id] = own
}

func (t *ConnCounter) remove(id uint64, own *netx.Counter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns[id] == own { // not that of another group's connection with the id
		delete(t.conns, id)
	}
}
