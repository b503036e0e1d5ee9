package testkit

import (
	"testing"
	"time"
)

// WatchFaster makes the watchdog of bubbles bite within a tenth of a second, for tests that want to be bitten.
func WatchFaster(t *testing.T) {
	old := watchEvery
	watchEvery = 20 * time.Millisecond
	t.Cleanup(func() { watchEvery = old })
}
