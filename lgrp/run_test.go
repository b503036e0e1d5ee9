package lgrp_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

func TestRun(t *testing.T) {
	boom := errors.New("the disk is on fire")
	for name, tc := range map[string]struct {
		handler handle
		do      func(t *testing.T, g *group, ln *testkit.Listener, cancel func())
		took    time.Duration
		want    func(t *testing.T, err error)
	}{
		"clean": {polite, func(_ *testing.T, _ *group, _ *testkit.Listener, cancel func()) { cancel() }, 0,
			func(t *testing.T, err error) { require.NoError(t, err) }},
		"forced": {hold, func(_ *testing.T, _ *group, _ *testkit.Listener, cancel func()) { cancel() }, 7 * time.Second,
			func(t *testing.T, err error) {
				var de *lgrp.DrainError
				require.ErrorAs(t, err, &de)
			}},
		"somebody else": {hold, func(t *testing.T, g *group, _ *testkit.Listener, _ func()) { _ = g.Shutdown(within(t, 3*time.Second)) }, 3 * time.Second,
			func(t *testing.T, err error) { require.NoError(t, err) }},
		"last listener fails": {polite, func(_ *testing.T, _ *group, ln *testkit.Listener, _ func()) { ln.SetAcceptError(boom) }, 0,
			func(t *testing.T, err error) {
				require.ErrorIs(t, err, lgrp.ErrNoListener)
				require.ErrorIs(t, err, boom)
			}},
		"last listener removed": {polite, func(t *testing.T, g *group, _ *testkit.Listener, cancel func()) {
			l, _ := g.Listener("mem")
			require.NoError(t, l.Remove(lgrp.KeepConns))
			time.Sleep(time.Hour)
			cancel()
		}, time.Hour, func(t *testing.T, err error) { require.NoError(t, err) }},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				g := newGroup(t, tc.handler, &lgrp.Options{Grace: 7 * time.Second})
				_, ln := adopt(t, g, spec{})
				ln.NewConn()
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				errs := make(chan error)
				go func() { errs <- g.Run(ctx) }()
				synctest.Wait()
				begun := time.Now()
				go tc.do(t, g, ln, cancel)
				tc.want(t, <-errs)
				require.Equal(t, tc.took, time.Since(begun))
			})
		})
	}
}
