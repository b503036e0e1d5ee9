package prop

import "time"

// WatchEvery has bubbles be looked at that often, from now on.
func WatchEvery(d time.Duration) { watchEvery = d }
