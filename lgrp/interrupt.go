package lgrp

import (
	"net"
	"time"
)

// deadliner is a listener whose Accept can be made to return.
type deadliner interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// deadliners returns the listeners to set a deadline on, or none unless each
// can have one.
func (s *socket) deadliners() (ds []deadliner) {
	for _, ln := range s.shards {
		d, ok := ln.(deadliner)
		if !ok {
			return nil
		}
		ds = append(ds, d)
	}
	return ds
}

// interrupt makes Accept return, by a deadline in the past, while the socket
// should not accept, and takes the deadline away when it should. It reports
// false where the listener has no SetDeadline: then only Close ends an Accept.
//
// Callers change the intent first. One at a time sets deadlines, and looks
// again at what is wanted before it leaves; others wait for it. So the deadline
// in force is always what past says when nobody is setting one.
func (s *socket) interrupt() bool {
	ds := s.deadliners()
	if ds == nil {
		return false
	}
	l, g := s.l, s.l.g
	g.mu.Lock()
	defer g.mu.Unlock()
	for s.setting {
		wake := l.asleep()
		g.mu.Unlock()
		<-wake
		g.mu.Lock()
	}
	s.setting = true
	defer func() { // also if SetDeadline calls Goexit
		s.setting = false
		l.wake()
	}()
	for s.past != s.mustWait() {
		s.past = !s.past
		if s.setDeadlines(ds, s.past) != nil {
			s.past = !s.past
			return false
		}
	}
	return true
}

// setDeadlines gives mu up while it sets the deadlines.
func (s *socket) setDeadlines(ds []deadliner, past bool) error {
	var t time.Time
	if past {
		t = time.Unix(1, 0)
	}
	s.l.g.mu.Unlock()
	defer s.l.g.mu.Lock()
	defer s.deadlines.Add(1)
	for _, d := range ds {
		if err := s.setDeadline(d, t); err != nil {
			return err
		}
	}
	return nil
}

// setDeadline contains a panic of an application's listener.
func (s *socket) setDeadline(d deadliner, t time.Time) (err error) {
	defer func() {
		if v := recover(); v != nil {
			pe := newPanicError(v)
			s.l.g.logPanic("SetDeadline method", pe, nil)
			err = pe
		}
	}()
	return d.SetDeadline(t)
}

// ours reports whether a deadline that ended an Accept, which began after
// interrupt had set so many, was set by interrupt: it is in force, or was when
// the Accept began, or is just being taken away.
func (s *socket) ours(deadlines uint64) bool {
	s.l.g.mu.Lock()
	defer s.l.g.mu.Unlock()
	return s.setting || s.past || s.deadlines.Load() != deadlines
}
