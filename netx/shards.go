package netx

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/listengroup/listengroup/addr"
)

// shards is a listener on several sockets bound to one address.
type shards struct {
	socks []*socket

	start    sync.Once // the first Accept starts a goroutine for each socket
	accepted chan result
	closed   chan struct{}
	once     sync.Once
	accepts  sync.WaitGroup

	handing sync.Mutex // all are stopped or all handed out; nobody waits with it
}

type result struct {
	c   net.Conn
	err error
}

// listenShards binds the first socket alone, as if there were no others, so
// that the kernel refuses an address that is in use; only then may the rest
// join it. A second instance fails at its own first socket. With SO_REUSEPORT
// on all of them from the start both would run, unnoticed.
func listenShards(ctx context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	l := &shards{accepted: make(chan result), closed: make(chan struct{})}
	hostPort := a.HostPort()
	for len(l.socks) < o.Shards {
		s, err := bindTCP(ctx, a.Scheme(), hostPort, o)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.socks = append(l.socks, s)
		if len(l.socks) > 1 {
			continue
		}
		if err := withFD(s, joinPort); err != nil {
			l.Close()
			return nil, err
		}
		joined := *o
		joined.ReusePort = true
		o = &joined
		// The resolved address: port 0 must not give each its own port, nor
		// a name with several addresses a socket on each.
		hostPort = s.Addr().String()
	}
	return l, nil
}

// Shards returns a listener for each socket, in the order they were opened.
// Accept either from them or from l. Closing l closes them.
func (l *shards) Shards() []net.Listener {
	all := make([]net.Listener, len(l.socks))
	for i, s := range l.socks {
		all[i] = s
	}
	return all
}

// Accept returns a connection of any socket. It is for those who do not know
// of Shards: connections pass through a channel, and after Accept was called
// for the first time each socket may have one accepted connection waiting.
func (l *shards) Accept() (net.Conn, error) {
	l.start.Do(func() {
		for _, s := range l.socks {
			l.accepts.Go(func() { l.acceptFrom(s) })
		}
	})
	select {
	case r := <-l.accepted:
		return r.c, r.err
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// acceptFrom hands on failures too; it cannot spin, for every one waits for
// somebody who wants it.
func (l *shards) acceptFrom(s *socket) {
	for {
		c, err := s.Accept()
		select {
		case l.accepted <- result{c, err}:
		case <-l.closed:
			if err == nil {
				c.Close()
			}
			return
		}
	}
}

// AcceptQueued looks at what Accept's goroutines hold before the queues.
func (l *shards) AcceptQueued() (net.Conn, error) {
	select {
	case r := <-l.accepted:
		return r.c, r.err
	default:
	}
	for _, s := range l.socks {
		if c, err := s.AcceptQueued(); err != ErrQueueEmpty {
			return c, err
		}
	}
	return nil, ErrQueueEmpty
}

// Addr returns the address of all sockets.
func (l *shards) Addr() net.Addr { return l.socks[0].Addr() }

// Close closes every socket.
func (l *shards) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		err = nil
		close(l.closed)
		for _, s := range l.socks {
			err = errors.Join(err, s.Close())
		}
		l.start.Do(func() {}) // no Accept starts goroutines any more
		l.accepts.Wait()
	})
	return err
}

func (l *shards) stopQueue() error {
	l.handing.Lock()
	defer l.handing.Unlock()
	var err error
	for _, s := range l.socks {
		err = errors.Join(err, s.stopQueue())
	}
	return err
}
