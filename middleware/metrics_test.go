package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// sums is a sink that adds up.
type sums struct {
	mu            sync.Mutex
	started       int
	ended         []lgrp.Reason
	took          time.Duration
	read, written int64
	calls         int
}

func (s *sums) ConnStarted(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started++
}

func (s *sums) ConnEnded(_ string, why lgrp.Reason, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, why)
	s.took += took
}

func (s *sums) BytesMoved(_ string, read, written int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.read += read
	s.written += written
}

func ExampleMetrics() {
	var sink sums // in a program: counters of a metrics library
	g, dial := serve(greet, middleware.Metrics(&sink))
	defer g.Close()

	nc := dial()
	hear(nc)
	nc.Close()
	ended(g, 1)
	fmt.Println(sink.started, sink.ended, sink.written)
	// Output:
	// 1 [returned] 5
}

func TestMetrics(t *testing.T) {
	const step = 64 << 10
	for name, test := range map[string]struct {
		sent, answered int
		calls          int
	}{
		"nothing":   {0, 0, 0},
		"a little":  {10, 20, 1},
		"a step":    {step, 0, 1},
		"more":      {step + 1, 0, 2},
		"much":      {10 * step, 3*step + 5, 14},
		"both ways": {step, step, 2},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				sink := new(sums)
				s := newStage(t, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					time.Sleep(time.Second)
					buf := make([]byte, 1024)
					for {
						_, err := nc.Read(buf)
						if err == io.EOF {
							break
						}
						if err != nil {
							return err
						}
					}
					_, err := nc.Write(make([]byte, test.answered))
					return err
				}, middleware.Metrics(sink))
				nc := s.dial()
				_, err := nc.Write(make([]byte, test.sent))
				require.NoError(t, err)
				require.NoError(t, nc.CloseWrite())
				n, err := io.Copy(io.Discard, nc)
				require.NoError(t, err)
				require.EqualValues(t, test.answered, n)
				s.awaitEnds(t, 1)
				require.Equal(t, 1, sink.started)
				require.Equal(t, []lgrp.Reason{lgrp.ReasonReturned}, sink.ended)
				require.Equal(t, time.Second, sink.took)
				require.EqualValues(t, test.sent, sink.read)
				require.EqualValues(t, test.answered, sink.written)
				require.LessOrEqual(t, sink.calls, test.calls)
			})
		})
	}
}

func TestMetricsPanicsOnMisuse(t *testing.T) {
	require.Panics(t, func() { middleware.Metrics(nil) })
}

type noSink struct{}

func (noSink) ConnStarted(string)                           {}
func (noSink) ConnEnded(string, lgrp.Reason, time.Duration) {}
func (noSink) BytesMoved(string, int64, int64)              {}

func TestMetricsAllocations(t *testing.T) {
	require.EqualValues(t, 1, allocations(t, new(lgrp.AnyConn), middleware.Metrics(noSink{})))
}
