package middleware_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// A drain that begins while a client leaves finds Tarpit returning: what it
// started for the drain must not set a deadline when that has returned.
func TestTarpitDrainedWhileTheClientLeaves(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		var left atomic.Pointer[time.Time]
		outer := func(next lgrp.Handler) lgrp.Handler {
			return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				spy := &slowDeadlines{Conn: nc}
				err := next(ctx, spy, c)
				time.Sleep(time.Minute) // whoever is slow has come by now
				left.Store(spy.last.Load())
				return err
			}
		}
		s := newStage(t, echo, outer, middleware.Tarpit(nil))
		nc := s.dial()
		synctest.Wait()
		go s.Shutdown(context.Background())
		time.Sleep(time.Second / 2) // the drain's deadline is on its way
		require.NoError(t, nc.Close())
		s.awaitEnds(t, 1)
		require.True(t, left.Load().IsZero(), "a deadline was left behind: %v", left.Load())
	})
}

// slowDeadlines is a connection that takes its time to set a deadline of now.
type slowDeadlines struct {
	net.Conn
	last atomic.Pointer[time.Time]
}

func (c *slowDeadlines) SetDeadline(t time.Time) error {
	if t.Equal(time.Now()) {
		time.Sleep(time.Second)
	}
	c.last.Store(&t)
	return c.Conn.SetDeadline(t)
}
