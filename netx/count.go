package netx

import (
	"net"
	"sync/atomic"
)

// A Counter counts what connections read and write, see [CountConn]. The zero
// value is ready to use, by many goroutines at once.
type Counter struct {
	bytesRead, bytesWritten, reads, writes atomic.Int64
}

// Counts are a [Counter]'s figures at one moment.
type Counts struct {
	// How many bytes were moved, in each direction: those of a Read or Write
	// that failed half-way too.
	BytesRead, BytesWritten int64

	// How often bytes were moved: once for each Read and Write that moved any,
	// and in a splice or sendfile once for each 256 KiB begun.
	Reads, Writes int64
}

// Counts returns the figures so far. Each is exact; they are read one after
// another, so that under traffic they may be of slightly different moments.
func (c *Counter) Counts() Counts {
	return Counts{
		BytesRead:    c.bytesRead.Load(),
		BytesWritten: c.bytesWritten.Load(),
		Reads:        c.reads.Load(),
		Writes:       c.writes.Load(),
	}
}

// CountConn returns nc with its bytes and operations counted, and the counter.
// Both are added to total too, which many connections can share and may be nil.
//
// The figures are exact under io.Copy, [net.Buffers], ReadFrom, WriteTo and
// sendfile, and over TCP none of that gets slower but net.Buffers, see [Wrap]
// and [Meter]. A splice or sendfile under way is counted every 256 KiB and when
// it ends. What somebody reads or writes beneath, through SyscallConn or
// [Underlying], is not counted.
func CountConn(nc net.Conn, total *Counter) (net.Conn, *Counter) {
	c := &countConn{total: total}
	return Metered(nc, c), &c.own
}

type countConn struct {
	Meter
	own   Counter
	total *Counter
}

func (c *countConn) AfterRead(n int) {
	c.own.read(n)
	if c.total != nil {
		c.total.read(n)
	}
}

func (c *countConn) AfterWrite(n int) {
	c.own.wrote(n)
	if c.total != nil {
		c.total.wrote(n)
	}
}

func (c *Counter) read(n int) {
	c.bytesRead.Add(int64(n))
	c.reads.Add(1)
}

func (c *Counter) wrote(n int) {
	c.bytesWritten.Add(int64(n))
	c.writes.Add(1)
}
