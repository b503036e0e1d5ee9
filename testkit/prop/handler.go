package prop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// ConnHandlerSpec says what TestConnHandler has to know of a handler. The zero value is for one that takes
// any bytes.
type ConnHandlerSpec struct {
	// Input draws what a client sends in one conversation, after which it half-closes. It should draw
	// several requests, some of them wrong. Defaults to Payloads(0).
	Input *rapid.Generator[Payload]

	// Client is what a client does when it has connected, as in MiddlewareSpec. Defaults to nothing.
	Client func(nc net.Conn) (net.Conn, error)

	// Use is the middleware that the handler relies on. Defaults to none.
	Use []lgrp.Middleware

	// Context is the listener's context, a value of the handler's LCtx. Defaults to LCtx's zero value.
	Context any

	// Normal takes out of an answer what may differ from connection to connection, such as its id or a date.
	// Defaults to nothing.
	Normal func(answer []byte) []byte

	// Deviations are the laws that the handler breaks on purpose, each with the reason. A law that is
	// declared to be broken and is not, is a failure.
	Deviations map[Law]string

	// Broken is told of each law that does not hold, with what was found, and the test does not fail. Defaults to
	// nil: the test fails.
	Broken func(law Law, found string)
}

// The laws of handlers, in the order in which TestConnHandler tries them. LawPeerGone, LawClosed and
// LawConcurrent are laws of handlers too.
const (
	LawChunking Law = "chunking does not matter"
	LawNoPanic  Law = "does not panic"
	LawDrained  Law = "finishes when drained"
)

// TestConnHandler tries the laws of handlers on h, each as a subtest named for it, in bubbles. That nothing is
// leaked is checked with every one of them. What breaks a law is shown for the smallest case, with what the
// law says.
func TestConnHandler[LCtx, CCtx any](t *testing.T, h lgrp.ConnHandler[LCtx, CCtx], spec ConnHandlerSpec) {
	t.Helper()
	if h == nil {
		t.Fatalf("prop: TestConnHandler with a nil handler")
	}
	lctx, ok := spec.Context.(LCtx)
	if spec.Context != nil && !ok {
		t.Fatalf("prop: ConnHandlerSpec.Context is a %T, the handler wants a %T", spec.Context, lctx)
	}
	if spec.Input == nil {
		spec.Input = Payloads(0)
	}
	if spec.Normal == nil {
		spec.Normal = func(b []byte) []byte { return b }
	}
	r := &handlerTrial{spec: spec, start: func(tb *caseTB, tr testkit.Transport) *trial {
		s := newTypedTrial(tb, tr, spec.Use, false, h, lctx)
		s.prefix = spec.Client
		return s
	}}
	enforce(t, r.laws(), spec.Deviations, spec.Broken)
}

// handlerTrial is a handler whose types have been forgotten.
type handlerTrial struct {
	spec  ConnHandlerSpec
	start func(tb *caseTB, tr testkit.Transport) *trial
}

func (r *handlerTrial) laws() []law {
	return []law{
		{LawChunking, "TCP keeps the bytes and their order, not how they were written: a request may arrive in pieces, and several may arrive in one Read. The answers must be the same. (io.ReadFull, bufio.Reader and bufio.Scanner see to it; a single Read does not.)", drawn(r.chunking)},
		{LawNoPanic, "whatever a client sends is not the program's fault. A panic costs a log record with a stack, and the goroutine.", drawn(r.noPanic)},
		{LawPeerGone, "when the peer closes or resets the connection, after any byte, the handler returns; otherwise clients that went away are kept for ever.", drawn(r.peerGone)},
		{LawClosed, "when the group closes the connection the handler returns; otherwise it cannot be killed and a shutdown reports it as stuck.", drawn(r.closed)},
		{LawConcurrent, "one handler serves all connections at the same time, each as if it were alone. Run the test with -race too.", drawn(r.concurrent)},
		{LawDrained, "when a drain begins, an idle connection ends without waiting for its client: OnDrain and Draining tell the handler. Otherwise every shutdown takes all of its grace.", drawn(r.drained)},
	}
}

const patience = time.Hour // virtual

// seeNormal is for messages of laws that compare answers: it explains those that differ in figures only.
func seeNormal(a, b []byte) string {
	letters := func(b []byte) []byte {
		return bytes.Map(func(r rune) rune {
			if unicode.IsDigit(r) {
				return -1
			}
			return r
		}, b)
	}
	if !bytes.Equal(letters(a), letters(b)) {
		return ""
	}
	return " (what differs from connection to connection, such as its id or a date, is for ConnHandlerSpec.Normal to take out)"
}

// converse sends p and half-closes, and returns all that the handler answers.
func (r *handlerTrial) converse(nc net.Conn, p Payload, cut Chunking) ([]byte, error) {
	_ = nc.SetDeadline(time.Now().Add(patience))
	go func() {
		if trickle(nc, p, cut) == nil {
			_ = closeWrite(nc)
		}
	}()
	answer, err := io.ReadAll(nc)
	if errors.Is(err, net.ErrClosed) {
		return nil, err
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return answer, fmt.Errorf("the client half-closed, and %v later the handler has not finished", patience)
	}
	return r.spec.Normal(answer), nil // a reset ends an answer too
}

func (r *handlerTrial) chunking(tb *caseTB, rt *rapid.T) {
	p := r.spec.Input.Draw(rt, "input")
	cut := Chunkings().Draw(rt, "sent")
	tb.drew("%q %v", []byte(p), cut)
	// Each in a group of its own, so that both are its first connection.
	whole, err := r.converse(r.start(tb, testkitDefault).dial(), p, nil)
	if err != nil {
		tb.Fatalf("sent %v: %v", p, err)
	}
	pieces, err := r.converse(r.start(tb, testkitDefault).dial(), p, cut)
	if err != nil {
		tb.Fatalf("sent %v %v: %v", p, cut, err)
	}
	if string(whole) != string(pieces) {
		tb.Fatalf("sent %v in one piece the handler answers %v, and %v it answers %v%s", p, Payload(whole), cut, Payload(pieces), seeNormal(whole, pieces))
	}
}

func (r *handlerTrial) noPanic(tb *caseTB, rt *rapid.T) {
	p := r.spec.Input.Draw(rt, "input")
	tb.drew("%q", []byte(p))
	s := r.start(tb, testkitDefault)
	nc := s.dial()
	_, _ = r.converse(nc, p, nil)
	_ = nc.Close()
	if e := s.finish(1, fmt.Sprintf("the client sent %v and closed", p))[0]; e.accident() {
		tb.Fatalf("sent %v the handler panics: %v", p, e.panicked)
	}
}

// begin sends a part of a conversation and returns how that can be told.
func (r *handlerTrial) begin(s *trial, rt *rapid.T) (nc net.Conn, said string) {
	p := r.spec.Input.Draw(rt, "input")
	n := rapid.IntRange(0, len(p)).Draw(rt, "of it sent")
	nc = s.dial()
	go func() { _, _ = io.Copy(io.Discard, nc) }() // so that the handler is not held up by its answers
	_ = trickle(nc, p[:n], nil)
	time.Sleep(time.Second)
	return nc, fmt.Sprintf("the client sent %v", p[:n])
}

func (r *handlerTrial) peerGone(tb *caseTB, rt *rapid.T) {
	reset := rapid.Bool().Draw(rt, "reset")
	s := r.start(tb, testkitDefault)
	_, said := r.begin(s, rt)
	how := "closed"
	if raw := s.sock(0).Peer(); reset {
		how = "reset"
		_ = raw.Reset()
	} else {
		_ = raw.Close()
	}
	s.finish(1, said+" and "+how+" the connection")
}

func (r *handlerTrial) closed(tb *caseTB, rt *rapid.T) {
	s := r.start(tb, testkitDefault)
	_, said := r.begin(s, rt)
	s.group.Kill(s.only(), nil)
	s.finish(1, said+", then the group closed the connection")
}

func (r *handlerTrial) drained(tb *caseTB, rt *rapid.T) {
	s := r.start(tb, testkitDefault)
	_, said := r.begin(s, rt)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.group.Drain(ctx, nil); err != nil {
		tb.Fatalf("%s, then the group was drained; a minute later the handler had to be forced", said)
	}
}

func (r *handlerTrial) concurrent(tb *caseTB, rt *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(rt, "clients")
	inputs := make([]Payload, n)
	alone := make([]string, n)
	for i := range n {
		inputs[i] = r.spec.Input.Draw(rt, "input")
		answer, err := r.converse(r.start(tb, testkitDefault).dial(), inputs[i], Chunking{1})
		if err != nil {
			tb.Fatalf("sent %v: %v", inputs[i], err)
		}
		alone[i] = string(answer)
	}
	s := r.start(tb, testkitDefault)
	done := make(chan string, n)
	for i := range n {
		nc := s.dial()
		go func() {
			answer, err := r.converse(nc, inputs[i], Chunking{1})
			switch {
			case err != nil:
				done <- fmt.Sprintf("sent %v: %v", inputs[i], err)
			case string(answer) != alone[i]:
				done <- fmt.Sprintf("sent %v the handler answers %v alone, and %v as one of %d clients%s", inputs[i], Payload(alone[i]), Payload(answer), n, seeNormal([]byte(alone[i]), answer))
			default:
				done <- ""
			}
		}()
	}
	for range n {
		if f := <-done; f != "" {
			tb.Errorf("%s", f)
		}
	}
}
