package testkit

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"
)

// Direction says which calls on a Conn faults apply to.
type Direction uint8

// The directions. Reads|Writes is both.
const (
	Reads Direction = 1 << iota
	Writes
)

// Faults are what goes wrong in one direction of one end of a connection. The zero value is no fault.
// They combine: the first group slows transfers down, After lets a number of bytes pass, and what
// follows happens behind them (if several of it are set, the first in the order below).
//
// A transfer is one call of Read, or one piece of a Write: faults cut a Write into pieces where they must.
// Every wait is exact in a bubble's time and ends at the deadline, at Close, at CloseRead or CloseWrite, and
// when the faults change; then the call goes on under the new faults.
type Faults struct {
	// Delay is the time each transfer waits before it begins.
	Delay time.Duration

	// Jitter adds a random time in [0, Jitter) to each delay: the same ones for the same Seed.
	Jitter time.Duration
	Seed   uint64

	// BytesPerSecond limits the rate: n bytes take n/BytesPerSecond seconds and have passed when that
	// time is over. Transfers are at most a tenth of a second long, but at least a byte. 0: no limit.
	BytesPerSecond int

	// MaxChunk is how many bytes a transfer moves at most. 0: no limit.
	MaxChunk int

	// After is how many bytes pass, counted from Set, before one of the following happens.
	After int64

	// Err is what calls answer, wrapped in a *net.OpError.
	Err error

	// Reset breaks the connection: calls on both ends answer ECONNRESET.
	Reset bool

	// EOF ends the stream early: reads answer io.EOF; for writes the other end reads io.EOF, and
	// this one answers EPIPE.
	EOF bool

	// Stall makes calls wait.
	Stall bool

	// Drop loses the bytes: writes succeed, and reads go on waiting.
	Drop bool

	// Corrupt is XORed to one byte, the one behind the first After. It has nothing to do with the
	// order above.
	Corrupt byte
}

// GoString shows the fields that are set, as rapid does with what it has drawn.
func (f Faults) GoString() string {
	var set []string
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			set = append(set, fmt.Sprintf("%s: %v", v.Type().Field(i).Name, v.Field(i)))
		}
	}
	return "testkit.Faults{" + strings.Join(set, ", ") + "}"
}

type breakKind uint8

const (
	breakNothing breakKind = iota
	breakErr
	breakReset
	breakEOF
	breakStall
	breakDrop
)

// breaking is what happens behind the first After bytes.
func (f *Faults) breaking() breakKind {
	switch {
	case f.Err != nil:
		return breakErr
	case f.Reset:
		return breakReset
	case f.EOF:
		return breakEOF
	case f.Stall:
		return breakStall
	case f.Drop:
		return breakDrop
	}
	return breakNothing
}

func (f *Faults) any() bool {
	return f.breaking() != breakNothing || f.Delay > 0 || f.Jitter > 0 || f.BytesPerSecond > 0 || f.MaxChunk > 0 || f.Corrupt != 0
}

// Set makes f the faults of the given directions, in place of those set before, and counts After from
// here. Calls under way notice: they go on under the new faults. Set(Reads|Writes, Faults{}) heals. A
// direction that this end has closed, with CloseRead or CloseWrite, has no faults.
func (c *Conn) Set(dir Direction, f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if dir&Reads != 0 {
		c.reads.set(f)
		c.interrupt(&c.reads)
	}
	if dir&Writes != 0 {
		c.writes.set(f)
		c.interrupt(&c.writes)
	}
}

// flow is one direction of one end. Everything in it is guarded by the Conn's lock.
type flow struct {
	faults   Faults
	faulty   bool
	gen      int   // counts Set
	passed   int64 // bytes since Set
	owed     int64 // what BytesPerSecond has rounded off, in byte·ns
	random   *rand.Rand
	deadline time.Time
	changed  chan struct{} // closed when any of this changed; made by who waits

	staged   []byte // read from the inner connection, not yet given out
	stagedAt time.Time
	used     bool // by a call that was where the connection was made
	writing  bool // a Write owns the direction, so that the pieces of two do not mix
	shut     bool // CloseRead or CloseWrite: there are no faults any more

	active      int // calls of the inner connection under way
	interrupted bool
}

func (f *flow) set(faults Faults) {
	if f.shut {
		faults = Faults{}
	}
	f.faults, f.faulty = faults, faults.any()
	f.gen++
	f.passed, f.owed, f.stagedAt = 0, 0, time.Time{}
	f.random = nil
	if faults.Jitter > 0 {
		f.random = rand.New(rand.NewPCG(faults.Seed, 0))
	}
	f.notify()
}

// shutdown ends the direction, and with it the waits of calls under way.
func (f *flow) shutdown() {
	f.shut, f.staged = true, nil
	f.set(Faults{})
}

func (f *flow) notify() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

func (f *flow) delay() time.Duration {
	d := f.faults.Delay
	if f.random != nil {
		d += time.Duration(f.random.Int64N(int64(f.faults.Jitter)))
	}
	return d
}

// limit is how many of n bytes the next transfer moves.
func (f *flow) limit(n int) int {
	if f.faults.MaxChunk > 0 {
		n = min(n, f.faults.MaxChunk)
	}
	if r := f.faults.BytesPerSecond; r > 0 {
		n = min(n, max(1, r/10))
	}
	if f.faults.breaking() != breakNothing {
		n = int(min(int64(n), f.faults.After-f.passed))
	}
	return n
}

// cost is how long n bytes take. What is rounded off is charged later, so that a second's worth of bytes
// takes a second.
func (f *flow) cost(n int) time.Duration {
	r := int64(f.faults.BytesPerSecond)
	if r <= 0 {
		return 0
	}
	f.owed += int64(n) * int64(time.Second)
	d := f.owed / r
	f.owed %= r
	return time.Duration(d)
}

// broken tells whether the next byte is behind the first After.
func (f *flow) broken() bool {
	return f.faults.breaking() != breakNothing && f.passed >= f.faults.After
}

// pass counts b as transferred and corrupts it where that is asked for.
func (f *flow) pass(b []byte) {
	if i := f.faults.After - f.passed; f.faults.Corrupt != 0 && i >= 0 && i < int64(len(b)) {
		b[i] ^= f.faults.Corrupt
	}
	f.passed += int64(len(b))
}
