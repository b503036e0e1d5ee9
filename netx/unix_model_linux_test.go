package netx_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

// owner is one listener on the path, and what the model knows of it.
type owner struct {
	ln      net.Listener
	copies  []*os.File // handed out, keep the socket alive
	handed  bool
	stopped bool
	closed  bool
}

func (o *owner) alive() bool { return !o.closed || len(o.copies) > 0 }

// pathModel is a path in the file system and everybody who ever listened there.
type pathModel struct {
	path    string
	owners  []*owner
	regular bool   // a file that is no socket is there
	socket  bool   // a socket is there, of
	by      *owner // or of nobody who lives
}

func (m *pathModel) draw(t *rapid.T, pick func(*owner) bool) *owner {
	var some []*owner
	for _, o := range m.owners {
		if pick(o) {
			some = append(some, o)
		}
	}
	if len(some) == 0 {
		t.Skip("nobody to do it")
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(t, "who")]
}

func (m *pathModel) live() bool { return m.socket && m.by != nil && m.by.alive() }

func (m *pathModel) listen(t *rapid.T) {
	ln, err := netx.Listen(context.Background(), addr.MustParse("unix://"+m.path), nil)
	if m.regular || m.live() {
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("Listen on a path that is in use: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	o := &owner{ln: ln}
	m.owners = append(m.owners, o)
	m.socket, m.by = true, o
}

func (m *pathModel) close(t *rapid.T) {
	o := m.draw(t, func(o *owner) bool { return !o.closed })
	if err := o.ln.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	o.closed = true
	m.unlinked(o)
}

func (m *pathModel) stopQueue(t *rapid.T) {
	o := m.draw(t, func(o *owner) bool { return !o.closed })
	if err := netx.StopQueue(o.ln); err != nil {
		t.Fatalf("StopQueue: %v", err)
	}
	o.stopped = o.stopped || !o.handed
	m.unlinked(o)
}

// unlinked is what Close and StopQueue may do to the path.
func (m *pathModel) unlinked(o *owner) {
	if m.socket && m.by == o && !o.handed {
		m.socket, m.by = false, nil
	}
}

func (m *pathModel) handOut(t *rapid.T) {
	o := m.draw(t, func(o *owner) bool { return !o.closed })
	files, err := netx.Files(o.ln)
	if o.stopped {
		if !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Files after StopQueue: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Files: %v", err)
	}
	o.handed = true
	o.copies = append(o.copies, files...)
}

func (m *pathModel) closeCopy(t *rapid.T) {
	o := m.draw(t, func(o *owner) bool { return len(o.copies) > 0 })
	o.copies[0].Close()
	o.copies = o.copies[1:]
}

func (m *pathModel) removeByHand(t *rapid.T) {
	if err := os.Remove(m.path); err != nil && (m.regular || m.socket) {
		t.Fatalf("what should be there is not: %v", err)
	}
	m.regular, m.socket, m.by = false, false, nil
}

func (m *pathModel) writeFile(t *rapid.T) {
	if m.regular || m.socket {
		t.Skip("something is there")
	}
	if err := os.WriteFile(m.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.regular = true
}

// check compares the model with what a client and a directory listing see.
func (m *pathModel) check(t *rapid.T) {
	info, err := os.Lstat(m.path)
	switch {
	case m.regular && (err != nil || !info.Mode().IsRegular()),
		m.socket && (err != nil || info.Mode().Type() != fs.ModeSocket),
		!m.regular && !m.socket && !errors.Is(err, fs.ErrNotExist):
		t.Fatalf("at the path: %v, %v; expected a file: %t, a socket: %t", info, err, m.regular, m.socket)
	}
	if _, err := os.Lstat(m.path + ".netx-lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the lock file was left behind")
	}
	c, err := net.Dial("unix", m.path)
	if err == nil {
		defer c.Close()
	}
	if (err == nil) != m.live() {
		t.Fatalf("dialling: %v; expected an owner who lives: %t", err, m.live())
	}
	if m.live() && !m.by.closed {
		got, err := netx.AcceptQueued(m.by.ln)
		if err != nil {
			t.Fatalf("the connection went to somebody else: %v", err)
		}
		got.Close()
	}
}

func TestUnixPathModel(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		m := &pathModel{path: filepath.Join(dir, strconv.Itoa(round))}
		t.Cleanup(func() {
			for _, o := range m.owners {
				o.ln.Close()
				for _, f := range o.copies {
					f.Close()
				}
			}
		})
		t.Repeat(map[string]func(*rapid.T){
			"":             m.check,
			"listen":       m.listen,
			"close":        m.close,
			"stop queue":   m.stopQueue,
			"hand out":     m.handOut,
			"close a copy": m.closeCopy,
			"remove":       m.removeByHand,
			"write a file": m.writeFile,
		})
	})
}
