package lgrp

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/listengroup/listengroup/netx"
)

const (
	// maxSweep bounds a sweep of a socket whose backlog is not known, and
	// that others may keep filling: Linux's default net.core.somaxconn.
	maxSweep = 4096
	// quietQueue is how long a listener without a descriptor is given to come
	// forward with what it has queued.
	quietQueue = 10 * time.Millisecond
)

// sweep takes in what is queued. It never waits for a slot: what finds none
// is parked or rejected. interruptible says that Accept has been seen to heed
// a deadline, or that nobody was in it.
func (s *socket) sweep(ctx context.Context, interruptible bool) {
	limit := maxSweep
	if o := s.l.spec.net; o != nil && o.Backlog > 0 {
		limit = o.Backlog + 1 // the kernel queues one more than it is asked to
	}
	for _, ln := range s.shards {
		sweepOne := func() error {
			return s.sweepOne(func() (net.Conn, error) { return netx.AcceptQueued(ln) })
		}
		for n := 0; n < limit && ctx.Err() == nil; n++ {
			err := sweepOne()
			if errors.Is(err, errors.ErrUnsupported) {
				d, ok := ln.(deadliner)
				if !ok || !interruptible || s.setDeadline(d, time.Now().Add(quietQueue)) != nil {
					break
				}
				sweepOne = func() error { return s.sweepWithin(ctx, ln) }
				err = sweepOne()
			}
			if isTransient(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
				continue // is about one connection; others are queued behind it
			}
			if err != nil {
				break
			}
		}
	}
}

// sweepOne takes in what accept returns. It contains a panic of an
// application's listener.
func (s *socket) sweepOne(accept func() (net.Conn, error)) (err error) {
	defer func() {
		if v := recover(); v != nil {
			pe := newPanicError(v)
			s.l.g.logPanic("Accept method", pe, nil)
			err = pe
		}
	}()
	nc, err := accept()
	switch {
	case err != nil:
		return err
	case nc == nil:
		return errNilConn
	}
	s.take(nc)
	return nil
}

// sweepWithin is sweepOne for a listener whose Accept may not heed the
// deadline that has been set, and may not return before Close. It is left
// behind then; what it still yields is taken in, or comes too late.
func (s *socket) sweepWithin(ctx context.Context, ln net.Listener) error {
	swept := make(chan error, 1)
	s.l.g.task(func() { swept <- s.sweepOne(ln.Accept) })
	t := time.NewTimer(s.patience())
	defer t.Stop()
	select {
	case err := <-swept:
		return err
	case <-t.C:
	case <-ctx.Done():
	}
	return os.ErrDeadlineExceeded
}
