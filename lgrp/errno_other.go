//go:build !unix

package lgrp

import "syscall"

// Windows gives accept errors its own numbers (winsock error codes).
var (
	capacityErrors = []error{syscall.EMFILE, syscall.Errno(10024) /* WSAEMFILE */, syscall.Errno(10055) /* WSAENOBUFS */}

	transientErrors = append([]error{
		syscall.ECONNABORTED, syscall.EINTR,
		syscall.Errno(10050) /* WSAENETDOWN */, syscall.Errno(10051), /* WSAENETUNREACH */
		syscall.Errno(10053) /* WSAECONNABORTED */, syscall.Errno(10054) /* WSAECONNRESET */, syscall.Errno(10060), /* WSAETIMEDOUT */
	}, moreTransientErrors...)
)
