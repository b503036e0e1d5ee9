package prop

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// abilities are the optional interfaces that programs ask a connection for.
var abilities = []struct {
	name string
	has  func(nc net.Conn) bool
}{
	{"CloseWrite", can[interface{ CloseWrite() error }]},
	{"ReadFrom (sendfile, splice)", can[io.ReaderFrom]},
	{"WriteTo (splice)", can[io.WriterTo]},
	{"SyscallConn", can[syscall.Conn]},
}

func can[T any](nc net.Conn) bool { _, ok := nc.(T); return ok }

// bare is a connection that can do nothing but what it must.
type bare struct{ net.Conn }

func (m *MiddlewareSpec) interfaces(t *testing.T, _ bool) string {
	for _, plain := range []bool{false, true} {
		what := "a *net.TCPConn"
		if plain {
			what = "a connection without any of them"
		}
		failure := outside(t, func(tb *caseTB) {
			var given, got net.Conn
			seen := func(next lgrp.Handler) lgrp.Handler {
				return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
					nc = nc.(*spy).Conn.NetConn()
					if plain {
						nc = bare{nc}
					}
					given = nc
					return next(ctx, nc, c)
				}
			}
			s := newTrial(tb, testkit.Loopback(), []lgrp.Middleware{seen, m.New()}, m.Transport,
				reply(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error { got = nc; return nil }))
			s.prefix = m.Client
			s.visit()
			for _, a := range abilities {
				switch {
				case a.has(given) && !a.has(got):
					tb.Fatalf("the middleware was given %s and passes a %T on, which lacks %s", what, got, a.name)
				case !a.has(given) && a.has(got):
					tb.Fatalf("the middleware was given %s and passes a %T on, which claims %s", what, got, a.name)
				}
			}
			if past := goesPast(got); past != "" {
				tb.Fatalf("the middleware was given %s and passes a %T on, which has a %s", what, got, past)
			}
			m.copies(tb, seen)
		})
		if failure != "" {
			return failure
		}
	}
	return ""
}

// copies has the handler move bytes as io.Copy does, by ReadFrom and WriteTo where there are such.
func (m *MiddlewareSpec) copies(tb *caseTB, seen lgrp.Middleware) {
	p := sample(300) // see bytes
	var (
		got         bytes.Buffer
		nFrom, nTo  int64
		eFrom, eTo  error
		named       string
		from, wrote = "io.Copy to it", "io.Copy from it"
	)
	s := newTrial(tb, testkit.Loopback(), []lgrp.Middleware{seen, m.New()}, m.Transport,
		func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			named = fmt.Sprintf("%T", nc)
			if can[io.ReaderFrom](nc) {
				from = "ReadFrom"
			}
			if can[io.WriterTo](nc) {
				wrote = "WriteTo"
			}
			// The structs hide what else could move the bytes.
			nFrom, eFrom = io.Copy(nc, struct{ io.Reader }{bytes.NewReader(p)})
			_ = closeWrite(nc) // so that nobody waits for what is lost
			nTo, eTo = io.Copy(struct{ io.Writer }{&got}, nc)
			return errors.Join(eFrom, eTo)
		})
	s.prefix = m.Client
	nc := s.dial()
	_ = nc.SetDeadline(time.Now().Add(tb.patience()))
	in := make([]byte, len(p))
	k, err := io.ReadFull(nc, in)
	if at := differ(in[:k], p); at != "" {
		tb.Fatalf("the handler has %d bytes moved by %s of the %s it is given; what the client reads %s, then %v", len(p), from, named, at, err)
	}
	if _, err := nc.Write(p); err != nil {
		tb.Fatalf("the handler moves bytes by %s of the %s it is given; the client's write: %v", wrote, named, err)
	}
	if closeWrite(nc) != nil {
		_ = nc.Close() // LawHalfClose tells of that
	}
	s.finish(1, "the client has ended its stream")
	if nFrom != int64(len(p)) || eFrom != nil {
		tb.Fatalf("%s of the %s that the handler is given moves %d bytes and returns %d, %v", from, named, len(p), nFrom, eFrom)
	}
	if at := differ(got.Bytes(), p); at != "" || nTo != int64(len(p)) || eTo != nil {
		tb.Fatalf("the client sends %d bytes; what %s of the %s that the handler is given moves %s, and it returns %d, %v", len(p), wrote, named, cmp.Or(at, "is that"), nTo, eTo)
	}
}

// goesPast says what is wrong with a connection that has a Write or Read of its own and, by embedding the socket, that
// one's ReadFrom or WriteTo, which know nothing of it. "" if that is not so.
func goesPast(nc net.Conn) string {
	v := reflect.ValueOf(nc)
	for _, pair := range [][2]string{{"Write", "ReadFrom"}, {"Read", "WriteTo"}} {
		if ofSocket(v, pair[1]) && !ofSocket(v, pair[0]) {
			return fmt.Sprintf("%s of its own and the %s of the socket that it embeds: what is copied goes past its %s", pair[0], pair[1], pair[0])
		}
	}
	return ""
}

// ofSocket tells whether a method of v's is that of a *net.TCPConn, which v is or embeds.
func ofSocket(v reflect.Value, method string) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		return false
	case v.Type() == reflect.TypeFor[*net.TCPConn]():
		_, has := v.Type().MethodByName(method)
		return has
	case written(v.Type(), method):
		return false
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return false
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous && ofSocket(v.Field(i), method) {
			return true
		}
	}
	return false
}

// written tells whether there is a method of t's in a source file: the compiler makes those that are promoted, and
// those of a pointer to a type whose method it is.
func written(t reflect.Type, method string) bool {
	m, ok := t.MethodByName(method)
	if !ok || t.Kind() == reflect.Struct && t.Name() == "" {
		return false
	}
	f := runtime.FuncForPC(m.Func.Pointer())
	file, _ := f.FileLine(f.Entry())
	elem := t
	if t.Kind() == reflect.Pointer {
		elem = t.Elem()
	}
	name, _, _ := strings.Cut(elem.Name(), "[")
	own := strings.Contains(f.Name(), "."+name+".") || strings.Contains(f.Name(), "(*"+name+").") || strings.Contains(f.Name(), name+"[")
	return file != "<autogenerated>" && own || elem != t && written(elem, method)
}
