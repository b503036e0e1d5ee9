package middleware_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// A passage is what passes a throttle, and when.
type passage struct {
	mu sync.Mutex
	at []time.Time
	n  []int64
}

func (p *passage) pass(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.n = append(p.at, time.Now()), append(p.n, int64(n))
}

func (p *passage) total() (sum int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.n {
		sum += n
	}
	return sum
}

// requireWithin checks that in no time more passed than may.
func (p *passage) requireWithin(t interface{ Fatalf(string, ...any) }, rate int64, burst time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.at {
		var sum int64
		for j := i; j < len(p.at); j++ {
			sum += p.n[j]
			took := p.at[j].Sub(p.at[i]) + 1 // where they were rounded
			if most := bytesBy(rate, took, max(burst, time.Second/time.Duration(rate)+1)); sum > most {
				t.Fatalf("%d bytes in %v, may be %d", sum, took, most)
			}
		}
	}
}

// A sink tells of what is written to it.
type sink struct {
	nullConn
	passages []*passage
}

func (s sink) Write(p []byte) (int, error) {
	for _, to := range s.passages {
		to.pass(len(p))
	}
	return len(p), nil
}

func (sink) SetWriteDeadline(time.Time) error { return nil }

// copySink is one that can copy by itself, as TCP connections do.
type copySink struct{ sink }

func (s copySink) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s.sink}, struct{ io.Reader }{r})
}

// Reads with deadlines are as exact as those without, and lose nothing.
func TestThrottleReadDeadlines(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		const conns, sent = 50, 300
		var passed passage
		var wg sync.WaitGroup
		mw := middleware.Throttle(&middleware.ThrottleOptions{TotalRead: 1000})
		for range conns {
			client, server := testkit.NewConnPair(t)
			want := make([]byte, sent)
			for i := range want {
				want[i] = byte(i)
			}
			_, err := client.Write(want)
			require.NoError(t, err)
			require.NoError(t, client.CloseWrite())
			wg.Go(func() {
				_ = mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					var got []byte
					for {
						_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
						buf := make([]byte, 70)
						n, err := nc.Read(buf)
						if n > 0 {
							passed.pass(n)
						}
						if got = append(got, buf[:n]...); err == io.EOF {
							break
						}
					}
					if string(got) != string(want) {
						t.Errorf("%d bytes of %d, or others", len(got), sent)
					}
					return nil
				})(t.Context(), server, new(lgrp.AnyConn))
			})
		}
		time.Sleep(2 * time.Millisecond)
		require.LessOrEqual(t, passed.total(), int64(102))
		wg.Wait()
		require.EqualValues(t, conns*sent, passed.total())
		passed.requireWithin(t, 1000, 100*time.Millisecond)
	})
}

// What a Read had to leave is there for WriteTo too, and for small Reads.
func TestThrottleKeepsWhatADeadlineLeft(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		client, server := testkit.NewConnPair(t)
		_, err := io.WriteString(client, "0123456789abcdefghij")
		require.NoError(t, err)
		require.NoError(t, client.CloseWrite())
		mw := middleware.Throttle(&middleware.ThrottleOptions{Read: 10, Burst: time.Second})
		require.NoError(t, mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
			begun := time.Now()
			_, err := io.ReadFull(nc, make([]byte, 10))
			require.NoError(t, err)
			_ = nc.SetReadDeadline(time.Now().Add(time.Second / 2))
			n, err := nc.Read(make([]byte, 10))
			require.Zero(t, n)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			_ = nc.SetReadDeadline(time.Time{})
			buf := make([]byte, 4)
			n, err = nc.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "abcd", string(buf[:n]))
			rest := new(passage)
			_, err = io.Copy(sink{passages: []*passage{rest}}, nc)
			require.EqualValues(t, 6, rest.total())
			require.Equal(t, time.Second, time.Since(begun))
			return err
		})(t.Context(), server, new(lgrp.AnyConn)))
	})
}

// Writes that end early, and those that wait for the slower of two rates, leave
// no room that others are given twice.
func TestThrottleWritesAreExactWhateverEndsThem(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			burst := time.Duration(rapid.IntRange(10, 2000).Draw(rt, "burst ms")) * time.Millisecond
			opts := middleware.ThrottleOptions{
				Write:      rapid.Int64Range(0, 200).Draw(rt, "each"),
				TotalWrite: rapid.Int64Range(1, 400).Draw(rt, "total"),
				Burst:      burst,
			}
			mw := middleware.Throttle(&opts)
			all := new(passage)
			var each []*passage
			for range rapid.IntRange(1, 8).Draw(rt, "conns") {
				own := new(passage)
				each = append(each, own)
				type step struct{ pause, deadline, cut, bytes int }
				steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
					return step{
						rapid.IntRange(0, 1500).Draw(t, "pause"), rapid.IntRange(0, 1500).Draw(t, "deadline"),
						rapid.IntRange(0, 1500).Draw(t, "cut"), rapid.IntRange(1, 100).Draw(t, "bytes"),
					}
				}), 1, 8).Draw(rt, "steps")
				go func() {
					_ = mw(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
						for _, s := range steps {
							time.Sleep(time.Duration(s.pause) * time.Millisecond)
							_ = nc.SetWriteDeadline(time.Time{})
							if s.deadline > 500 {
								_ = nc.SetWriteDeadline(time.Now().Add(time.Duration(s.deadline) * time.Millisecond))
							}
							cut := make(chan struct{})
							if s.cut > 1000 { // a deadline that is moved while a turn is waited for
								time.AfterFunc(time.Duration(s.cut-1000)*time.Millisecond, func() {
									_ = nc.SetWriteDeadline(time.Now())
									close(cut)
								})
							} else {
								close(cut)
							}
							_, _ = nc.Write(make([]byte, s.bytes))
							<-cut
						}
						return nil
					})(context.Background(), sink{passages: []*passage{own, all}}, new(lgrp.AnyConn))
				}()
			}
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			all.requireWithin(rt, opts.TotalWrite, burst)
			for _, own := range each {
				if opts.Write > 0 {
					own.requireWithin(rt, opts.Write, burst)
				}
			}
		})
	})
}

// Copies by the kernel are exact where no others use the rate.
func TestThrottleCopiesAreExact(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, make([]byte, 10_000), 0o600))
	for name, opts := range map[string]middleware.ThrottleOptions{
		"each":  {Write: 1000, Burst: time.Second},
		"total": {TotalWrite: 1000, Burst: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				passed := new(passage)
				require.NoError(t, middleware.Throttle(&opts)(func(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
					begun := time.Now()
					f, err := os.Open(file)
					require.NoError(t, err)
					defer f.Close()
					n, err := nc.(io.ReaderFrom).ReadFrom(f)
					require.EqualValues(t, 10_000, n)
					require.LessOrEqual(t, time.Since(begun), 10*time.Second)
					return err
				})(t.Context(), copySink{sink{passages: []*passage{passed}}}, new(lgrp.AnyConn)))
				passed.requireWithin(t, 1000, time.Second)
			})
		})
	}
}
