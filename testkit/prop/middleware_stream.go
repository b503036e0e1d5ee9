package prop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

var testkitDefault = testkit.Buffered(0, 0)

// trickle writes p in pieces, a moment apart, so that the other end sees them as they were cut.
func trickle(nc net.Conn, p []byte, cut Chunking) error {
	for i, piece := range cut.Split(p) {
		if i > 0 {
			time.Sleep(time.Millisecond)
		}
		if _, err := nc.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func (m *MiddlewareSpec) bytes(t *testing.T, first bool) string {
	if failure := inBubble(t, func(tb *caseTB) { m.bulk(tb, testkit.Buffered(0, 0), 100_000) }); failure != "" {
		return failure
	}
	// In real time and so few that one which limits rates lets them pass.
	if failure := outside(t, func(tb *caseTB) { m.bulk(tb, testkit.Loopback(), 300) }); failure != "" {
		return failure
	}
	return drawn(func(tb *caseTB, rt *rapid.T) {
		tr := Transports().Draw(rt, "transport")
		up, down := Payloads(0).Draw(rt, "to the handler"), Payloads(0).Draw(rt, "to the client")
		cutUp, cutDown := Chunkings().Draw(rt, "sent"), Chunkings().Draw(rt, "answered")
		size := rapid.IntRange(1, 32).Draw(rt, "the handler's buffer")
		tb.drew("%v %q %q %v %v %d", tr, []byte(up), []byte(down), cutUp, cutDown, size)
		got := make(chan []byte, 1)
		s := m.startOn(tb, tr, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			sent := make(chan error, 1)
			go func() { sent <- trickle(nc, down, cutDown) }()
			in, buf := make([]byte, 0, len(up)), make([]byte, size)
			var err error
			for len(in) < len(up) && err == nil {
				var n int
				n, err = nc.Read(buf[:min(size, len(up)-len(in))])
				in = append(in, buf[:n]...)
			}
			got <- in
			return errors.Join(err, <-sent)
		})
		nc := s.dial()
		_ = nc.SetDeadline(time.Now().Add(time.Hour))
		sent := make(chan error, 1)
		go func() { sent <- trickle(nc, up, cutUp) }()
		in := make([]byte, len(down))
		n, err := io.ReadFull(nc, in)
		about := fmt.Sprintf("over %v, %v sent %v and %v answered %v", tr, up, cutUp, down, cutDown)
		if err != nil || string(in[:n]) != string(down) {
			tb.Fatalf("%s: the client read %v, then %v", about, Payload(in[:n]), err)
		}
		if err := <-sent; err != nil {
			tb.Fatalf("%s: the client's write: %v", about, err)
		}
		select {
		case in := <-got:
			if string(in) != string(up) {
				tb.Fatalf("%s: the handler read %v", about, Payload(in))
			}
		case <-time.After(time.Hour):
			tb.Fatalf("%s: an hour later the handler still waits for what was sent", about)
		}
	})(t, first)
}

// sample is n bytes: each value once, and then again in another order each time.
func sample(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte((i>>8)*37)
	}
	return p
}

// bulk sends n bytes each way, at once, with one Write for each.
func (m *MiddlewareSpec) bulk(tb *caseTB, tr testkit.Transport, n int) {
	p := sample(n)
	got, answered := make(chan []byte, 1), make(chan error, 1)
	s := m.startOn(tb, tr, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			k, err := nc.Write(p)
			if err == nil && k != n {
				err = fmt.Errorf("Write of %d bytes returns %d and no error", n, k)
			}
			answered <- err
		}()
		in := make([]byte, n)
		k, err := io.ReadFull(nc, in)
		got <- in[:k]
		<-done
		return err
	})
	nc := s.dial()
	_ = nc.SetDeadline(time.Now().Add(tb.patience()))
	sent := make(chan error, 1)
	go func() {
		_, err := nc.Write(p)
		sent <- err
	}()
	in := make([]byte, n)
	k, err := io.ReadFull(nc, in)
	about := fmt.Sprintf("over %v, %d bytes, of all values, each way at once", tr, n)
	if at := differ(in[:k], p); at != "" {
		tb.Fatalf("%s: what the client reads %s, then %v", about, at, err)
	}
	if err := <-sent; err != nil {
		tb.Fatalf("%s: the client's write: %v", about, err)
	}
	select {
	case in := <-got:
		if at := differ(in, p); at != "" {
			tb.Fatalf("%s: what the handler reads %s", about, at)
		}
	case <-time.After(tb.patience()):
		tb.Fatalf("%s: %v later the handler still waits for what was sent", about, tb.patience())
	}
	if err := <-answered; err != nil {
		tb.Fatalf("%s: the handler's write: %v", about, err)
	}
}

// differ says where got is not what was sent, "" if it is.
func differ(got, sent []byte) string {
	for i := range min(len(got), len(sent)) {
		if got[i] != sent[i] {
			return fmt.Sprintf("has %#02x as byte %d, where %#02x was sent", got[i], i, sent[i])
		}
	}
	if len(got) != len(sent) {
		return fmt.Sprintf("ends after %d bytes of %d", len(got), len(sent))
	}
	return ""
}

func (m *MiddlewareSpec) halfClose(tb *caseTB) {
	s := m.start(tb, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		in, err := io.ReadAll(nc)
		if err != nil {
			return err
		}
		_, err = nc.Write(append(in, '.'))
		return err
	})
	nc := s.dial()
	_ = nc.SetDeadline(time.Now().Add(time.Hour))
	_, err := nc.Write([]byte("question"))
	if err == nil {
		err = closeWrite(nc)
	}
	if err != nil {
		tb.Fatalf("the client cannot send and half-close: %v", err)
	}
	if got, err := io.ReadAll(nc); err != nil || string(got) != "question." {
		tb.Fatalf("the client sent %q and half-closed; the handler answers after EOF; the client read %q, %v", "question", got, err)
	}

	var inside error
	s = m.start(tb, func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		if _, inside = nc.Write([]byte("bye")); inside == nil {
			inside = closeWrite(nc)
		}
		if inside == nil {
			_, inside = io.ReadFull(nc, make([]byte, 3))
		}
		return inside
	})
	nc = s.dial()
	_ = nc.SetDeadline(time.Now().Add(time.Hour))
	if got, err := io.ReadAll(nc); err != nil || string(got) != "bye" {
		tb.Fatalf("the handler wrote %q and half-closes; the client read %q, %v", "bye", got, err)
	}
	_, err = nc.Write([]byte("bye"))
	if s.finish(1, "the handler half-closed and was answered"); inside != nil {
		tb.Fatalf("the handler wants to half-close and read on: %v", inside)
	}
	if err != nil {
		tb.Fatalf("the handler half-closed and reads on; the client's write: %v", err)
	}
}

func closeWrite(nc net.Conn) error {
	if h, ok := nc.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return fmt.Errorf("%T has no CloseWrite", nc)
}

func (m *MiddlewareSpec) deadlines(tb *caseTB) {
	const limit = 3 * time.Second
	var inside error
	wait := func(nc net.Conn) error {
		begun := time.Now()
		if err := nc.SetReadDeadline(begun.Add(limit)); err != nil {
			return fmt.Errorf("SetReadDeadline: %w", err)
		}
		_, err := nc.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != limit {
			return fmt.Errorf("Read with a deadline %v ahead returned after %v with %v, which should be os.ErrDeadlineExceeded", limit, time.Since(begun), err)
		}
		if err := nc.SetReadDeadline(time.Time{}); err != nil {
			return fmt.Errorf("SetReadDeadline to none: %w", err)
		}
		if _, err := nc.Write([]byte("?")); err != nil {
			return fmt.Errorf("Write after a Read timed out: %w", err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			return fmt.Errorf("Read after the deadline was taken away: %w", err)
		}
		return nil
	}
	s := m.start(tb, reply(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		inside = wait(nc)
		return inside
	}))
	nc := s.reach()
	_ = nc.SetDeadline(time.Now().Add(time.Hour))
	_, _ = io.ReadFull(nc, make([]byte, 1))
	time.Sleep(2 * limit)
	_, _ = nc.Write([]byte("!"))
	if s.finish(1, "the handler waits for a deadline"); inside != nil {
		tb.Fatalf("in the handler: %v", inside)
	}
	for name, set := range map[string]func(net.Conn, time.Time) error{
		"SetWriteDeadline": net.Conn.SetWriteDeadline, "SetDeadline": net.Conn.SetDeadline,
	} {
		s := m.startOn(tb, testkit.Buffered(64, 0), reply(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			begun := time.Now()
			if inside = set(nc, begun.Add(limit)); inside != nil {
				return inside
			}
			_, err := nc.Write(make([]byte, 1<<20)) // which nobody reads
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != limit {
				inside = fmt.Errorf("%s %v ahead, then Write returned after %v with %v, which should be os.ErrDeadlineExceeded", name, limit, time.Since(begun), err)
			}
			return err
		}))
		nc := s.reach()
		time.Sleep(2 * limit)
		_ = nc.Close()
		if s.finish(1, "the handler writes until a deadline"); inside != nil {
			tb.Fatalf("in the handler: %v", inside)
		}
	}
}

func (m *MiddlewareSpec) noDeadline(tb *caseTB) {
	var rd, wd time.Time
	var s *trial
	s = m.start(tb, reply(func(context.Context, net.Conn, *lgrp.AnyConn) error {
		rd, wd = s.sock(0).deadlines()
		return nil
	}))
	s.visit()
	if !rd.IsZero() || !wd.IsZero() {
		tb.Fatalf("when next was called the connection had a deadline: for reading %v, for writing %v", !rd.IsZero(), !wd.IsZero())
	}
	if rd, wd = s.sock(0).deadlines(); !rd.IsZero() || !wd.IsZero() {
		tb.Fatalf("when the middleware returned the connection had a deadline: for reading %v, for writing %v", !rd.IsZero(), !wd.IsZero())
	}
}

func (m *MiddlewareSpec) peerGone(t *testing.T, first bool) string {
	return drawn(func(tb *caseTB, rt *rapid.T) {
		reset := rapid.Bool().Draw(rt, "reset")
		silent := rapid.Bool().Draw(rt, "says nothing")
		after := Delays(5*time.Second).Draw(rt, "after")
		how, phase := "closed", "after it was served"
		if reset {
			how = "reset"
		}
		s := m.start(tb, echo)
		var raw *testkit.Conn
		if silent {
			phase = "without a word"
			raw = s.dialRaw()
		} else {
			s.speak(s.dial())
			raw = s.sock(0).Peer()
		}
		time.Sleep(after)
		if reset {
			_ = raw.Reset()
		} else {
			_ = raw.Close()
		}
		s.finish(1, fmt.Sprintf("the client %s the connection %s", how, phase))
	})(t, first)
}

func (m *MiddlewareSpec) concurrent(t *testing.T, first bool) string {
	return drawn(func(tb *caseTB, rt *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(rt, "clients")
		cut := Chunkings().Draw(rt, "sent")
		s := m.start(tb, echo)
		done := make(chan error, n)
		for i := range n {
			nc := s.dial()
			_ = nc.SetDeadline(time.Now().Add(time.Hour))
			go func() {
				word := []byte(fmt.Sprintf("client %d %d", i, i))
				sent := make(chan error, 1)
				go func() { sent <- trickle(nc, word, cut) }()
				got := make([]byte, len(word))
				k, err := io.ReadFull(nc, got)
				if err == nil && string(got) != string(word) || err != nil {
					err = fmt.Errorf("of %d clients at once one sent %q to a handler that echoes and read %q, %v", n, word, got[:k], err)
				}
				done <- errors.Join(err, <-sent)
			}()
		}
		for range n {
			if err := <-done; err != nil {
				tb.Fatalf("%v", err)
			}
		}
	})(t, first)
}
