//go:build !windows

package netx

import "syscall"

var resetErrors = [...]error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}
