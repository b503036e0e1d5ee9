package netx

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/listengroup/listengroup/addr"
)

// inheritedFDs remembers which inherited descriptors were taken: they are
// closed then, and their numbers soon mean something else.
var inheritedFDs = fdTable{taken: map[int]bool{}}

type fdTable struct {
	mu    sync.Mutex
	taken map[int]bool
}

func listenFD(_ context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	fd, err := strconv.Atoi(a.Name())
	if err != nil {
		return nil, err
	}
	return inheritedFDs.take(fd, o)
}

// check says why fd cannot be listened on.
func (t *fdTable) check(fd int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.checkLocked(fd)
}

func (t *fdTable) checkLocked(fd int) error {
	if t.taken[fd] {
		return fmt.Errorf("descriptor %d: was taken before", fd)
	}
	if err := checkListening(fd); err != nil {
		return fmt.Errorf("descriptor %d: %w", fd, err)
	}
	return nil
}

// take makes a listener of a descriptor. One that was inherited is used up,
// so that closing the listener closes the socket; one that this process opened
// itself is its owner's to close.
func (t *fdTable) take(fd int, o *Options) (net.Listener, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.checkLocked(fd); err != nil {
		return nil, err
	}
	inherited := isInherited(fd)
	ln, err := listenerOf(fd)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	if inherited {
		t.taken[fd] = true
		useUp(fd)
	}
	// Keepalive is not set on the socket: that is everybody's. Where nothing
	// was asked for, what net sets on each connection is the default.
	return &socket{kernelListener: ln, tune: o.KeepAlive}, nil // stateInherited
}
