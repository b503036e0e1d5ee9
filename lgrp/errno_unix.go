//go:build unix

package lgrp

import "syscall"

// What accept(2) can fail with, by what it means; see DefaultAcceptBackoff.
var (
	capacityErrors = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}

	transientErrors = append([]error{
		syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.ENETDOWN, syscall.ENETUNREACH,
		syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP,
		syscall.ETIMEDOUT, syscall.EPERM, syscall.ECONNRESET,
	}, moreTransientErrors...)
)
