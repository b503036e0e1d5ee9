package netx

import (
	"io"
	"math"
	"net"
	"sync"
	"syscall"
)

// Meter is what a [Layer] that counts or limits bytes embeds. It moves them by
// Read, Write, ReadFrom and WriteTo, calls the layer's hooks before and after
// each step, and keeps splice and sendfile, which it does in steps of at most
// 256 KiB so that the hooks learn of a long copy while it lasts.
//
// A layer overrides the hooks it needs, the others do nothing:
//
//	type patient struct {
//		netx.Meter
//		last atomic.Int64
//	}
//
//	func (c *patient) AfterRead(int) { c.last.Store(now()) }
//
//	nc = netx.Metered(nc, &patient{})
//
// The layer and its state are one allocation; Meter takes 32 bytes of it.
// Hooks are called on the goroutine that reads or writes, several at once when
// several do. A limit can split one Write into several, so writers that rely on
// concurrent Writes staying whole need a lock of their own.
//
// With a *net.UnixConn beneath, which has neither ReadFrom nor WriteTo, io.Copy
// goes through Read and Write: splice and sendfile are lost there.
type Meter struct {
	Base
	hooks MeterHooks
}

// MeterHooks is a layer that embeds [Meter]. The hooks see every byte exactly
// once, in either direction.
type MeterHooks interface {
	Layer

	// BeforeRead is called before at most most bytes are read, and returns how
	// many may be: from 1 to most, a value outside is taken as the nearest. It
	// may wait. An error ends the Read or WriteTo, which returns it. It takes
	// nothing: what is read in the end may be less, AfterRead tells.
	BeforeRead(most int) (int, error)

	// AfterRead is called when n bytes have been read, n > 0. Of a WriteTo whose
	// destination fails, bytes that the kernel had taken off the connection but
	// could not hand on may be missing.
	AfterRead(n int)

	// BeforeWrite and AfterWrite are the same for writing.
	BeforeWrite(most int) (int, error)
	AfterWrite(n int)

	meter() *Meter
}

// Metered puts m, which embeds a zero [Meter], over nc and returns it as [Wrap]
// does.
func Metered[M MeterHooks](nc net.Conn, m M) net.Conn {
	*m.meter() = Meter{Base: Base{Conn: nc}, hooks: m}
	return Wrap(m)
}

func (m *Meter) meter() *Meter { return m }

// BeforeRead allows most bytes.
func (m *Meter) BeforeRead(most int) (int, error) { return most, nil }

// AfterRead does nothing.
func (m *Meter) AfterRead(n int) {}

// BeforeWrite allows most bytes.
func (m *Meter) BeforeWrite(most int) (int, error) { return most, nil }

// AfterWrite does nothing.
func (m *Meter) AfterWrite(n int) {}

// Read reads from the wrapped connection as many bytes as BeforeRead allows. It
// is a meteredReader's Read in one frame: an idle connection has one for each
// layer on its stack.
func (m *Meter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return m.Conn.Read(p)
	}
	most, err := m.hooks.BeforeRead(len(p))
	if err != nil {
		return 0, err
	}
	n, err := m.Conn.Read(p[:min(max(most, 1), len(p))])
	if n > 0 {
		m.hooks.AfterRead(n)
	}
	return n, err
}

// Write writes p to the wrapped connection in pieces that BeforeWrite allows.
func (m *Meter) Write(p []byte) (int, error) { return m.writeSteps(m.Conn, p, outward) }

// ReadFrom copies from r to the wrapped connection, in the kernel where the
// wrapped connection can.
func (m *Meter) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := m.Conn.(io.ReaderFrom); ok && isKernelSource(r) {
		return m.copySteps(rf, r, outward)
	}
	return copyBytes(meteredWriter{m, m.Conn, outward}, r)
}

// WriteTo copies from the wrapped connection to w, in the kernel where it can.
func (m *Meter) WriteTo(w io.Writer) (int64, error) {
	if wt, ok := m.Conn.(io.WriterTo); ok && isKernelTarget(w) {
		return wt.WriteTo(meteredTarget{meteredWriter{m, w, inward}})
	}
	return copyBytes(w, m)
}

// A direction is seen from the wrapped connection: inward bytes are read from
// it, outward bytes written to it.
type direction bool

const (
	inward  direction = false
	outward direction = true
)

func (m *Meter) before(d direction, most int) (int, error) {
	var n int
	var err error
	if d == outward {
		n, err = m.hooks.BeforeWrite(most)
	} else {
		n, err = m.hooks.BeforeRead(most)
	}
	return min(max(n, 1), most), err
}

func (m *Meter) after(d direction, n int) {
	switch {
	case n <= 0:
	case d == outward:
		m.hooks.AfterWrite(n)
	default:
		m.hooks.AfterRead(n)
	}
}

func (m *Meter) writeSteps(dst io.Writer, p []byte, d direction) (n int, err error) {
	if len(p) == 0 {
		return dst.Write(p)
	}
	for n < len(p) && err == nil {
		var allowed, k int
		if allowed, err = m.before(d, len(p)-n); err != nil {
			break
		}
		k, err = dst.Write(p[n : n+allowed])
		m.after(d, k)
		if n += k; k < allowed && err == nil {
			err = io.ErrShortWrite
		}
	}
	return n, err
}

// meterStep bounds how far what the hooks know lags behind a splice.
const meterStep = 256 << 10

// copySteps has dst read from r until its end, a step at a time.
func (m *Meter) copySteps(dst io.ReaderFrom, r io.Reader, d direction) (total int64, err error) {
	left := int64(math.MaxInt64)
	// The kernel's paths in package net look through one LimitedReader only.
	whole, limited := r.(*io.LimitedReader)
	if limited {
		r, left = whole.R, whole.N
	}
	step := io.LimitedReader{R: r}
	for left > 0 && err == nil {
		var k int
		if k, err = m.before(d, int(min(left, meterStep))); err != nil {
			break
		}
		var n int64
		step.N = int64(k)
		n, err = dst.ReadFrom(&step)
		m.after(d, int(n))
		total, left = total+n, left-n
		if limited {
			whole.N -= n
		}
		if n < int64(k) {
			break // the end of r
		}
	}
	return total, err
}

// meteredReader is r, what the wrapped connection's bytes come from, as seen by
// whoever reads that connection.
type meteredReader struct {
	m *Meter
	r io.Reader
}

func (r meteredReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return r.r.Read(p)
	}
	k, err := r.m.before(inward, len(p))
	if err != nil {
		return 0, err
	}
	n, err := r.r.Read(p[:k])
	r.m.after(inward, n)
	return n, err
}

type meteredWriter struct {
	m *Meter
	w io.Writer
	d direction
}

func (w meteredWriter) Write(p []byte) (int, error) { return w.m.writeSteps(w.w, p, w.d) }

// meteredTarget stands for the destination of a WriteTo. The wrapped
// connection's WriteTo comes down to ReadFrom with the bare socket as source,
// at whatever depth that lies, and there the steps are made.
type meteredTarget struct{ meteredWriter }

func (t meteredTarget) ReadFrom(r io.Reader) (int64, error) {
	if !isKernelSource(r) {
		return copyBytes(t.w, meteredReader{t.m, r})
	}
	if dst, ok := t.w.(*net.UnixConn); ok {
		if n, handled, err := spliceToUnix(dst, r, t.m); handled {
			return n, err
		}
		return copyBytes(t.w, meteredReader{t.m, r})
	}
	return t.m.copySteps(t.w.(io.ReaderFrom), r, inward)
}

// isKernelSource reports whether r may be a socket or a file that the kernel
// can copy from by itself. Layers are not: they want to see the bytes.
func isKernelSource(r io.Reader) bool {
	if lr, ok := r.(*io.LimitedReader); ok {
		r = lr.R
	}
	_, ours := r.(layered)
	_, sys := r.(syscall.Conn)
	return sys && !ours
}

// isKernelTarget reports whether w may be a socket or a file that the kernel
// can copy to by itself, or a layer over one.
func isKernelTarget(w io.Writer) bool {
	if _, ok := w.(*net.UnixConn); ok {
		return true
	}
	const both = canReadFrom | canSyscallConn
	if t, ok := w.(meteredTarget); ok {
		return isKernelTarget(t.w)
	}
	return methodsOf(w)&both == both
}

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBytes copies through a buffer from the pool. It hides what src and dst
// could do themselves, which would allocate a buffer or come back here.
func copyBytes(dst io.Writer, src io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf[:])
}
