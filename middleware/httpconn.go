package middleware

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// httpConn is a connection with a server of its own, because what net/http has
// for finishing in an orderly way it has per server only.
type httpConn struct {
	c     *lgrp.AnyConn
	nc    net.Conn
	since time.Time
	hs    *http.Server
	user  *http.Server // as HTTP was given it
	h2    atomic.Bool  // it speaks HTTP/2; without TLS, not known before the first request

	over     chan struct{} // closed when net/http has done with the connection
	hijacked bool          // set before over is closed
	idle     atomic.Bool
	rate     *rateConn // nil: nobody wants to know what the client owes

	mu       sync.Mutex
	running  int  // calls of the user's handler
	reading  int  // those of them that wait for a request's body
	complete bool // a request has come in full, and its response is not over
	ownHands bool // hijacked
	excused  bool // rate has been told that the client owes nothing
	served   bool // there was one
	finished bool
	quiet    chan struct{} // closed when running comes to 0; made by finish
	fresh    *time.Timer   // ends the grace of a connection that drains without a request
}

// prepare sets the hooks.
func (s *httpConn) prepare(ctx context.Context) {
	s.hs.Handler = s
	s.hs.ConnState = s.state
	s.hs.BaseContext = func(ln net.Listener) context.Context {
		if s.user.BaseContext == nil {
			return ctx
		}
		return joinedContext{ctx, s.user.BaseContext(ln)}
	}
	if !s.h2.Load() && s.hs.TLSNextProto == nil && !s.h2c() {
		s.hs.TLSNextProto = noProtocols // spares an HTTP/1 connection the set-up of HTTP/2
	}
}

// noProtocols is what net/http takes for: no HTTP/2. Nobody writes to it.
var noProtocols = map[string]func(*http.Server, *tls.Conn, http.Handler){}

// state is the ConnState hook.
func (s *httpConn) state(nc net.Conn, st http.ConnState) {
	idle := st == http.StateIdle
	s.c.SetIdle(idle)
	s.idle.Store(idle)
	if s.rate != nil {
		s.mu.Lock()
		s.complete, s.ownHands = false, s.ownHands || st == http.StateHijacked
		s.excuse()
		s.mu.Unlock()
	}
	if idle && s.ownH2() && s.draining() {
		_ = nc.Close()
	}
	if s.user.ConnState != nil {
		s.user.ConnState(nc, st)
	}
	switch st {
	case http.StateHijacked:
		s.hijacked = true
		close(s.over)
	case http.StateClosed:
		close(s.over)
	}
}

// ServeHTTP keeps count of the handlers: those of HTTP/2 can outlive the
// server's own use of the connection.
func (s *httpConn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.running++
	s.served = true
	// What is left of an HTTP/2 body nobody waits for once its handler returns.
	s.complete = s.complete || r.ProtoMajor == 2 || r.ContentLength == 0
	s.excuse()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		s.excuse()
		if s.running == 0 && s.quiet != nil {
			close(s.quiet)
		}
	}()
	if r.ProtoMajor == 2 {
		s.h2.Store(true)
	}
	if r.ProtoMajor == 2 && s.draining() {
		// Not sent over HTTP/2: net/http takes it as the wish for a GOAWAY
		// that lets this stream finish.
		w.Header().Set("Connection", "close")
	}
	if s.rate != nil && r.ContentLength != 0 {
		s.serveBody(w, r)
		return
	}
	s.user.Handler.ServeHTTP(w, r)
}

// serveBody calls the handler with a body that tells when it is waited for. The
// request is a copy: net/http looks at what the body in its own is.
func (s *httpConn) serveBody(w http.ResponseWriter, r *http.Request) {
	watched := r.WithContext(r.Context())
	watched.Body = &watchedBody{r.Body, s}
	defer func() { r.MultipartForm = watched.MultipartForm }() // whose files net/http removes
	s.user.Handler.ServeHTTP(w, watched)
}

type watchedBody struct {
	io.ReadCloser
	s *httpConn
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.s.await()
	n, err := b.ReadCloser.Read(p)
	b.s.awaited(err == io.EOF)
	return n, err
}

// Close reads the rest, or gives it up.
func (b *watchedBody) Close() error {
	b.s.await()
	defer b.s.awaited(true)
	return b.ReadCloser.Close()
}

func (s *httpConn) await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading++
	s.excuse()
}

func (s *httpConn) awaited(complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading--
	s.complete = s.complete || complete && s.running > 0
	s.excuse()
}

// excuse tells MinRate whether the client owes anything. net/http reads all the
// time: over HTTP/1 to see it go away, over HTTP/2 because frames may come. It
// is called with mu held.
func (s *httpConn) excuse() {
	excused := s.reading == 0 && (s.running > 0 || s.complete) && !s.ownHands
	if s.rate != nil && excused != s.excused {
		s.excused = excused
		s.rate.excuse(excused)
	}
}

// finish lets no handler start any more and waits for those that run.
func (s *httpConn) finish() {
	s.mu.Lock()
	s.finished = true
	if s.fresh != nil {
		s.fresh.Stop()
	}
	var quiet chan struct{}
	if s.running > 0 {
		quiet = make(chan struct{})
		s.quiet = quiet
	}
	s.mu.Unlock()
	if quiet != nil {
		<-quiet
	}
}

// freshFor is how long a connection may take to send its first request once it
// has been asked to finish. net/http counts so too, in whole seconds, hence
// the one more.
const freshFor = 6 * time.Second

// drain runs when the connection has been asked to finish.
func (s *httpConn) drain() {
	// Closes an HTTP/1 connection that is idle, or has been without a request
	// for five seconds; else makes its next response the last.
	s.hs.SetKeepAlivesEnabled(false)
	s.mu.Lock()
	wait := freshFor - time.Since(s.since)
	if !s.served && wait > 0 && !s.finished {
		// A client that was just let in may have its request on the way, and
		// HTTP/2's GOAWAY would refuse that.
		s.fresh = time.AfterFunc(wait, s.drainFresh)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.goAway()
}

// drainFresh runs when a connection has been given its time for a first
// request.
func (s *httpConn) drainFresh() {
	s.hs.SetKeepAlivesEnabled(false)
	s.goAway()
}

// goAway does for HTTP/2 what SetKeepAlivesEnabled does for HTTP/1.
func (s *httpConn) goAway() {
	if !s.h2.Load() && !s.h2c() {
		return
	}
	// Shutdown begins with the functions that HTTP/2 registered, which send
	// GOAWAY, and that is all that is wanted of it: the context is done.
	_ = s.hs.Shutdown(canceled)
	if s.ownH2() && s.idle.Load() {
		_ = s.nc.Close()
	}
}

var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (s *httpConn) draining() bool {
	select {
	case <-s.c.Draining():
		return true
	default:
		return false
	}
}

// ownH2 reports whether the user brought an HTTP/2 server along, by
// http2.ConfigureServer say. That one is told to shut down by their
// http.Server alone, so what remains is to close the connection when idle.
func (s *httpConn) ownH2() bool { return s.h2.Load() && s.user.TLSNextProto["h2"] != nil }

// h2c reports whether the connection may come to speak HTTP/2 without TLS.
func (s *httpConn) h2c() bool { return s.hs.Protocols != nil && s.hs.Protocols.UnencryptedHTTP2() }
