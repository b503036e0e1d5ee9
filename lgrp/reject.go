package lgrp

import (
	"io"
	"time"

	"github.com/listengroup/listengroup/netx"
)

// maxRejecting is how many connections of a group are being told at one time
// that there is no room; the rest are closed without a word.
const maxRejecting = 64

// reject turns away a connection that has been counted as ended already. The
// telling is done on a goroutine of its own, by a deadline.
func (g *core) reject(c *AnyConn) {
	p := c.l.effectivePolicy()
	g.mu.Lock()
	tell := len(g.rejecting) < maxRejecting
	if tell {
		g.rejecting[c] = struct{}{}
	}
	g.mu.Unlock()
	g.early.note(c.l, c.reason(), c.cause, c)
	if !tell {
		g.task(func() { g.dismiss(c) })
		return
	}
	g.task(func() {
		defer g.dismiss(c)
		end := time.Now().Add(p.delay)
		_ = c.raw.SetWriteDeadline(end)
		if p.reply != "" {
			if _, err := io.WriteString(c.raw, p.reply); err != nil {
				return
			}
		}
		_ = netx.Linger(c.raw, time.Until(end))
	})
}

// dismiss closes and forgets a connection that has been counted as ended. The
// accept goroutine leaves it to a task, for closing may block.
func (g *core) dismiss(c *AnyConn) {
	defer func() { // as in abandon
		c.awaitClosed() // somebody else may be at it
		g.reg.remove(c)
		g.mu.Lock()
		delete(g.rejecting, c)
		g.socketFreed()
		g.bump()
		g.mu.Unlock()
	}()
	c.closeSocket()
}

// hurryRejections ends the rejections that are under way, and does not wait
// for a Close that blocks.
func (g *core) hurryRejections() {
	g.mu.Lock()
	cs := make([]*AnyConn, 0, len(g.rejecting))
	for c := range g.rejecting {
		cs = append(cs, c)
	}
	g.mu.Unlock()
	for _, c := range cs {
		g.task(c.closeSocket)
	}
}
