package testkit_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit"
)

var errInjected = errors.New("injected")

// trace writes down what the reader of a stream sees, and when.
func trace(nc net.Conn) (text string, chunks []string, at []time.Duration, err error) {
	start := time.Now()
	buf := make([]byte, 4096)
	for {
		n, err := nc.Read(buf)
		if n > 0 {
			text += string(buf[:n])
			chunks = append(chunks, string(buf[:n]))
			at = append(at, time.Since(start))
		}
		if err != nil {
			return text, chunks, at, err
		}
	}
}

func TestFaultsOnWrites(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name    string
		faults  testkit.Faults
		wrote   int
		err     error
		took    time.Duration
		chunks  string // what the reader saw, separated by spaces
		at      []time.Duration
		readErr error
	}{
		{name: "none", wrote: 10, chunks: "0123456789", at: []time.Duration{0}, readErr: io.EOF},
		{name: "delay", faults: testkit.Faults{Delay: 3 * s}, wrote: 10, took: 3 * s,
			chunks: "0123456789", at: []time.Duration{3 * s}, readErr: io.EOF},
		{name: "delay of every piece", faults: testkit.Faults{Delay: s, MaxChunk: 4}, wrote: 10, took: 3 * s,
			chunks: "0123 4567 89", at: []time.Duration{s, 2 * s, 3 * s}, readErr: io.EOF},
		{name: "rate", faults: testkit.Faults{BytesPerSecond: 3}, wrote: 10, took: 10 * s / 3,
			chunks: "0 1 2 3 4 5 6 7 8 9", at: thirds(10), readErr: io.EOF},
		{name: "rate in larger pieces", faults: testkit.Faults{BytesPerSecond: 40}, wrote: 10, took: s / 4,
			chunks: "0123 4567 89", at: []time.Duration{s / 10, s / 5, s / 4}, readErr: io.EOF},
		{name: "rate, delay and chunks", faults: testkit.Faults{BytesPerSecond: 100, Delay: s, MaxChunk: 5}, wrote: 10,
			took: 2*s + s/10, chunks: "01234 56789", at: []time.Duration{s + s/20, 2*s + s/10}, readErr: io.EOF},
		{name: "error", faults: testkit.Faults{Err: errInjected, After: 4}, wrote: 4, err: errInjected,
			chunks: "0123", at: []time.Duration{0}, readErr: io.EOF},
		{name: "reset", faults: testkit.Faults{Reset: true, After: 4}, wrote: 4, err: syscall.ECONNRESET,
			chunks: "0123", at: []time.Duration{0}, readErr: syscall.ECONNRESET},
		{name: "EOF", faults: testkit.Faults{EOF: true, After: 4}, wrote: 4, err: syscall.EPIPE,
			chunks: "0123", at: []time.Duration{0}, readErr: io.EOF},
		{name: "stall until the deadline", faults: testkit.Faults{Stall: true, After: 4}, wrote: 4,
			err: os.ErrDeadlineExceeded, took: 9 * s, chunks: "0123", at: []time.Duration{0}, readErr: io.EOF},
		{name: "drop", faults: testkit.Faults{Drop: true, After: 4}, wrote: 10,
			chunks: "0123", at: []time.Duration{0}, readErr: io.EOF},
		{name: "corrupt", faults: testkit.Faults{Corrupt: 'a' ^ '4', After: 4}, wrote: 10,
			chunks: "0123a56789", at: []time.Duration{0}, readErr: io.EOF},
		{name: "corrupt in pieces", faults: testkit.Faults{Corrupt: 'a' ^ '4', After: 4, MaxChunk: 3}, wrote: 10,
			chunks: "012 3a5 678 9", at: []time.Duration{0, 0, 0, 0}, readErr: io.EOF},
		{name: "the deadline cuts a delay", faults: testkit.Faults{Delay: time.Hour}, err: os.ErrDeadlineExceeded,
			took: 9 * s, readErr: io.EOF},
		{name: "the deadline cuts a slow write", faults: testkit.Faults{BytesPerSecond: 1}, wrote: 8,
			err: os.ErrDeadlineExceeded, took: 9 * s, chunks: "0 1 2 3 4 5 6 7",
			at: []time.Duration{s, 2 * s, 3 * s, 4 * s, 5 * s, 6 * s, 7 * s, 8 * s}, readErr: io.EOF},
		{name: "the first break wins", faults: testkit.Faults{Err: errInjected, Stall: true, Drop: true}, err: errInjected,
			readErr: io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t, testkit.Pipe())
				a.Set(testkit.Writes, tt.faults)
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, chunks, at, err := trace(b)
					if got := strings.Join(chunks, " "); got != tt.chunks {
						t.Errorf("the reader saw %q, want %q", got, tt.chunks)
					}
					for i, want := range tt.at {
						if i < len(at) && at[i] != want {
							t.Errorf("chunk %d at %v, want %v", i, at[i], want)
						}
					}
					if !errors.Is(err, tt.readErr) {
						t.Errorf("the reader ended with %v, want %v", err, tt.readErr)
					}
				}()
				start := time.Now()
				require.NoError(t, a.SetDeadline(start.Add(9*time.Second)))
				n, err := a.Write([]byte("0123456789"))
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.wrote, n)
				require.Equal(t, tt.took, time.Since(start))
				require.NoError(t, a.Close())
				<-done
			})
		})
	}
}

func thirds(n int) (at []time.Duration) {
	for i := range n {
		at = append(at, time.Duration(i+1)*time.Second/3)
	}
	return at
}

func TestFaultsOnReads(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name   string
		faults testkit.Faults
		chunks string
		at     []time.Duration
		took   time.Duration
		err    error
	}{
		{"none", testkit.Faults{}, "0123456789", []time.Duration{0}, 0, io.EOF},
		{"delay", testkit.Faults{Delay: 3 * s}, "0123456789", []time.Duration{3 * s}, 6 * s, io.EOF},
		{"chunks", testkit.Faults{MaxChunk: 6}, "012345 6789", []time.Duration{0, 0}, 0, io.EOF},
		{"rate", testkit.Faults{BytesPerSecond: 3}, "0 1 2 3 4 5 6 7 8 9", thirds(10), 10 * s / 3, io.EOF},
		{"rate in larger pieces", testkit.Faults{BytesPerSecond: 40}, "0123 4567 89",
			[]time.Duration{s / 10, s / 5, s / 4}, s / 4, io.EOF},
		{"error", testkit.Faults{Err: errInjected, After: 4}, "0123", []time.Duration{0}, 0, errInjected},
		{"reset", testkit.Faults{Reset: true, After: 4}, "0123", []time.Duration{0}, 0, syscall.ECONNRESET},
		{"EOF", testkit.Faults{EOF: true, After: 4}, "0123", []time.Duration{0}, 0, io.EOF},
		{"stall", testkit.Faults{Stall: true, After: 4}, "0123", []time.Duration{0}, 9 * s, os.ErrDeadlineExceeded},
		{"drop", testkit.Faults{Drop: true, After: 4}, "0123", []time.Duration{0}, 0, io.EOF},
		{"corrupt", testkit.Faults{Corrupt: 'a' ^ '9', After: 9}, "012345678a", []time.Duration{0}, 0, io.EOF},
		{"the deadline cuts a delay", testkit.Faults{Delay: time.Hour}, "", nil, 9 * s, os.ErrDeadlineExceeded},
		{"the deadline cuts a slow read", testkit.Faults{BytesPerSecond: 1, MaxChunk: 4}, "0 1 2 3 4 5 6 7",
			[]time.Duration{s, 2 * s, 3 * s, 4 * s, 5 * s, 6 * s, 7 * s, 8 * s}, 9 * s, os.ErrDeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t)
				b.Set(testkit.Reads, tt.faults)
				_, err := a.Write([]byte("0123456789"))
				require.NoError(t, err)
				if !tt.faults.Reset {
					require.NoError(t, a.CloseWrite())
				}
				start := time.Now()
				require.NoError(t, b.SetDeadline(start.Add(9*time.Second)))
				_, chunks, at, err := trace(b)
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.chunks, strings.Join(chunks, " "))
				require.Equal(t, tt.at, at)
				require.Equal(t, tt.took, time.Since(start))
				if tt.faults.Reset {
					_, err := a.Write([]byte("x"))
					require.ErrorIs(t, err, syscall.ECONNRESET, "both ends are reset")
				}
			})
		})
	}
}

// A slow read that the deadline interrupts loses nothing.
func TestInterruptedReadLosesNothing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, b := testkit.NewConnPair(t)
		b.Set(testkit.Reads, testkit.Faults{BytesPerSecond: 1})
		_, err := a.Write([]byte("ab"))
		require.NoError(t, err)
		start := time.Now()
		b.SetReadDeadline(start.Add(time.Second / 2))
		buf := make([]byte, 10)
		_, err = b.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		b.SetReadDeadline(time.Time{})
		n, err := b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "a", string(buf[:n]))
		require.Equal(t, time.Second, time.Since(start), "the byte went on arriving")

		go func() {
			time.Sleep(time.Second / 4)
			b.Set(testkit.Reads, testkit.Faults{})
		}()
		n, err = b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "b", string(buf[:n]))
		require.Equal(t, time.Second+time.Second/4, time.Since(start), "healing ends the wait")
	})
}

func TestJitterIsRepeatable(t *testing.T) {
	times := func(t *testing.T, seed uint64) (at []time.Duration) {
		testkit.Bubble(t, func(t *testing.T) {
			a, b := testkit.NewConnPair(t)
			a.Write(make([]byte, 5))
			b.Set(testkit.Reads, testkit.Faults{Delay: time.Second, Jitter: time.Second, Seed: seed, MaxChunk: 1})
			a.CloseWrite()
			_, _, at, _ = trace(b)
		})
		return at
	}
	first := times(t, 1)
	require.Len(t, first, 5)
	require.Equal(t, first, times(t, 1))
	require.NotEqual(t, first, times(t, 2))
	last := time.Duration(0)
	for _, at := range first {
		require.GreaterOrEqual(t, at-last, time.Second)
		require.Less(t, at-last, 2*time.Second)
		last = at
	}
}

// Set reaches the calls that are blocked already, and only deadlines of the user's end them.
func TestSetReachesCallsUnderWay(t *testing.T) {
	for _, tr := range memory {
		t.Run(tr.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t, tr)
				start := time.Now()
				b.SetDeadline(start.Add(time.Hour))
				results := make(chan error)
				for range 2 {
					go func() { _, err := b.Read(make([]byte, 1)); results <- err }()
				}
				go func() { _, err := b.Write(make([]byte, 1<<20)); results <- err }()
				synctest.Wait()
				b.Set(testkit.Reads|testkit.Writes, testkit.Faults{Stall: true})
				time.Sleep(time.Minute)
				b.Set(testkit.Reads|testkit.Writes, testkit.Faults{})
				time.Sleep(time.Minute)
				require.Empty(t, results)
				b.Set(testkit.Reads|testkit.Writes, testkit.Faults{Err: errInjected})
				for range 3 {
					require.ErrorIs(t, <-results, errInjected)
				}
				require.Equal(t, 2*time.Minute, time.Since(start))

				b.Set(testkit.Reads|testkit.Writes, testkit.Faults{})
				_, err := b.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Hour, time.Since(start), "the deadline is what it was")
				a.Close()
			})
		})
	}
}

func TestCloseEndsInjectedWaits(t *testing.T) {
	for name, f := range map[string]testkit.Faults{
		"stall": {Stall: true}, "delay": {Delay: time.Hour}, "rate": {BytesPerSecond: 1},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t)
				b.Write([]byte("x"))
				a.Set(testkit.Reads|testkit.Writes, f)
				results := make(chan error)
				go func() { _, err := a.Read(make([]byte, 1)); results <- err }()
				go func() { _, err := a.Write([]byte("y")); results <- err }()
				synctest.Wait()
				start := time.Now()
				require.NoError(t, a.Close())
				require.ErrorIs(t, <-results, net.ErrClosed)
				require.ErrorIs(t, <-results, net.ErrClosed)
				require.Zero(t, time.Since(start))
			})
		})
	}
}

// Every byte of a stream can be the one that goes wrong.
func TestAfterHitsEveryByte(t *testing.T) {
	sent := []byte("0123456789")
	testkit.Bubble(t, func(t *testing.T) {
		for after := range int64(len(sent)) {
			a, b := testkit.NewConnPair(t)
			b.Set(testkit.Reads, testkit.Faults{Corrupt: 0xff, After: after})
			_, err := a.Write(sent)
			require.NoError(t, err)
			a.Close()
			got, err := io.ReadAll(b)
			require.NoError(t, err)
			want := bytes.Clone(sent)
			want[after] ^= 0xff
			require.Equal(t, want, got)
			require.Equal(t, []byte("0123456789"), sent, "the sender's bytes stay")
		}
	})
}

// Bytes that arrive while the faults change are neither lost nor out of order.
func TestSetLosesNothing(t *testing.T) {
	for _, tr := range append(memory[:2:2], testkit.Loopback()) {
		t.Run(tr.String(), func(t *testing.T) {
			a, b := testkit.NewConnPair(t, tr)
			const n = 2000
			want := make([]byte, n)
			for i := range want {
				want[i] = byte(i)
			}
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						b.Set(testkit.Reads, testkit.Faults{MaxChunk: 1 + i%3})
						a.Set(testkit.Writes, testkit.Faults{MaxChunk: 1 + i%2})
					}
				}
			}()
			go func() {
				for i := range want {
					a.Write(want[i : i+1])
				}
				a.CloseWrite()
			}()
			got, err := io.ReadAll(b)
			close(stop)
			<-stopped
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestPiecesOfTwoWritesDoNotMix(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, b := testkit.NewConnPair(t)
		a.Set(testkit.Writes, testkit.Faults{MaxChunk: 1, Delay: time.Second})
		start := time.Now()
		go a.Write([]byte("aaa"))
		go a.Write([]byte("bbb"))
		got := make([]byte, 6)
		_, err := io.ReadFull(b, got)
		require.NoError(t, err)
		require.Contains(t, []string{"aaabbb", "bbbaaa"}, string(got))
		require.Equal(t, 6*time.Second, time.Since(start))
	})
}

func TestResetReachesCallsUnderWay(t *testing.T) {
	for _, tr := range memory[:2] {
		t.Run(tr.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t, tr)
				a.Set(testkit.Writes, testkit.Faults{Reset: true})
				results := make(chan error)
				for _, c := range []*testkit.Conn{a, b} {
					go func() { _, err := c.Read(make([]byte, 1)); results <- err }()
				}
				synctest.Wait()
				_, err := a.Write([]byte("x"))
				require.ErrorIs(t, err, syscall.ECONNRESET)
				require.ErrorIs(t, <-results, syscall.ECONNRESET)
				require.ErrorIs(t, <-results, syscall.ECONNRESET)
				require.NoError(t, a.SetDeadline(time.Now()))
				require.NoError(t, a.Close())
				require.ErrorIs(t, a.Close(), net.ErrClosed)
			})
		})
	}
}

// A fault is not this end's own doing: half-closing after it answers what every call does.
func TestHalfCloseAfterAReset(t *testing.T) {
	for _, tr := range append(memory, testkit.Loopback()) {
		t.Run(tr.String(), func(t *testing.T) {
			a, _ := testkit.NewConnPair(t, tr)
			a.Set(testkit.Writes, testkit.Faults{Reset: true})
			_, err := a.Write([]byte("x"))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			for _, err := range []error{a.CloseWrite(), a.CloseRead()} {
				require.ErrorIs(t, err, syscall.ECONNRESET)
				require.NotErrorIs(t, err, net.ErrClosed)
			}
		})
	}
}

// A byte that a slow Read had begun to take is unread.
func TestCloseResetsOverUnreadBytes(t *testing.T) {
	for tr, deadline := range map[testkit.Transport]time.Duration{
		testkit.Buffered(0, 0): time.Second / 2, testkit.Pipe(): time.Second / 2, testkit.Buffered(10, time.Second): 3 * time.Second / 2,
	} {
		t.Run(tr.String(), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t, tr)
				b.Set(testkit.Reads, testkit.Faults{BytesPerSecond: 1})
				go a.Write([]byte("x"))
				b.SetReadDeadline(time.Now().Add(deadline))
				_, err := b.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, b.Close())
				_, err = a.Read(make([]byte, 1))
				require.ErrorIs(t, err, syscall.ECONNRESET)
			})
		})
	}
}

var waits = map[string]testkit.Faults{
	"stall": {Stall: true}, "delay": {Delay: time.Hour}, "rate": {BytesPerSecond: 1}, "drop": {Drop: true}, "chunks": {MaxChunk: 1},
}

func TestCloseReadEndsInjectedWaits(t *testing.T) {
	for name, f := range waits {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t)
				b.Set(testkit.Reads, f)
				results := make(chan error)
				go func() { _, err := b.Read(make([]byte, 1)); results <- err }()
				synctest.Wait()
				if f.BytesPerSecond > 0 {
					a.Write([]byte("x"))
				}
				synctest.Wait()
				start := time.Now()
				require.NoError(t, b.CloseRead())
				require.Equal(t, io.EOF, <-results)
				require.Zero(t, time.Since(start))
				b.Set(testkit.Reads, f)
				n, err := b.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err, "%d", n)
				require.Zero(t, time.Since(start))
				require.NoError(t, b.Close())
				_, err = a.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err, "what is unread was given up by CloseRead")
			})
		})
	}
}

// What a Read that timed out had begun to take is not given out after CloseRead, and resets nobody.
func TestCloseReadDropsWhatIsUnderWay(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, b := testkit.NewConnPair(t)
		b.Set(testkit.Reads, testkit.Faults{BytesPerSecond: 1})
		a.Write([]byte("x"))
		b.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		b.SetReadDeadline(time.Time{})
		require.NoError(t, b.CloseRead())
		n, err := b.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.Zero(t, n)
		b.Close()
		_, err = a.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
}

func TestCloseWriteEndsInjectedWaits(t *testing.T) {
	for name, f := range waits {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t, testkit.Buffered(10, 0))
				a.Set(testkit.Writes, f)
				type result struct {
					n   int
					err error
				}
				results := make(chan result, 2)
				for range 2 {
					go func() { n, err := a.Write(make([]byte, 100)); results <- result{n, err} }()
				}
				synctest.Wait()
				start := time.Now()
				require.NoError(t, a.CloseWrite())
				sent := 0
				for range 2 {
					r := <-results
					if f.Drop {
						require.NoError(t, r.err)
						continue
					}
					require.ErrorIs(t, r.err, syscall.EPIPE)
					sent += r.n
				}
				require.Zero(t, time.Since(start))
				a.Set(testkit.Writes, f)
				_, err := a.Write([]byte("x"))
				require.ErrorIs(t, err, syscall.EPIPE)
				require.Zero(t, time.Since(start))
				got, err := io.ReadAll(b)
				require.NoError(t, err)
				require.Len(t, got, sent, "Write counts what was sent")
			})
		})
	}
}
