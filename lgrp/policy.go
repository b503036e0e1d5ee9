package lgrp

import "time"

// A LimitPolicy says what happens to a connection for which there is no slot,
// because its listener or the group has reached MaxConns.
//
// The zero value inherits: a listener's policy from the group, the group's is
// Backlog(). Policies are made by [Backlog], [Queue], [Reject] and
// [EvictIdle].
type LimitPolicy struct {
	kind    policyKind
	timeout time.Duration
	reply   string
	delay   time.Duration
}

type policyKind uint8

const (
	inherit policyKind = iota
	backlog
	queue
	reject
	evictIdle
)

// Backlog stops accepting until a slot is free: clients wait in the kernel's
// queue, where their handshake has been completed, and nobody is refused
// before that queue is full. Each accept goroutine may hold one connection
// that it had accepted when the limit was reached; it is shown as parked.
func Backlog() LimitPolicy { return LimitPolicy{kind: backlog} }

// Queue accepts and parks: a parked connection waits, without a goroutine, for
// a slot, at most timeout, and is then closed with ReasonLimit. That time runs
// on while the listener is paused. A timeout of 0 or less waits for ever. At
// most max(16, MaxConns) connections of a listener are parked; beyond that it
// waits as under Backlog, where each further accept goroutine may hold one
// more. MaxConns is here the listener's own, or the group's if the listener has
// none.
func Queue(timeout time.Duration) LimitPolicy { return LimitPolicy{kind: queue, timeout: timeout} }

// Reject accepts, writes reply (which may be empty), half-closes, discards
// what the client sends until it closes too or delay has passed, and closes
// with ReasonLimit. Without the discarding the client would, as a rule, lose
// the reply to a reset. A delay under one second is one second. At most 64
// connections of a group are being rejected in this way at one time; the rest
// are closed at once. The reply is written to the raw socket, before any TLS.
func Reject(reply []byte, delay time.Duration) LimitPolicy {
	return LimitPolicy{kind: reject, reply: string(reply), delay: max(delay, time.Second)}
}

// EvictIdle closes the connection that has been idle for longest, see
// [AnyConn.SetIdle], with ErrEvicted, so that its slot goes to the first in
// line: the new one, unless another listener has one that has waited for longer.
// At most one is closed for each arrival. While none is idle it waits as under
// Backlog.
func EvictIdle() LimitPolicy { return LimitPolicy{kind: evictIdle} }

// GoString is String, for messages of tests.
func (p LimitPolicy) GoString() string { return "lgrp." + p.String() }

// String returns the policy as its constructor would be written, or "inherit".
func (p LimitPolicy) String() string {
	switch p.kind {
	case backlog:
		return "Backlog()"
	case queue:
		return "Queue(" + p.timeout.String() + ")"
	case reject:
		return "Reject(…, " + p.delay.String() + ")"
	case evictIdle:
		return "EvictIdle()"
	}
	return "inherit"
}

// or returns p, or q where p inherits.
func (p LimitPolicy) or(q LimitPolicy) LimitPolicy {
	if p.kind == inherit {
		return q
	}
	return p
}

// queueBound is how many connections may be parked at a listener under Queue.
func queueBound(listenerMax, groupMax int) int {
	if listenerMax > 0 {
		return max(16, listenerMax)
	}
	return max(16, groupMax)
}
