package prop

import (
	"fmt"

	"pgregory.net/rapid"
)

// Payload is bytes to send. It prints as a quoted text.
type Payload []byte

// GoString is how rapid shows a drawn Payload.
func (p Payload) GoString() string {
	const most = 60
	if len(p) > most {
		return fmt.Sprintf("%q… (%d bytes)", []byte(p[:most]), len(p))
	}
	return fmt.Sprintf("%q", []byte(p))
}

// String is GoString.
func (p Payload) String() string { return p.GoString() }

// Payloads draws what applications send: letters, line ends, zeros, bytes that are no text, up to max bytes;
// max of 0 or less means 200. It shrinks to nothing and to the letter a.
func Payloads(max int) *rapid.Generator[Payload] {
	if max <= 0 {
		max = 200
	}
	symbols := []byte("ab\n\r:0 \x00\xff\x16\x80")
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(symbols), 0, max), func(b []byte) Payload { return b })
}

// Chunking says how a stream is cut into writes: the sizes are used in turn. None means one write for all.
type Chunking []int

// GoString is how rapid shows a drawn Chunking.
func (c Chunking) GoString() string {
	if len(c) == 0 {
		return "in one piece"
	}
	return fmt.Sprintf("in pieces of %v", []int(c))
}

// String is GoString.
func (c Chunking) String() string { return c.GoString() }

// Split cuts p, and never returns an empty piece.
func (c Chunking) Split(p []byte) (pieces [][]byte) {
	for i := 0; len(p) > 0; i++ {
		n := len(p)
		if len(c) > 0 {
			n = min(n, max(1, c[i%len(c)]))
		}
		pieces = append(pieces, p[:n:n])
		p = p[n:]
	}
	return pieces
}

// Chunkings draws how streams arrive. It shrinks to one piece, and to few and small sizes.
func Chunkings() *rapid.Generator[Chunking] {
	return rapid.Map(rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 3), rapid.IntRange(1, 100)), 0, 4),
		func(sizes []int) Chunking { return sizes })
}
