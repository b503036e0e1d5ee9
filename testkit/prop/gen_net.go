package prop

import (
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/testkit"
)

// Transports draws what carries the bytes of a connection in a bubble. It shrinks to testkit.Buffered(0, 0).
func Transports() *rapid.Generator[testkit.Transport] {
	return rapid.Custom(func(t *rapid.T) testkit.Transport {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 1:
			return testkit.Buffered(0, Delays(time.Second).Draw(t, "latency"))
		case 2:
			return testkit.Buffered(rapid.IntRange(1, 64).Draw(t, "size"), 0)
		case 3:
			return testkit.Pipe()
		}
		return testkit.Buffered(0, 0)
	})
}

// Delays draws durations up to max, spread over the orders of magnitude and never a round number, so that a
// drawn delay does not fall on the same instant as somebody's timer. It shrinks to 0.
func Delays(max time.Duration) *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		scale := rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Millisecond, 100 * time.Millisecond, time.Second}).Draw(t, "scale")
		if scale == 0 {
			return 0
		}
		return min(max, time.Duration(rapid.IntRange(1, 20).Draw(t, "units"))*scale+137*time.Nanosecond)
	})
}
