//go:build !linux

package netx

import "errors"

// shutQueue is for kernels whose shutdown(2) leaves the queue of a listening
// socket as it is.
func shutQueue(*socket) error { return errors.ErrUnsupported }
