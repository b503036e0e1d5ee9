package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func TestHTTPHooks(t *testing.T) {
	forBoth(t, func(t *testing.T, h2 bool) {
		type key string
		var states []string
		srv := &http.Server{
			ConnState: func(_ net.Conn, st http.ConnState) { states = append(states, st.String()) },
			BaseContext: func(ln net.Listener) context.Context {
				return context.WithValue(context.Background(), key("base"), ln.Addr())
			},
			ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
				return context.WithValue(ctx, key("conn"), nc.RemoteAddr())
			},
		}
		var found [3]any
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := lgrp.AnyFromContext(r.Context())
			found = [3]any{r.Context().Value(key("base")), r.Context().Value(key("conn")), c.ID()}
		})
		w := newWeb(t, h2, srv)
		c := w.client(t)
		_, _, err := w.get(t.Context(), c, "/")
		require.NoError(t, err)
		var remote net.Addr
		for c := range w.ConnInfos() {
			remote = c.Remote
		}
		require.Equal(t, [3]any{w.ln.Addr(), remote, uint64(1)}, found)
		c.CloseIdleConnections()
		w.awaitEnds(t, 1)
		require.Contains(t, strings.Join(states, " "), "new active idle")
		require.Equal(t, "closed", states[len(states)-1])
	})
}

// One http.Server can serve any number of groups and listeners, of which one is
// drained; its own Shutdown and Close are of no concern to them.
func TestHTTPServerIsShared(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := lgrp.FromContext[string, struct{}](r.Context())
			fmt.Fprint(w, c.Listener)
		})}
		h := lgrp.Typed[string, struct{}](middleware.HTTP(srv))
		dial := make(map[string]func() *testkit.Conn)
		listeners := make(map[string]*lgrp.Listener[string])
		one, two := lgrp.New(h, nil), lgrp.New(h, nil)
		for name, g := range map[string]*lgrp.ListenGroup[string, struct{}]{"one a": one, "one b": one, "two": two} {
			ln := testkit.Listen(t)
			l, err := g.Add(t.Context(), lgrp.ListenerSpec[string]{ID: name, Context: name, Listener: ln})
			require.NoError(t, err)
			listeners[name] = l
			dial[name] = sync.OnceValue(func() *testkit.Conn { return ln.NewConn() })
		}
		get := func(name string) string {
			_, err := io.WriteString(dial[name](), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(dial[name]()), nil)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return string(body)
		}
		for name := range dial {
			require.Equal(t, name, get(name))
		}
		_, err := listeners["one a"].Drain(t.Context(), nil)
		require.NoError(t, err)
		_, err = dial["one a"]().Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.NoError(t, srv.Shutdown(t.Context()))
		require.NoError(t, srv.Close())
		require.Equal(t, "one b", get("one b"))
		require.Equal(t, "two", get("two"))
		require.NoError(t, one.Shutdown(t.Context()))
		require.Equal(t, "two", get("two"))
		require.NoError(t, two.Shutdown(t.Context()))
	})
}
