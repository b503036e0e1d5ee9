package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// Proxy copies what is read from a to b and from b to a, until both have ended,
// and returns how many bytes went each way. It closes neither.
//
// When one side sends no more, the other is told so by [CloseWrite], and can go
// on sending; a *tls.Conn that has not shaken hands is told when it has. If it
// cannot be half-closed, it cannot be told either, and Proxy ends there: the
// caller's Close is what will tell it. A side that takes no more (EPIPE or
// ECONNRESET on writing) is still read to its end. Any other failure ends both
// directions at once, and the first is the error; orderly ends are none.
//
// When ctx ends, Proxy does so at once with context.Cause(ctx), without waiting
// for either side. It interrupts them by deadlines in the past, which it removes
// again, with any that were set before. Bytes in flight then may be lost, so do
// not continue with the connections after an error. Connections whose
// SetDeadline does nothing are interrupted by closing them only.
//
// Between sockets on Linux the kernel moves the bytes (splice), also if a or b
// is a wrapper that has kept ReadFrom and WriteTo; elsewhere each direction uses
// one buffer of 32 KiB. One goroutine is added to the caller's, and gone when
// Proxy returns; should a connection panic there, the caller gets the panic.
func Proxy(ctx context.Context, a, b net.Conn) (aToB, bToA int64, err error) {
	if ctx.Err() != nil {
		return 0, 0, context.Cause(ctx)
	}
	p := proxy{a: a, b: b}
	withA, withB := handshakeOf(a), handshakeOf(b)
	told := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(told)
		p.stop(context.Cause(ctx))
	})
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			if !returned { // a panic, or Goexit, in a or b
				panicked = recover()
				p.stop(errGoexit)
			}
		}()
		bToA = p.copy(a, b, withA, withB)
		returned = true
	}()

	returned := false
	defer func() {
		if !returned {
			p.stop(errGoexit)
		}
		<-done
		if !forget() {
			<-told
		}
		if p.stopped.Load() {
			_ = a.SetDeadline(time.Time{})
			_ = b.SetDeadline(time.Time{})
		}
		if panicked != nil {
			panic(panicked)
		}
		if first := p.first.Load(); first != nil {
			err = *first
		}
	}()
	aToB = p.copy(b, a, withB, withA)
	returned = true
	return aToB, bToA, err
}

var errGoexit = errors.New("netx: proxy: a connection ended its goroutine")

type proxy struct {
	a, b    net.Conn
	first   atomic.Pointer[error] // why it ends early; what comes of that is not news
	stopped atomic.Bool
}

func (p *proxy) fail(err error) { p.first.CompareAndSwap(nil, &err) }

// stop ends both directions.
func (p *proxy) stop(err error) {
	p.fail(err)
	if p.stopped.CompareAndSwap(false, true) {
		past := time.Unix(1, 0)
		_ = p.a.SetDeadline(past)
		_ = p.b.SetDeadline(past)
	}
}

// copy is one direction.
func (p *proxy) copy(dst, src net.Conn, toDst, toSrc *handshake) int64 {
	toSrc.do()
	n, refused, err := copyConn(dst, src)
	if err == nil && !p.stopped.Load() {
		if !toDst.await() {
			return n // reading from dst fails, or ends, by itself
		}
		err = CloseWrite(dst)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			p.stop(nil)
			return n
		case IsReset(err), errors.Is(err, syscall.ENOTCONN):
			return n // there is nobody to tell; reading from dst ends by itself
		}
	} else if refused {
		// Often a server that has answered before the end of the request, and
		// closed: its answer is still to be read, and then reading ends by itself.
		p.fail(err)
		return n
	}
	if err != nil {
		p.stop(err)
	}
	return n
}

// A handshake is that of a *tls.Conn which has not shaken hands, and cannot be
// half-closed before. Reading from it begins with that, so the direction that
// does is the one that shakes hands. The nil *handshake has been done.
type handshake struct {
	tc   *tls.Conn
	over chan struct{}
}

func handshakeOf(nc net.Conn) *handshake {
	if tc, ok := Underlying[*tls.Conn](nc); ok && !tc.ConnectionState().HandshakeComplete {
		return &handshake{tc, make(chan struct{})}
	}
	return nil
}

// do leaves a failure to the Read that follows.
func (h *handshake) do() {
	if h != nil {
		defer close(h.over)
		_ = h.tc.Handshake()
	}
}

// await reports false if it has failed.
func (h *handshake) await() bool {
	if h == nil {
		return true
	}
	<-h.over
	return h.tc.ConnectionState().HandshakeComplete
}
