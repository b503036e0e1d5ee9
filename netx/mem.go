package netx

import (
	"cmp"
	"context"
	"math"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx/memconn"
)

// memNetwork holds the listeners of mem: addresses by name. It belongs to the
// process, so that a server, an http.Client and a test can meet on a name.
var memNetwork = struct {
	sync.Mutex // never held while anybody waits: bubbles share it
	listeners  map[string]*memListener
}{listeners: map[string]*memListener{}}

// memListener gives its name up when it is closed. Who waits for room waits
// here and not in memconn's Dial, so that it can be told to stop.
type memListener struct {
	*memconn.Listener
	name    string
	backlog int

	mu      sync.Mutex // never held while anybody waits
	room    sync.Cond  // those in Dial
	queued  int        // and not accepted
	stopped bool
}

func listenMem(_ context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	memNetwork.Lock()
	defer memNetwork.Unlock()
	if memNetwork.listeners[a.Name()] != nil {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	l := &memListener{
		Listener: memconn.Listen(a, &memconn.Options{Backlog: math.MaxInt}),
		name:     a.Name(),
		backlog:  cmp.Or(max(o.Backlog, 0), 128),
	}
	l.room.L = &l.mu
	memNetwork.listeners[l.name] = l
	return l, nil
}

func dialMem(ctx context.Context, a addr.Addr) (net.Conn, error) {
	memNetwork.Lock()
	l := memNetwork.listeners[a.Name()]
	memNetwork.Unlock()
	if l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	c, err := l.Dial(ctx, nil)
	if err != nil {
		return nil, err // not c, which would be a nil in an interface
	}
	return c, nil
}

// Dial waits for room, and is refused when the queue has been stopped.
func (l *memListener) Dial(ctx context.Context, local net.Addr) (*memconn.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped && l.queued >= l.backlog {
		stop := context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.room.Broadcast()
		})
		defer stop()
		for !l.stopped && l.queued >= l.backlog && ctx.Err() == nil {
			l.room.Wait()
		}
	}
	if l.stopped {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	c, err := l.Listener.Dial(ctx, local) // does not wait
	if err == nil {
		l.queued++
	}
	return c, err
}

func (l *memListener) Accept() (net.Conn, error) { return l.taken(l.Listener.Accept()) }

func (l *memListener) AcceptQueued() (net.Conn, error) { return l.taken(l.Listener.AcceptQueued()) }

func (l *memListener) taken(c net.Conn, err error) (net.Conn, error) {
	if err == nil {
		l.mu.Lock()
		l.queued--
		l.room.Broadcast()
		l.mu.Unlock()
	}
	return c, err
}

// stopQueue gives the name up, as unlinking a unix socket does: a successor
// may have it at once, and new clients are refused, also those who had looked
// the name up or wait for room.
func (l *memListener) stopQueue() error {
	memNetwork.Lock()
	if memNetwork.listeners[l.name] == l {
		delete(memNetwork.listeners, l.name)
	}
	memNetwork.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.room.Broadcast()
	return nil
}

func (l *memListener) Close() error {
	l.stopQueue()
	return l.Listener.Close()
}
