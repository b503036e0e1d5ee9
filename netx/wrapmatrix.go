package netx

import (
	"io"
	"net"
	"syscall"
	"time"
)

// What [Wrap] returns: a layer under each of the sixteen sets of optional
// methods. Every type adds one method to the one it embeds and is, in memory,
// the layer's pointer, so that turning it into a net.Conn allocates nothing.
// The letters are R ReadFrom, W WriteTo, C CloseWrite, S SyscallConn.
//
// A wrapper that embedded the layer would have all of the layer's methods, and
// Go has no way to take one away; hence the forwarding. Read is forwarded by
// every type itself, since what an idle connection waits in is stack, and a
// promoted method of a generic type is a frame more.

// layered is how this package tells its own wrappers from those of others.
type layered interface{ layer() any }

type layer0[L Layer] struct{ l L }

func (w layer0[L]) Read(p []byte) (int, error)         { return w.l.Read(p) }
func (w layer0[L]) Write(p []byte) (int, error)        { return w.l.Write(p) }
func (w layer0[L]) Close() error                       { return w.l.Close() }
func (w layer0[L]) LocalAddr() net.Addr                { return w.l.LocalAddr() }
func (w layer0[L]) RemoteAddr() net.Addr               { return w.l.RemoteAddr() }
func (w layer0[L]) SetDeadline(t time.Time) error      { return w.l.SetDeadline(t) }
func (w layer0[L]) SetReadDeadline(t time.Time) error  { return w.l.SetReadDeadline(t) }
func (w layer0[L]) SetWriteDeadline(t time.Time) error { return w.l.SetWriteDeadline(t) }
func (w layer0[L]) NetConn() net.Conn                  { return w.l.NetConn() }
func (w layer0[L]) layer() any                         { return w.l }

// Not methods: they would be in every set.
func readFrom[L Layer](w layer0[L], r io.Reader) (int64, error) {
	return any(w.l).(io.ReaderFrom).ReadFrom(r)
}
func writeTo[L Layer](w layer0[L], dst io.Writer) (int64, error) {
	return any(w.l).(io.WriterTo).WriteTo(dst)
}
func closeWrite[L Layer](w layer0[L]) error {
	return any(w.l).(closeWriter).CloseWrite()
}
func syscallConn[L Layer](w layer0[L]) (syscall.RawConn, error) {
	return any(w.l).(syscall.Conn).SyscallConn()
}

type layerR[L Layer] struct{ layer0[L] }
type layerW[L Layer] struct{ layer0[L] }
type layerRW[L Layer] struct{ layerR[L] }

func (w layerR[L]) ReadFrom(r io.Reader) (int64, error)  { return readFrom(w.layer0, r) }
func (w layerW[L]) WriteTo(dst io.Writer) (int64, error) { return writeTo(w.layer0, dst) }
func (w layerRW[L]) WriteTo(dst io.Writer) (int64, error) {
	return writeTo(w.layer0, dst)
}

type layerC[L Layer] struct{ layer0[L] }
type layerRC[L Layer] struct{ layerR[L] }
type layerWC[L Layer] struct{ layerW[L] }
type layerRWC[L Layer] struct{ layerRW[L] }

func (w layerC[L]) CloseWrite() error   { return closeWrite(w.layer0) }
func (w layerRC[L]) CloseWrite() error  { return closeWrite(w.layer0) }
func (w layerWC[L]) CloseWrite() error  { return closeWrite(w.layer0) }
func (w layerRWC[L]) CloseWrite() error { return closeWrite(w.layer0) }

type layerS[L Layer] struct{ layer0[L] }
type layerRS[L Layer] struct{ layerR[L] }
type layerWS[L Layer] struct{ layerW[L] }
type layerRWS[L Layer] struct{ layerRW[L] }
type layerCS[L Layer] struct{ layerC[L] }
type layerRCS[L Layer] struct{ layerRC[L] }
type layerWCS[L Layer] struct{ layerWC[L] }
type layerRWCS[L Layer] struct{ layerRWC[L] }

func (w layerS[L]) SyscallConn() (syscall.RawConn, error)    { return syscallConn(w.layer0) }
func (w layerRS[L]) SyscallConn() (syscall.RawConn, error)   { return syscallConn(w.layer0) }
func (w layerWS[L]) SyscallConn() (syscall.RawConn, error)   { return syscallConn(w.layer0) }
func (w layerRWS[L]) SyscallConn() (syscall.RawConn, error)  { return syscallConn(w.layer0) }
func (w layerCS[L]) SyscallConn() (syscall.RawConn, error)   { return syscallConn(w.layer0) }
func (w layerRCS[L]) SyscallConn() (syscall.RawConn, error)  { return syscallConn(w.layer0) }
func (w layerWCS[L]) SyscallConn() (syscall.RawConn, error)  { return syscallConn(w.layer0) }
func (w layerRWCS[L]) SyscallConn() (syscall.RawConn, error) { return syscallConn(w.layer0) }

func (w layerR[L]) Read(p []byte) (int, error)    { return w.l.Read(p) }
func (w layerW[L]) Read(p []byte) (int, error)    { return w.l.Read(p) }
func (w layerRW[L]) Read(p []byte) (int, error)   { return w.l.Read(p) }
func (w layerC[L]) Read(p []byte) (int, error)    { return w.l.Read(p) }
func (w layerRC[L]) Read(p []byte) (int, error)   { return w.l.Read(p) }
func (w layerWC[L]) Read(p []byte) (int, error)   { return w.l.Read(p) }
func (w layerRWC[L]) Read(p []byte) (int, error)  { return w.l.Read(p) }
func (w layerS[L]) Read(p []byte) (int, error)    { return w.l.Read(p) }
func (w layerRS[L]) Read(p []byte) (int, error)   { return w.l.Read(p) }
func (w layerWS[L]) Read(p []byte) (int, error)   { return w.l.Read(p) }
func (w layerRWS[L]) Read(p []byte) (int, error)  { return w.l.Read(p) }
func (w layerCS[L]) Read(p []byte) (int, error)   { return w.l.Read(p) }
func (w layerRCS[L]) Read(p []byte) (int, error)  { return w.l.Read(p) }
func (w layerWCS[L]) Read(p []byte) (int, error)  { return w.l.Read(p) }
func (w layerRWCS[L]) Read(p []byte) (int, error) { return w.l.Read(p) }
