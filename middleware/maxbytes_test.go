package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleMaxBytes() {
	upload := func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, err := io.ReadAll(nc)
		if err != nil {
			fmt.Fprint(nc, "too much")
			return err
		}
		_, err = fmt.Fprint(nc, "thank you")
		return err
	}
	g, dial := serve(upload, middleware.MaxBytes(&middleware.MaxBytesOptions{Read: 5}))
	defer g.Close()
	for _, text := range []string{"12345", "123456"} {
		nc := dial()
		fmt.Fprint(nc, text)
		nc.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(nc)
		fmt.Println(string(answer))
	}
	fmt.Println(ended(g, 2).Closed)
	// Output:
	// thank you
	// too much
	// map[returned:1 limit:1]
}

func ExampleByteLimiter() {
	limiter := middleware.NewByteLimiter(&middleware.MaxBytesOptions{Written: 2})
	g, dial := serve(greet, limiter.Middleware())
	defer g.Close()
	said, _ := io.ReadAll(dial())
	fmt.Println(string(said), limiter.Exceeded())
	limiter.Set(nil)
	fmt.Println(hear(dial()), limiter.Options())
	// Output:
	// he 1
	// hello {0 0}
}

func TestMaxBytes(t *testing.T) {
	hundred := filepath.Join(t.TempDir(), "hundred")
	require.NoError(t, os.WriteFile(hundred, make([]byte, 100), 0o600))
	readAll := func(nc net.Conn) (int64, error) {
		b, err := io.ReadAll(nc)
		return int64(len(b)), err
	}
	writeTo := func(nc net.Conn) (int64, error) { return io.Copy(new(bytes.Buffer), nc) }
	write := func(sizes ...int) func(nc net.Conn) (total int64, err error) {
		return func(nc net.Conn) (total int64, err error) {
			for _, size := range sizes {
				var n int
				n, err = nc.Write(make([]byte, size))
				total += int64(n)
				if err != nil {
					break
				}
			}
			return total, err
		}
	}
	readFrom := func(nc net.Conn) (int64, error) { return io.Copy(nc, bytes.NewReader(make([]byte, 100))) }
	// What the kernel copies from, where it can copy to the connection.
	file := func(part int64) func(nc net.Conn) (int64, error) {
		return func(nc net.Conn) (int64, error) {
			f, err := os.Open(hundred)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			if part > 0 {
				return io.CopyN(nc, f, part)
			}
			return io.Copy(nc, f)
		}
	}
	twice := func(nc net.Conn) (int64, error) {
		n, err := file(40)(nc)
		if err != nil {
			return n, err
		}
		m, err := file(60)(nc)
		return n + m, err
	}
	counted := func(nc net.Conn) (int64, error) { return file(0)(netx.WithCloseNotify(nc)) }
	for name, test := range map[string]struct {
		limits middleware.MaxBytesOptions
		sent   int
		do     func(nc net.Conn) (int64, error)
		n      int64
		over   bool
	}{
		"no limits":                 {middleware.MaxBytesOptions{}, 100, readAll, 100, false},
		"negative":                  {middleware.MaxBytesOptions{Read: -1, Written: -1}, 100, readAll, 100, false},
		"less":                      {middleware.MaxBytesOptions{Read: 101}, 100, readAll, 100, false},
		"just as many":              {middleware.MaxBytesOptions{Read: 100}, 100, readAll, 100, false},
		"one more":                  {middleware.MaxBytesOptions{Read: 99}, 100, readAll, 99, true},
		"many more":                 {middleware.MaxBytesOptions{Read: 1}, 100, readAll, 1, true},
		"nothing is sent":           {middleware.MaxBytesOptions{Read: 1}, 0, readAll, 0, false},
		"copied, just as many":      {middleware.MaxBytesOptions{Read: 100}, 100, writeTo, 100, false},
		"copied, one more":          {middleware.MaxBytesOptions{Read: 99}, 100, writeTo, 99, true},
		"reading does not write":    {middleware.MaxBytesOptions{Written: 1}, 100, readAll, 100, false},
		"written, just as many":     {middleware.MaxBytesOptions{Written: 100}, 0, write(60, 40), 100, false},
		"written, one more":         {middleware.MaxBytesOptions{Written: 99}, 0, write(60, 40), 99, true},
		"written, after the limit":  {middleware.MaxBytesOptions{Written: 60}, 0, write(60, 40), 60, true},
		"written, nothing after":    {middleware.MaxBytesOptions{Written: 60}, 0, write(60, 0), 60, false},
		"copied to it, one more":    {middleware.MaxBytesOptions{Written: 99}, 0, readFrom, 99, true},
		"copied to it, as many":     {middleware.MaxBytesOptions{Written: 100}, 0, readFrom, 100, false},
		"a file, one more":          {middleware.MaxBytesOptions{Written: 99}, 0, file(0), 99, true},
		"a file, as many":           {middleware.MaxBytesOptions{Written: 100}, 0, file(0), 100, false},
		"a file, one to spare":      {middleware.MaxBytesOptions{Written: 101}, 0, file(0), 100, false},
		"part of a file, one more":  {middleware.MaxBytesOptions{Written: 49}, 0, file(50), 49, true},
		"part of a file, as many":   {middleware.MaxBytesOptions{Written: 50}, 0, file(50), 50, false},
		"parts of files, as many":   {middleware.MaxBytesOptions{Written: 100}, 0, twice, 100, false},
		"parts of files, one more":  {middleware.MaxBytesOptions{Written: 99}, 0, twice, 99, true},
		"parts of files, over":      {middleware.MaxBytesOptions{Written: 40}, 0, twice, 40, true},
		"a file, through a layer":   {middleware.MaxBytesOptions{Written: 100}, 0, counted, 100, false},
		"a file too long for it":    {middleware.MaxBytesOptions{Written: 99}, 0, counted, 99, true},
		"a file, without limits":    {middleware.MaxBytesOptions{}, 0, file(0), 100, false},
		"writing does not read":     {middleware.MaxBytesOptions{Read: 1}, 0, write(100), 100, false},
		"again and again it is not": {middleware.MaxBytesOptions{Read: 5}, 7, again(readAll), 5, true},
	} {
		for _, tr := range []string{"memory", "TCP"} {
			t.Run(name+" over "+tr, func(t *testing.T) {
				kind := testkit.Buffered(0, 0)
				if tr == "TCP" {
					kind = testkit.Loopback()
				}
				client, server := testkit.NewConnPair(t, kind)
				limiter := middleware.NewByteLimiter(&test.limits)
				_, err := client.Write(make([]byte, test.sent))
				require.NoError(t, err)
				require.NoError(t, client.CloseWrite())
				var n int64
				err = limiter.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) (err error) {
					n, err = test.do(nc)
					return err
				})(t.Context(), server.NetConn(), new(lgrp.AnyConn))
				require.Equal(t, test.n, n)
				if !test.over {
					require.NoError(t, err)
					require.Zero(t, limiter.Exceeded())
					return
				}
				require.Equal(t, lgrp.ReasonLimit, reasonOf(err), "%v", err)
				if name == "again and again it is not" {
					require.EqualValues(t, 2, limiter.Exceeded())
					return
				}
				require.EqualValues(t, 1, limiter.Exceeded())
			})
		}
	}
}

// again reads once more after the end.
func again(read func(nc net.Conn) (int64, error)) func(nc net.Conn) (int64, error) {
	return func(nc net.Conn) (int64, error) {
		n, first := read(nc)
		more, second := read(nc)
		if first != second {
			return n, fmt.Errorf("first %v, then %v", first, second)
		}
		return n + more, second
	}
}

func TestMaxBytesChanged(t *testing.T) {
	client, server := testkit.NewConnPair(t)
	_, err := client.Write(make([]byte, 100))
	require.NoError(t, err)
	limiter := middleware.NewByteLimiter(&middleware.MaxBytesOptions{Read: 10})
	require.NoError(t, limiter.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, err := io.ReadFull(nc, make([]byte, 10))
		require.NoError(t, err)
		limiter.Set(&middleware.MaxBytesOptions{Read: 20})
		n, err := nc.Read(make([]byte, 100))
		require.Equal(t, 10, n)
		return err
	})(t.Context(), server, new(lgrp.AnyConn)))
}

// A proxy's response that is just as long as is allowed comes to its end, and
// so does the client's connection.
func TestMaxBytesProxied(t *testing.T) {
	for _, size := range []int{1000, 1001} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			client, server := testkit.NewConnPair(t, testkit.Loopback())
			origin, upstream := testkit.NewConnPair(t, testkit.Loopback())
			_, err := origin.Write(make([]byte, size))
			require.NoError(t, err)
			require.NoError(t, origin.CloseWrite())
			require.NoError(t, client.CloseWrite())
			limiter := middleware.NewByteLimiter(&middleware.MaxBytesOptions{Written: 1000})
			err = limiter.Middleware()(func(ctx context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
				_, n, err := netx.Proxy(ctx, nc, upstream.NetConn())
				require.EqualValues(t, 1000, n)
				return err
			})(t.Context(), server.NetConn(), new(lgrp.AnyConn))
			if size > 1000 {
				var refused *lgrp.CloseError // as that of the copying
				require.ErrorAs(t, err, &refused)
				require.Equal(t, lgrp.ReasonLimit, refused.Reason)
				require.EqualValues(t, 1, limiter.Exceeded())
				return
			}
			require.NoError(t, err)
			require.Zero(t, limiter.Exceeded())
			got, err := io.ReadAll(client)
			require.NoError(t, err)
			require.Len(t, got, 1000)
		})
	}
}

// To find out that there is more takes a byte: what has been refused stays so,
// or the handler would go on without that byte.
func TestMaxBytesRaisedAfterARefusal(t *testing.T) {
	client, server := testkit.NewConnPair(t)
	_, err := io.WriteString(client, "0123456789")
	require.NoError(t, err)
	limiter := middleware.NewByteLimiter(&middleware.MaxBytesOptions{Read: 5})
	require.NoError(t, limiter.Middleware()(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
		_, err := io.ReadFull(nc, make([]byte, 6))
		require.Equal(t, lgrp.ReasonLimit, reasonOf(err))
		limiter.Set(nil)
		n, err := nc.Read(make([]byte, 1))
		require.Zero(t, n)
		require.Equal(t, lgrp.ReasonLimit, reasonOf(err))
		copied, err := io.Copy(io.Discard, nc)
		require.Zero(t, copied)
		require.Equal(t, lgrp.ReasonLimit, reasonOf(err))
		return nil
	})(t.Context(), server, new(lgrp.AnyConn)))
}

func TestMaxBytesAllocations(t *testing.T) {
	require.EqualValues(t, 1, allocations(t, new(lgrp.AnyConn), middleware.MaxBytes(&middleware.MaxBytesOptions{Read: 1})))
}
