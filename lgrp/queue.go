package lgrp

import "time"

// waiter is a parked connection's place in its listener's queue.
type waiter struct {
	c          *AnyConn
	ticket     uint64 // group-wide, drawn after Accept: who came first
	forIdle    bool   // came under EvictIdle
	evictor    bool   // may have an idle connection closed for it, and has not yet
	timer      *time.Timer
	prev, next *waiter
}

// waitQueue is a listener's queue: first come, first served, and leaving it
// costs the same from any place. The zero value is empty.
type waitQueue struct {
	head, tail *waiter
	n          int
}

func (q *waitQueue) push(w *waiter) {
	w.prev = q.tail
	if q.tail != nil {
		q.tail.next = w
	} else {
		q.head = w
	}
	q.tail = w
	q.n++
}

func (q *waitQueue) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	w.prev, w.next = nil, nil
	q.n--
}
