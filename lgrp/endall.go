package lgrp

import (
	"sync/atomic"
	"time"
)

const (
	maxClosers  = 16                    // at work at one time, while they get on
	closersTick = 10 * time.Millisecond // in which one of them should have got on
)

// endAll ends many at once: all contexts first, and then the sockets, several
// at a time, since a Close may block (that of a tls.Conn for seconds). When all
// that are at it do, as many again go on with the others. It returns when all
// are closed.
func (g *core) endAll(cs []*AnyConn, r Reason, cause error) {
	mine := make(chan *AnyConn, len(cs))
	for _, c := range cs {
		if c.settle(r, cause) {
			mine <- c
		}
	}
	close(mine)
	if len(mine) == 0 {
		return
	}
	var left atomic.Int64
	left.Store(int64(len(mine)))
	done := make(chan struct{})
	end := func(c *AnyConn) {
		defer func() { // also if Close calls Goexit
			if left.Add(-1) == 0 {
				close(done)
			}
		}()
		c.endSettled()
	}
	closers := 0
	more := func(n int) {
		closers += n
		for range n {
			g.task(func() {
				for c := range mine {
					end(c)
				}
			})
		}
	}
	more(min(len(mine), maxClosers))
	t := time.NewTicker(closersTick)
	defer t.Stop()
	for before := left.Load(); len(mine) > 0; {
		select {
		case <-done:
			return
		case <-t.C:
		}
		now := left.Load()
		if now == before {
			more(min(len(mine), closers))
		}
		before = now
	}
	<-done
}
