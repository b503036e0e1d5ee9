package memconn_test

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/netx/memconn"
)

// model is what a connection is, without goroutines: every call that would wait ends at its deadline.
type model struct {
	size int
	end  [2]modelEnd
}

type modelEnd struct {
	closed bool
	unread []byte
	shut   bool  // CloseRead
	fin    error // what reading ends with
	broken error // what writing fails with
}

func (m *model) write(e int, b []byte) (int, error) {
	self, peer := &m.end[e], &m.end[1-e]
	switch {
	case self.closed:
		return 0, net.ErrClosed
	case peer.fin != nil: // by our CloseWrite: Close was above
		return 0, syscall.EPIPE
	case self.broken != nil:
		return 0, self.broken
	case peer.shut:
		return len(b), nil
	}
	n := min(len(b), m.size-len(peer.unread))
	peer.unread = append(peer.unread, b[:n]...)
	if n < len(b) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (m *model) read(e, n int) ([]byte, error) {
	self := &m.end[e]
	switch {
	case self.closed:
		return nil, net.ErrClosed
	case n == 0:
		return nil, nil
	case len(self.unread) > 0:
		n = min(n, len(self.unread))
		got := self.unread[:n]
		self.unread = self.unread[n:]
		return got, nil
	case self.shut:
		return nil, io.EOF
	case self.fin != nil:
		return nil, self.fin
	}
	return nil, os.ErrDeadlineExceeded
}

func (m *model) close(e int, reset bool) error {
	self, peer := &m.end[e], &m.end[1-e]
	if self.closed {
		return net.ErrClosed
	}
	fin, broken := io.EOF, error(syscall.EPIPE)
	if peer.fin == nil && (reset || len(self.unread) > 0) {
		fin, broken = syscall.ECONNRESET, syscall.ECONNRESET
	}
	self.closed, self.unread = true, nil
	if peer.fin == nil {
		peer.fin = fin
	}
	if peer.broken == nil {
		peer.broken = broken
	}
	return nil
}

func (m *model) closeWrite(e int) error {
	if m.end[e].closed {
		return net.ErrClosed
	}
	if m.end[1-e].fin == nil {
		m.end[1-e].fin = io.EOF
	}
	return nil
}

func (m *model) closeRead(e int) error {
	if m.end[e].closed {
		return net.ErrClosed
	}
	m.end[e].shut, m.end[e].unread = true, nil
	return nil
}

// Every sequence of calls answers as the model does.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			m := &model{size: rapid.IntRange(1, 20).Draw(rt, "size")}
			var ends [2]*memconn.Conn
			ends[0], ends[1] = memconn.Pair(clientAddr, serverAddr, &memconn.Options{Size: m.size})
			sent := byte(0)
			same := func(what string, got, want error) {
				require.ErrorIs(rt, got, want, what)
				if want == nil {
					require.NoError(rt, got, what)
				}
			}
			end := rapid.IntRange(0, 1)
			write := func(rt *rapid.T) {
				e, b := end.Draw(rt, "end"), make([]byte, rapid.IntRange(0, 30).Draw(rt, "n"))
				for i := range b {
					sent++
					b[i] = sent
				}
				ends[e].SetDeadline(time.Now().Add(time.Second))
				n, err := ends[e].Write(b)
				want, wantErr := m.write(e, b)
				same("Write", err, wantErr)
				require.Equal(rt, want, n)
			}
			read := func(rt *rapid.T) {
				e, b := end.Draw(rt, "end"), make([]byte, rapid.IntRange(0, 30).Draw(rt, "n"))
				ends[e].SetDeadline(time.Now().Add(time.Second))
				n, err := ends[e].Read(b)
				want, wantErr := m.read(e, len(b))
				same("Read", err, wantErr)
				require.Equal(rt, string(want), string(b[:n]))
			}
			finish := func(rt *rapid.T) {
				e := end.Draw(rt, "end")
				switch how := rapid.SampledFrom([]string{"CloseWrite", "CloseRead", "Close", "Reset"}).Draw(rt, "how"); how {
				case "CloseWrite":
					same(how, ends[e].CloseWrite(), m.closeWrite(e))
				case "CloseRead":
					same(how, ends[e].CloseRead(), m.closeRead(e))
				case "Close":
					same(how, ends[e].Close(), m.close(e, false))
				case "Reset":
					same(how, ends[e].Reset(), m.close(e, true))
				}
			}
			// Ends are rarer than the rest, else most sequences would be over before they begin.
			rt.Repeat(map[string]func(*rapid.T){
				"write": write, "write too": write, "read": read, "read too": read, "finish": finish,
			})
		})
	})
}
