package testkit

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// InjectAcceptError makes Accept answer each error once, behind the connections that wait already and
// before those that come later; nil is none. What is not a *net.OpError is wrapped in one, as a kernel's would be.
func (l *Listener) InjectAcceptError(errs ...error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range errs {
		if err == nil {
			continue
		}
		l.push(arrival{err: l.acceptError(err)})
	}
}

// SetAcceptError makes every Accept answer err, those under way too, while connections go on waiting:
// what a process sees that has run out of descriptors. nil ends it.
func (l *Listener) SetAcceptError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted {
		return
	}
	l.sticky = nil
	if err != nil {
		l.sticky = l.acceptError(err)
	}
	l.spin = spinGuard{}
	l.accept.cond.Broadcast()
}

// SetAcceptDelay makes Accept hold what it has taken from the queue for d before it returns it, as if its
// goroutine had not been scheduled. The delay is not cut short: a connection taken before Close comes out
// after it, which is how a late accept can be tried in every window.
func (l *Listener) SetAcceptDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// SetCloseError sets what the first Close answers; it closes the listener all the same.
func (l *Listener) SetCloseError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeErr = err
}

// Abort breaks the listener under its owner: every Accept answers err, Dial is refused, and the
// connections that wait are reset. It stays broken; the owner's Close still succeeds.
func (l *Listener) Abort(err error) {
	if err == nil {
		err = syscall.EBADF
	}
	l.mu.Lock()
	if l.closed || l.aborted {
		l.mu.Unlock()
		return
	}
	l.aborted = true
	l.sticky = l.acceptError(err)
	l.stop()
}

// fail is Abort for an error of the real socket.
func (l *Listener) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && !l.aborted {
		l.aborted, l.sticky = true, err
	}
	l.accept.cond.Broadcast()
	l.dial.cond.Broadcast()
}

func (l *Listener) acceptError(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && error(op) == err {
		return err
	}
	if no, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError("accept4", no)
	}
	return l.opError("accept", err)
}
