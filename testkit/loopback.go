package testkit

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"
)

// loopback feeds a Listener from a real socket. One goroutine accepts whatever connects; what the
// kit's own Dial made waits in held until that Dial comes for it, so that it knows both ends.
type loopback struct {
	*net.TCPListener
	l       *Listener
	dialing int        // guarded by l.mu, as held is
	held    []net.Conn // accepted while a Dial was under way
	done    chan struct{}
}

func listenLoopback(l *Listener) (*loopback, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &loopback{TCPListener: ln.(*net.TCPListener), l: l, done: make(chan struct{})}
	go r.pump()
	return r, nil
}

func (r *loopback) pump() {
	defer close(r.done)
	for {
		nc, err := r.Accept()
		if err != nil {
			r.l.fail(err)
			return
		}
		r.l.mu.Lock()
		if r.held = append(r.held, nc); r.dialing == 0 {
			r.release()
		}
		r.l.dial.cond.Broadcast()
		r.l.mu.Unlock()
	}
}

// connect dials and finds the end that the pump accepted.
func (r *loopback) connect(ctx context.Context) (c, s *Conn, err error) {
	r.l.mu.Lock()
	r.dialing++
	r.l.mu.Unlock()
	var d net.Dialer
	client, err := d.DialContext(ctx, "tcp", r.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for {
		for i, nc := range r.held {
			if nc.RemoteAddr().String() == client.LocalAddr().String() {
				r.held = append(r.held[:i], r.held[i+1:]...)
				c, s := link(r.l.t, client, nc)
				return c, s, nil
			}
		}
		if r.l.closed || r.l.aborted {
			client.Close()
			return nil, nil, &net.OpError{Op: "dial", Net: "tcp", Source: client.LocalAddr(), Addr: r.Addr(),
				Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		if err := r.l.foreign("dial"); err != nil {
			client.Close()
			return nil, nil, err
		}
		r.l.dial.wait(time.Time{})
	}
}

// dialed ends a connect; l.mu is held.
func (r *loopback) dialed() {
	if r.dialing--; r.dialing == 0 {
		r.release()
	}
}

// release hands over what was not made by Dial, but by somebody who has the address; l.mu is held.
func (r *loopback) release() {
	for _, nc := range r.held {
		r.l.push(arrival{conn: Wrap(nc)})
	}
	r.held = nil
}

// stop closes the socket and waits for the pump; l.mu is not held.
func (r *loopback) stop() {
	r.Close()
	<-r.done
	r.l.mu.Lock()
	held := r.held
	r.held = nil
	r.l.mu.Unlock()
	for _, nc := range held {
		Wrap(nc).Reset()
	}
}
