package middleware

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync/atomic"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// MaxBytesOptions say how many bytes of a connection may be read and written; 0
// or less means no limit. The zero value, and nil, limit nothing.
type MaxBytesOptions struct {
	Read, Written int64
}

// MaxBytes lets a connection read and write so many bytes and no more. A peer
// that sends just as many as are allowed and then ends is read to its end. When
// there are more, Read returns an error that ends the connection with
// [lgrp.ReasonLimit] if the handler returns it; it is free to write an answer
// first. Write writes what is allowed and then returns such an error too; so does
// io.Copy to the connection, which needs a byte of the source to see that there
// is more.
//
// It stands where the bytes are that it is to count, and keeps splice. Behind
// TLS it hides the *tls.Conn from handlers that assert one, such as HTTP/2. To
// change the limits later, use a [ByteLimiter].
func MaxBytes(opts *MaxBytesOptions) lgrp.Middleware { return NewByteLimiter(opts).Middleware() }

// A ByteLimiter is a [MaxBytes] that can be changed while it runs. The zero
// value limits nothing. All methods may be called by many goroutines.
type ByteLimiter struct {
	read, written atomic.Int64
	exceeded      atomic.Uint64
}

// NewByteLimiter returns a ByteLimiter with the limits of opts.
func NewByteLimiter(opts *MaxBytesOptions) *ByteLimiter {
	l := new(ByteLimiter)
	l.Set(opts)
	return l
}

// Set changes the limits, also those of open connections.
func (l *ByteLimiter) Set(opts *MaxBytesOptions) {
	if opts == nil {
		opts = &MaxBytesOptions{}
	}
	l.read.Store(opts.Read)
	l.written.Store(opts.Written)
}

// Options returns the limits.
func (l *ByteLimiter) Options() MaxBytesOptions {
	return MaxBytesOptions{Read: l.read.Load(), Written: l.written.Load()}
}

// Exceeded returns how often a Read or Write has been refused.
func (l *ByteLimiter) Exceeded() uint64 { return l.exceeded.Load() }

// Middleware returns the middleware.
func (l *ByteLimiter) Middleware() lgrp.Middleware {
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			return next(ctx, netx.Metered(nc, &byteConn{l: l}), c)
		}
	}
}

type byteConn struct {
	netx.Meter
	l             *ByteLimiter
	read, written atomic.Int64
	over          atomic.Bool // the peer has sent more than it may
}

func (c *byteConn) BeforeRead(most int) (int, error) {
	if c.over.Load() { // and a byte is gone: a limit that is raised comes too late
		return 0, errUsedUp
	}
	return allowance(most, c.l.read.Load(), c.read.Load())
}
func (c *byteConn) AfterRead(n int) { c.read.Add(int64(n)) }

func (c *byteConn) BeforeWrite(most int) (int, error) {
	n, err := allowance(most, c.l.written.Load(), c.written.Load())
	if err != nil {
		c.l.exceeded.Add(1)
		err = errMaxWritten
	}
	return n, err
}
func (c *byteConn) AfterWrite(n int) { c.written.Add(int64(n)) }

func allowance(most int, limit, used int64) (int, error) {
	if limit <= 0 {
		return most, nil
	}
	if used >= limit {
		return 0, errUsedUp
	}
	return int(min(int64(most), limit-used)), nil
}

// ReadFrom copies no more than is allowed, so that a source which has just as
// much is read to its end.
func (c *byteConn) ReadFrom(r io.Reader) (total int64, err error) {
	whole, ok := r.(*io.LimitedReader) // the kernel's ways see through one of them
	if !ok {
		whole = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	for {
		left, limit := whole.N, c.l.written.Load()
		if limit > 0 {
			left = min(left, limit-c.written.Load())
		}
		if left <= 0 {
			return total, c.endOf(whole)
		}
		part := &io.LimitedReader{R: whole.R, N: left}
		n, err := c.Meter.ReadFrom(part)
		total += n
		whole.N -= left - part.N
		if err != nil || n < left {
			return total, err
		}
	}
}

// endOf returns nil if r has come to its end.
func (c *byteConn) endOf(r io.Reader) error {
	if _, err := io.ReadFull(r, make([]byte, 1)); err == io.EOF {
		return nil
	} else if err != nil {
		return err
	}
	c.l.exceeded.Add(1)
	return errMaxWritten
}

func (c *byteConn) Read(p []byte) (int, error) {
	n, err := c.Meter.Read(p)
	if err == errUsedUp {
		err = c.end()
	}
	return n, err
}

func (c *byteConn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.Meter.WriteTo(w)
	if errors.Is(err, errUsedUp) {
		if err = c.end(); err == io.EOF {
			err = nil
		}
	}
	return n, err
}

// end finds out whether what was allowed was all that there is.
func (c *byteConn) end() error {
	if !c.over.Load() {
		if n, err := c.Conn.Read(make([]byte, 1)); n == 0 {
			return err
		}
		c.over.Store(true)
	}
	c.l.exceeded.Add(1)
	return errMaxRead
}

var (
	errUsedUp     = errors.New("middleware: MaxBytes: used up") // nobody sees it
	errMaxRead    = refusal(lgrp.ReasonLimit, "MaxBytes", errors.New("the peer has sent more than it may"))
	errMaxWritten = refusal(lgrp.ReasonLimit, "MaxBytes", errors.New("more was written than may be"))
)
