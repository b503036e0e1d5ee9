package prop

import (
	"net"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// MiddlewareSpec says what TestMiddleware has to know of a middleware. The zero value is for one that lets
// bytes through as they are and has no state that is tied to a bubble.
type MiddlewareSpec struct {
	// New returns the middleware anew. It is called in the bubble of each case, for middleware whose state has
	// channels or timers, or that is used up. Defaults to the one that was given to TestMiddleware for all.
	New func() lgrp.Middleware

	// Client is what a client does when it has connected, such as a TLS handshake or sending a PROXY
	// header; it returns the stream to talk on. It is called on a goroutine of the test's. Defaults to
	// nothing.
	Client func(nc net.Conn) (net.Conn, error)

	// Transport puts the middleware into the Transport stage and not into the group's chain.
	Transport bool

	// Deviations are the laws that the middleware breaks on purpose, each with the reason. A law that is
	// declared to be broken and is not, is a failure.
	Deviations map[Law]string

	// Broken is told of each law that does not hold, with what was found, and the test does not fail. Defaults to
	// nil: the test fails.
	Broken func(law Law, found string)
}

// The laws of middleware, in the order in which TestMiddleware tries them.
const (
	LawNextOnce    Law = "calls next at most once"
	LawError       Law = "returns the error of next"
	LawPanic       Law = "does not hide a panic"
	LawContext     Law = "passes the context on"
	LawConn        Law = "passes the connection on"
	LawBytes       Law = "transparent for bytes"
	LawHalfClose   Law = "passes half-close on"
	LawDeadlines   Law = "deadlines still work"
	LawNoDeadline  Law = "leaves no deadline behind"
	LawPeerGone    Law = "ends when the peer goes"
	LawClosed      Law = "ends when the connection is closed"
	LawInterfaces  Law = "keeps optional interfaces"
	LawConcurrent  Law = "safe under concurrent connections"
	LawNotClosed   Law = "does not close the connection"
	LawNotRetained Law = "keeps nothing afterwards"
	LawDrain       Law = "does not hold up a drain"
	LawTwice       Law = "may be built more than once"
	LawZeroConn    Law = "works with a zero AnyConn"
)

// TestMiddleware tries the laws of [lgrp.Middleware] on mw, each as a subtest named for it, in a bubble or,
// where sockets matter, over loopback TCP. That nothing is leaked is checked with every one of them. What
// breaks a law is shown for the smallest case, with what the law says. mw may be nil if spec.New is set.
//
// Each middleware stands alone between a group's listener and a handler of the test's.
func TestMiddleware(t *testing.T, mw lgrp.Middleware, spec MiddlewareSpec) {
	t.Helper()
	if spec.New == nil {
		if mw == nil {
			t.Fatalf("prop: TestMiddleware with neither a middleware nor MiddlewareSpec.New")
		}
		spec.New = func() lgrp.Middleware { return mw }
	}
	enforce(t, spec.laws(), spec.Deviations, spec.Broken)
}

func (m *MiddlewareSpec) laws() []law {
	return []law{
		{LawNextOnce, "a connection has one handler. A middleware calls next once, or not at all when it refuses the connection.", once(m.nextOnce)},
		{LawError, "what next returned decides how the connection is counted and logged; nil must stay nil, an error must be found by errors.Is.", once(m.nextError)},
		{LawPanic, "a panic in the handler goes on to the group, which logs it, or is returned as an error. One that is swallowed is a bug nobody hears of.", once(m.nextPanic)},
		{LawContext, "the handler gets the context or a child of it: its values, its end, its cause, and the connection in it.", once(m.context)},
		{LawConn, "the handler gets the same *AnyConn: a copy or another one is not what the group drains and shows.", once(m.conn)},
		{LawBytes, "what the client sends is what the handler reads and the other way round, in whatever pieces it arrives, with whatever buffers it is read.", m.bytes},
		{LawHalfClose, "either side may end its stream and go on reading; protocols that wait for EOF before they answer hang otherwise.", once(m.halfClose)},
		{LawDeadlines, "a handler that sets a read or write deadline is woken at it, with an error that is a timeout, and can go on afterwards.", once(m.deadlines)},
		{LawNoDeadline, "a deadline that was set before next, or is left on return, breaks a Read hours later.", once(m.noDeadline)},
		{LawPeerGone, "when the peer closes or resets the connection, in whatever phase, the middleware returns; otherwise clients that went away are kept for ever.", m.peerGone},
		{LawClosed, "when the group closes the connection, in whatever phase, the middleware returns; otherwise it cannot be killed and a shutdown reports it as stuck.", once(m.closed)},
		{LawInterfaces, "what the handler gets can do what the socket could (half-close, splice, sendfile, the descriptor), by itself, claims nothing that the socket cannot do, and moves the same bytes by ReadFrom and WriteTo as by Write and Read.", m.interfaces},
		{LawConcurrent, "one middleware serves all connections of a group at the same time; each gets its own bytes. Run the test with -race too.", m.concurrent},
		{LawNotClosed, "the group closes the connection, once, when the outermost layer has returned. Whoever closes it earlier cuts off what other layers still want to send.", once(m.notClosed)},
		{LawNotRetained, "once it has returned, a middleware does nothing more with the connection.", once(m.notRetained)},
		{LawDrain, "a handler that returns when a drain begins ends its connection: nothing in the middleware waits for more, nor for ever for a client that says nothing: see lgrp.AnyConn.WakeOnDrain.", once(m.drain)},
		{LawTwice, "the func(next) is called for each listener, and again when Use is called later. What connections share belongs to the factory; what is made in func(next) must not be the last one's.", once(m.twice)},
		{LawZeroConn, "tests of middleware and other packages call it with new(lgrp.AnyConn).", once(m.zeroConn)},
	}
}

// start begins a trial of the middleware in front of h.
func (m *MiddlewareSpec) start(tb *caseTB, h lgrp.Handler) *trial {
	return m.startOn(tb, testkit.Buffered(0, 0), h)
}

func (m *MiddlewareSpec) startOn(tb *caseTB, tr testkit.Transport, h lgrp.Handler) *trial {
	s := newTrial(tb, tr, []lgrp.Middleware{m.New()}, m.Transport, h)
	s.prefix = m.Client
	return s
}

// drawn is the check of a law with random cases, in bubbles.
func drawn(f func(tb *caseTB, rt *rapid.T)) func(*testing.T, bool) string {
	return func(t *testing.T, first bool) string {
		tries := 1
		if first { // it is expected to fail, so one that has not is bad luck, or news: make sure
			tries = 20
		}
		for range tries {
			known := &outcomes{of: map[string]string{}}
			failure, _ := smallest(t, first, func(rt *rapid.T) string {
				var values string
				failure := inBubble(t, func(tb *caseTB) {
					tb.outcomes = known
					defer func() { values = tb.values }()
					f(tb, rt)
				})
				if !strings.HasPrefix(failure, hung) { // then it still runs
					known.note(values, failure)
				}
				return failure
			})
			if failure != "" {
				return failure
			}
		}
		return ""
	}
}
