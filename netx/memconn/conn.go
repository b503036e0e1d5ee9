package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// DefaultSize is how many bytes one direction of a connection holds when [Options] does not say.
const DefaultSize = 64 << 10

// Options says how a connection carries its bytes. The zero value, like a nil pointer, is a buffered
// connection without latency.
type Options struct {
	// Size is how many bytes, sent and not yet read, each direction holds before Write blocks.
	// Defaults to DefaultSize.
	Size int

	// Latency is how long bytes, the end of the stream and a reset need to reach the other end.
	// Establishing a connection takes no time. Defaults to 0.
	Latency time.Duration

	// Sync makes a Write return only once the other end has read its last byte, as on net.Pipe:
	// there is no buffer and Size is not used. Defaults to false.
	Sync bool

	// Backlog is how many connections may wait for Accept before Dial blocks; only listeners use it.
	// Defaults to 128.
	Backlog int
}

// Conn is one end of an in-memory connection that answers like TCP. Ends come in pairs, from [Pair] or
// from a [Listener]; the zero value is not usable. All methods may be called by several goroutines at
// once; concurrent Writes do not mix their bytes.
type Conn struct {
	p             *pair
	in, out       *half
	local, remote net.Addr
	closed        bool // guarded by p.mu
}

// pair is a whole connection in one allocation. One lock guards both directions, because closing an
// end changes both; it is never held while anybody waits.
type pair struct {
	mu      sync.Mutex
	size    int
	latency time.Duration
	sync    bool
	ends    [2]Conn
	halves  [2]half
}

var _ net.Conn = (*Conn)(nil)

// Pair returns the two ends of a new connection: the address of one is the remote address of the
// other. A nil address is replaced by one whose network is "mem".
func Pair(a, b net.Addr, opts *Options) (*Conn, *Conn) {
	p := &pair{size: DefaultSize}
	if opts != nil {
		p.latency, p.sync = max(0, opts.Latency), opts.Sync
		if opts.Size > 0 {
			p.size = opts.Size
		}
	}
	a, b = orAnonymous(a), orAnonymous(b)
	p.ends[0] = Conn{p: p, in: &p.halves[0], out: &p.halves[1], local: a, remote: b}
	p.ends[1] = Conn{p: p, in: &p.halves[1], out: &p.halves[0], local: b, remote: a}
	for i := range p.halves {
		h := &p.halves[i]
		h.p = p
		h.reader.cond.L, h.writer.cond.L = &p.mu, &p.mu
	}
	return &p.ends[0], &p.ends[1]
}

// Read reads what has arrived. It answers io.EOF once the other end has sent its end of stream,
// ECONNRESET once it has been reset, net.ErrClosed after Close of this end, and
// os.ErrDeadlineExceeded once the deadline has passed, even when there is something to read.
// Reading into an empty slice returns at once.
func (c *Conn) Read(b []byte) (int, error) {
	c.p.mu.Lock()
	n, err := c.read(b)
	c.p.mu.Unlock()
	if err != nil && err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

func (c *Conn) read(b []byte) (int, error) {
	h := c.in
	for {
		if c.closed {
			return 0, errClosed
		}
		if len(b) == 0 {
			return 0, nil
		}
		var now time.Time
		if h.reader.timed(h.p.latency) {
			now = time.Now()
			if h.reader.expired(now) {
				return 0, os.ErrDeadlineExceeded
			}
		}
		if n := h.take(b, now); n > 0 {
			return n, nil
		}
		if h.shut {
			return 0, io.EOF
		}
		if h.end != nil && h.unread() == 0 && !now.Before(h.endAt) {
			return 0, h.end
		}
		h.reader.wait(now, h.nextArrival())
	}
}

// Write sends b. It blocks while the buffer is full, and answers EPIPE after CloseWrite and once the
// other end is known to be closed, ECONNRESET once it is known to have been reset or closed with data
// unread, net.ErrClosed after Close of this end, and os.ErrDeadlineExceeded. TCP lets the first
// write after the other end's Close succeed and loses it; here it fails at once.
func (c *Conn) Write(b []byte) (int, error) {
	c.p.mu.Lock()
	n, err := c.write(b)
	c.p.mu.Unlock()
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

func (c *Conn) write(b []byte) (n int, err error) {
	h := c.out
	for h.writing && len(b) > 0 {
		now, err := c.writable()
		if err != nil {
			return 0, err
		}
		h.writer.wait(now, h.brokenAt)
	}
	now, err := c.writable()
	if err != nil || len(b) == 0 {
		return 0, err
	}
	h.writing = true
	for {
		// What the other end has taken counts, even if it was closed before this goroutine could look.
		n += h.put(b[n:], now)
		if n == len(b) && len(h.lent) == 0 {
			break
		}
		h.writer.wait(now, h.brokenAt)
		if n == len(b) && len(h.lent) == 0 {
			break
		}
		if now, err = c.writable(); err != nil {
			n -= h.withdraw()
			break
		}
	}
	h.writing = false
	h.writer.cond.Broadcast()
	return n, err
}

// writable reports why a write cannot go on, if so. The time it returns is set only where somebody
// needs it: asking the clock costs more than the rest of a short write.
func (c *Conn) writable() (now time.Time, err error) {
	h := c.out
	if c.closed {
		return now, errClosed
	}
	if h.writer.timed(h.p.latency) {
		now = time.Now()
		if h.writer.expired(now) {
			return now, os.ErrDeadlineExceeded
		}
	}
	switch {
	case h.end != nil:
		return now, errBroken
	case h.broken != nil && !now.Before(h.brokenAt):
		return now, h.broken
	}
	return now, nil
}

// Close closes this end. The other end reads what was sent before and then io.EOF; when something sent
// to this end is still unread, it is reset instead, as with TCP. Reads and Writes under way on this end
// return net.ErrClosed, and so does a second Close.
func (c *Conn) Close() error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("close", errClosed)
	}
	c.close(c.in.unread() > 0)
	return nil
}

// Reset closes this end and makes the other end answer ECONNRESET, once it has read what was sent
// before: what closing a TCP connection does whose SetLinger is 0.
func (c *Conn) Reset() error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("close", errClosed)
	}
	c.close(true)
	return nil
}

func (c *Conn) close(reset bool) {
	c.closed = true
	at := c.p.arrival()
	end, broken := io.EOF, errBroken
	// A reset that arrives behind an end of stream does not undo it.
	if reset && c.out.end == nil {
		end = errReadReset
		broken = errWriteReset
	}
	c.out.finish(end, at)
	if c.p.latency == 0 {
		// Not what is lent: a Write under way must see that it was not read. And with latency the writer
		// must not find room before it can know.
		c.in.buf, c.in.off = nil, 0
	}
	if c.in.broken == nil {
		c.in.broken, c.in.brokenAt = broken, at
	}
	for _, h := range [...]*half{c.in, c.out} {
		h.reader.cond.Broadcast()
		h.writer.cond.Broadcast()
	}
	c.in.reader.stop()
	c.out.writer.stop()
}

// CloseWrite sends the end of the stream: the other end reads what was sent before and then io.EOF,
// and can still send. Writes on this end answer EPIPE. A second call does nothing.
func (c *Conn) CloseWrite() error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("close", errClosed)
	}
	c.out.finish(io.EOF, c.p.arrival())
	c.out.reader.cond.Broadcast()
	c.out.writer.cond.Broadcast()
	return nil
}

// CloseRead ends reading: Read answers io.EOF, and what arrives from then on is dropped, so that the
// other end is never blocked. A second call does nothing.
func (c *Conn) CloseRead() error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("close", errClosed)
	}
	c.in.shut = true
	c.in.discard()
	c.in.reader.cond.Broadcast()
	c.in.writer.cond.Broadcast()
	return nil
}

// LocalAddr returns the address of this end, also after Close.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end, also after Close.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines. The zero time means none. It works as long as this end is open,
// whatever the other end did, and applies to calls under way too.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.in.reader, &c.out.writer) }

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.in.reader) }

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.out.writer) }

func (c *Conn) setDeadline(t time.Time, sides ...*side) error {
	t = monotonic(t)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "set", Net: c.local.Network(), Addr: c.local, Err: errClosed}
	}
	for _, s := range sides {
		s.deadline = t
		s.cond.Broadcast()
	}
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}
