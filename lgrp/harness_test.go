package lgrp_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// The contexts of most tests.
type (
	lctx struct{ name string }
	cctx struct{ n int }

	group  = lgrp.ListenGroup[lctx, cctx]
	conn   = lgrp.Conn[lctx, cctx]
	handle = lgrp.ConnHandler[lctx, cctx]
	spec   = lgrp.ListenerSpec[lctx]
)

var silent = slog.New(slog.DiscardHandler)

// newGroup makes a silent group that is closed when the test ends.
func newGroup(t testing.TB, h handle, opts *lgrp.Options) *group {
	var o lgrp.Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = silent
	}
	g := lgrp.New(h, &o)
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// adopt adds an in-memory listener and returns both ends of it.
func adopt(t testing.TB, g *group, s spec) (*lgrp.Listener[lctx], *testkit.Listener) {
	ln := testkit.Listen(t)
	s.Listener = ln
	if s.ID == "" {
		s.ID = "mem"
	}
	l, err := g.Add(t.Context(), s)
	require.NoError(t, err)
	return l, ln
}

// hold serves until the peer closes or the connection ends.
func hold(_ context.Context, nc net.Conn, _ *conn) error {
	_, err := io.Copy(io.Discard, nc)
	return err
}

// polite is hold that ends when a drain begins.
func polite(_ context.Context, nc net.Conn, c *conn) error {
	defer c.OnDrain(func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })()
	_, err := io.Copy(io.Discard, nc)
	if c.IsDraining() {
		return nil
	}
	return err
}

// stubborn returns only when release is closed, whatever happens to the
// connection.
func stubborn(release <-chan struct{}) handle {
	return func(context.Context, net.Conn, *conn) error {
		<-release
		return nil
	}
}

// echo answers with what it is sent.
func echo(_ context.Context, nc net.Conn, _ *conn) error {
	_, err := io.Copy(nc, nc)
	return err
}

// until waits for a condition on the group's counts.
func until(t testing.TB, g *group, cond func(lgrp.Counts) bool) {
	t.Helper()
	require.NoError(t, g.Wait(t.Context(), cond))
}

func active(n int) func(lgrp.Counts) bool {
	return func(c lgrp.Counts) bool { return c.Active == n }
}

// check fails unless the numbers of the group and its listeners add up.
func check(t testing.TB, g *group) {
	t.Helper()
	info := g.Info()
	require.Equal(t, info.Accepted, uint64(info.Active+info.Uncounted+info.Parked)+sum(info.Closed), "group: %+v", info)
	for _, l := range info.Listeners {
		require.Equal(t, l.Accepted, uint64(l.Active+l.Uncounted+l.Parked)+sum(l.Closed), "listener: %+v", l)
	}
}

func sum(m map[lgrp.Reason]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// requireState is for bubbles, after a synctest.Wait.
func requireState(t testing.TB, l *lgrp.Listener[lctx], want lgrp.ListenerState) {
	t.Helper()
	require.Equal(t, want.String(), l.Info().State.String())
}

// requireClosed fails unless the client's next read says that the connection
// is over, within a second.
func requireClosed(t testing.TB, nc net.Conn) {
	t.Helper()
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(time.Second)))
	_, err := nc.Read(make([]byte, 1))
	require.Error(t, err)
	var ne net.Error
	require.False(t, errors.As(err, &ne) && ne.Timeout(), "still open: %v", err)
}

// requireOpen fails if the connection is over.
func requireOpen(t testing.TB, nc net.Conn) {
	t.Helper()
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := nc.Read(make([]byte, 1))
	var ne net.Error
	require.True(t, errors.As(err, &ne) && ne.Timeout(), "not open: %v", err)
	require.NoError(t, nc.SetReadDeadline(time.Time{}))
}

// journal collects lines from several goroutines.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

type ctxT = context.Context

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, p...)
	return len(p), nil
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b)
}
