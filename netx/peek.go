package netx

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// Peek returns the next n bytes of nc without consuming them, and a connection
// that still has them to read. Use that one from then on, also after an error.
//
// Peek waits for n bytes and reads no more than n. If they do not all come it
// returns those that did, with the error that nc's Read gave: io.EOF, or a
// timeout if nc has a read deadline. No byte is ever lost: a later Peek, with the
// deadline moved, returns them again and waits for the rest.
//
// Peeking again at the returned connection uses the same wrapper. It has those
// of the optional methods that nc has, see [Wrap]. While peeked bytes wait to be
// read, SyscallConn fails and [Underlying] stops there (NetConn returns nil), for
// both would lead past those bytes. Once they are read it is as nc was but for
// the type: Underlying finds a *tls.Conn. Where there was nothing to peek, nc
// itself is returned.
//
// The slice stays valid, and must not be written to. Peek counts as a Read: it
// is not to be called beside another.
func Peek(nc net.Conn, n int) ([]byte, net.Conn, error) { return PeekAtLeast(nc, n, n) }

// PeekAtLeast is [Peek] for protocols whose length is not known beforehand. It
// waits until atLeast bytes are there, and returns with them what else has
// arrived, most bytes in all. To go on while a match needs more:
//
//	for {
//		head, nc, err = netx.PeekAtLeast(nc, len(head)+1, 16<<10)
//		…
//	}
//
// The buffer grows with what arrives, and is let go when it has been read.
func PeekAtLeast(nc net.Conn, atLeast, most int) ([]byte, net.Conn, error) {
	most = max(most, atLeast)
	p, again := peekedOf(nc)
	wrapped := nc
	if !again {
		if atLeast <= 0 {
			return nil, nc, nil
		}
		p = &peeked{}
		p.Conn = nc
		wrapped = Wrap(p)
	}
	err := p.fill(atLeast, most)
	head := p.pending()
	if len(head) == 0 && !again {
		wrapped = nc
	}
	k := min(len(head), max(most, 0))
	return head[:k:k], wrapped, err
}

// peeked is a connection with bytes that were read ahead.
type peeked struct {
	Through
	mu  sync.Mutex // for buf only: never held while reading or writing
	buf []byte     // nil when nothing is pending
}

func peekedOf(nc net.Conn) (*peeked, bool) {
	if l, ok := nc.(layered); ok {
		p, ok := l.layer().(*peeked)
		return p, ok
	}
	return nil, false
}

var errPeeked = errors.New("netx: system call access: peeked bytes have not been read yet")

const peekFirst = 1 << 10 // a ClientHello mostly needs one or two of these

// fill reads until atLeast bytes are pending, and never more than most.
func (p *peeked) fill(atLeast, most int) error {
	buf := p.pending()
	for empty := 0; len(buf) < atLeast; {
		if len(buf) == cap(buf) {
			// By what has come, not by atLeast: a length that a peer
			// announced is no reason to set memory aside.
			grown := make([]byte, len(buf), min(most, max(2*len(buf), peekFirst)))
			copy(grown, buf)
			buf = grown
		}
		n, err := p.Conn.Read(buf[len(buf):min(cap(buf), most)])
		if n > 0 {
			buf, empty = buf[:len(buf)+n], 0
			p.setPending(buf)
		} else if empty++; err == nil && empty == 100 {
			err = io.ErrNoProgress
		}
		// As io.ReadAtLeast does: the next Read has the error again.
		if err != nil && len(buf) < atLeast {
			return err
		}
	}
	return nil
}

func (p *peeked) pending() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf
}

func (p *peeked) setPending(buf []byte) {
	if len(buf) == 0 {
		buf = nil
	}
	p.mu.Lock()
	p.buf = buf
	p.mu.Unlock()
}

// consume drops n pending bytes, having copied them to dst if that is not nil.
func (p *peeked) consume(dst []byte, n int) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buf == nil {
		return 0, false
	}
	n = min(n, len(p.buf))
	copy(dst, p.buf[:n])
	if p.buf = p.buf[n:]; len(p.buf) == 0 {
		p.buf = nil
	}
	return n, true
}

// Read returns pending bytes alone, without asking the connection for more.
func (p *peeked) Read(b []byte) (int, error) {
	if n, ok := p.consume(b, len(b)); ok {
		return n, nil
	}
	return p.Conn.Read(b)
}

// WriteTo leaves pending what w does not take.
func (p *peeked) WriteTo(w io.Writer) (int64, error) {
	var head int
	if buf := p.pending(); buf != nil {
		var err error
		head, err = w.Write(buf)
		p.consume(nil, head)
		if err == nil && head < len(buf) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return int64(head), err
		}
	}
	n, err := p.Through.WriteTo(w)
	return int64(head) + n, err
}

// Close drops what is pending: a closed connection has nothing to read.
func (p *peeked) Close() error {
	p.setPending(nil)
	return p.Conn.Close()
}

// NetConn returns the connection beneath, or nil while peeked bytes are pending.
func (p *peeked) NetConn() net.Conn {
	if p.pending() != nil {
		return nil
	}
	return p.Conn
}

func (p *peeked) SyscallConn() (syscall.RawConn, error) {
	if p.pending() != nil {
		return nil, errPeeked
	}
	return p.Through.SyscallConn()
}
