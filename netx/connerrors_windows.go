package netx

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// The sockets of Windows have numbers of their own; those of package syscall
// are inventions, which in-memory connections use.
var resetErrors = [...]error{
	syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED,
	windows.WSAECONNRESET, windows.WSAESHUTDOWN, windows.WSAECONNABORTED,
}
