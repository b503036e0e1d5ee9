package middleware

import (
	"io"
	"net"
	"sync/atomic"

	"github.com/listengroup/listengroup/netx"
)

// tapConn shows what passes through it to a function, up to a number of bytes
// in each direction. So long it moves bytes by Read and Write, for the kernel's
// ways would not show them; from then on it is out of the way, splice included.
type tapConn struct {
	netx.Base
	see     func(sent bool, p []byte) // called on the goroutine that reads or writes
	in, out atomic.Int64              // bytes still to be shown
}

func tap(nc net.Conn, most int64, see func(sent bool, p []byte)) net.Conn {
	t := &tapConn{see: see}
	t.Conn = nc
	t.in.Store(most)
	t.out.Store(most)
	return netx.Wrap(t)
}

// show shows as much of p as is left to be.
func (t *tapConn) show(left *atomic.Int64, sent bool, p []byte) {
	if len(p) == 0 || left.Load() <= 0 {
		return
	}
	n := int64(len(p))
	if over := left.Add(-n); over < 0 {
		n = max(n+over, 0)
	}
	if n > 0 {
		t.see(sent, p[:n])
	}
}

func (t *tapConn) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.show(&t.in, false, p[:n])
	return n, err
}

func (t *tapConn) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.show(&t.out, true, p[:n])
	return n, err
}

func (t *tapConn) ReadFrom(r io.Reader) (int64, error) { return t.copy(&t.out, t.Conn, t, r, r) }

func (t *tapConn) WriteTo(w io.Writer) (int64, error) { return t.copy(&t.in, w, w, t, t.Conn) }

// copy copies from shown to showing, one of which is t, while there is something
// left to be shown, and then from src to dst, which are what lies beneath.
func (t *tapConn) copy(left *atomic.Int64, dst, showing io.Writer, shown, src io.Reader) (total int64, err error) {
	for left.Load() > 0 {
		// Hidden, so that it does not come back here.
		n, err := io.CopyN(struct{ io.Writer }{showing}, struct{ io.Reader }{shown}, min(left.Load(), 32<<10))
		if total += n; err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
	n, err := io.Copy(dst, src)
	return total + n, err
}
