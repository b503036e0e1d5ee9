package netx

import (
	"context"
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

// memListener gives its name up when it is closed.
type memListener struct {
	*memconn.Listener
	name string
}

func listenMem(_ context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	memNetwork.Lock()
	defer memNetwork.Unlock()
	if memNetwork.listeners[a.Name()] != nil {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	l := &memListener{memconn.Listen(a, &memconn.Options{Backlog: max(o.Backlog, 0)}), a.Name()}
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

// stopQueue gives the name up, as unlinking a unix socket does: a successor
// may have it at once, and new clients are refused.
func (l *memListener) stopQueue() error {
	memNetwork.Lock()
	defer memNetwork.Unlock()
	if memNetwork.listeners[l.name] == l {
		delete(memNetwork.listeners, l.name)
	}
	return nil
}

func (l *memListener) Close() error {
	l.stopQueue()
	return l.Listener.Close()
}
