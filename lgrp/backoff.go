package lgrp

import (
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

// DefaultAcceptBackoff is what Options.AcceptBackoff defaults to; a policy of
// one's own may fall back on it.
//
// It sorts errors itself, since net.Error's Temporary is wrong about several:
//   - what concerns only the connection that was about to be accepted, or
//     passes by itself (ECONNABORTED, EINTR, EPROTO, ENETDOWN, ENETUNREACH,
//     EHOSTDOWN, EHOSTUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP, ETIMEDOUT,
//     EPERM, ECONNRESET, any time-out) is tried again at once, and when it
//     repeats after a wait as below;
//   - what says that the machine is full (EMFILE, ENFILE, ENOBUFS, ENOMEM)
//     after 5 ms, doubling to 1 s, less up to a fifth by chance so that
//     listeners do not go in step;
//   - anything else is for good: it returns -1.
//
// See accept(2), "Error handling", for why most of the first kind exist.
func DefaultAcceptBackoff(err error, consecutive int) (retryIn time.Duration) {
	switch {
	case isCapacity(err):
		return backoff(consecutive)
	case isTransient(err):
		return backoff(consecutive - 1)
	}
	return -1
}

// backoff returns the nth wait; the first is minBackoff, the zeroth none.
func backoff(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	d := maxBackoff
	if n < 16 {
		d = min(minBackoff<<(n-1), maxBackoff)
	}
	return d - rand.N(d/5+1)
}

func isCapacity(err error) bool { return isAny(err, capacityErrors) }

func isTransient(err error) bool {
	var ne net.Error
	return isAny(err, transientErrors) || errors.As(err, &ne) && ne.Timeout()
}

func isAny(err error, list []error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}
