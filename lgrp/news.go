package lgrp

import "time"

// news is one thing to tell of a listener.
type news struct {
	info    ListenerInfo
	from    ListenerState // a move from there to info.State, unless one of the following
	err     error
	retryIn time.Duration
	failure bool // Accept failed with err
	over    bool // the group handler's Unlistening, with err
}

// newsQueue holds what has not been told yet. A goroutine exists only while
// there is something to tell. The zero value is empty.
type newsQueue struct {
	items  []news
	teller bool // a goroutine is at it
}

// maxNews bounds what a slow receiver can make pile up.
const maxNews = 64

// tell queues n for the listener's teller. mu is held.
func (l *listener) tell(n news) {
	ev := l.g.opts.Events
	q := &l.news
	if !l.bound {
		return // nobody has heard of it yet
	}
	switch {
	case n.over:
		if l.g.hooks.unlistening == nil {
			return
		}
	case n.failure:
		if ev.AcceptError == nil || len(q.items) >= maxNews {
			return
		}
	default:
		if ev.ListenerState == nil {
			return
		}
		// What has not been told yet and is undone by this move is dropped
		// together with it.
		k := len(q.items) - 1
		if k >= 0 && q.items[k].undoneBy(n) {
			q.items = q.items[:k]
			return
		}
		if k+1 > maxNews && q.items[k].move() {
			if q.items[k].info = n.info; q.items[k].from == n.info.State {
				q.items = q.items[:k]
			}
			return
		}
	}
	q.items = append(q.items, n)
	if !q.teller {
		q.teller = true
		l.g.taskStarts()
		go l.tellAll()
	}
}

// acceptFailed tells of a failed Accept.
func (l *listener) acceptFailed(err error, retryIn time.Duration) {
	l.g.mu.Lock()
	l.tell(news{failure: true, info: l.info(false), err: err, retryIn: retryIn})
	l.g.mu.Unlock()
}

func (n news) move() bool { return !n.failure && !n.over }

// undoneBy reports whether n and m are the moves Accepting → Full and back, or
// the other way round.
func (n news) undoneBy(m news) bool {
	busy := func(s ListenerState) bool { return s == StateAccepting || s == StateFull }
	return n.move() && n.from == m.info.State && n.info.State == m.from &&
		busy(m.from) && busy(m.info.State)
}

// tellAll tells what is queued, in order, and ends when there is no more.
func (l *listener) tellAll() {
	done := false
	defer func() {
		if !done { // the receiver called Goexit: go on with the rest elsewhere
			go l.tellAll()
			return
		}
		l.g.taskEnds()
	}()
	for {
		l.g.mu.Lock()
		if len(l.news.items) == 0 {
			l.news.teller = false
			l.news.items = nil
			l.g.mu.Unlock()
			done = true
			return
		}
		n := l.news.items[0]
		l.news.items = l.news.items[1:]
		l.g.mu.Unlock()
		l.g.tellOne(n)
	}
}

func (g *core) tellOne(n news) {
	ev := g.opts.Events
	switch {
	case n.over:
		defer g.containEvent("Unlistening")
		g.hooks.unlistening(n.info, n.err)
	case n.failure:
		defer g.containEvent("AcceptError")
		ev.AcceptError(n.info, n.err, n.retryIn)
	default:
		defer g.containEvent("ListenerState")
		ev.ListenerState(n.info, n.from)
	}
}
