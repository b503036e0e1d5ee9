package prop

import (
	"time"

	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
)

// LimitPolicies draws what becomes of connections beyond a limit. It shrinks to lgrp.Backlog().
func LimitPolicies() *rapid.Generator[lgrp.LimitPolicy] {
	return rapid.Custom(func(t *rapid.T) lgrp.LimitPolicy {
		switch rapid.IntRange(0, 3).Draw(t, "policy") {
		case 1:
			return lgrp.Queue(Delays(10*time.Second).Draw(t, "timeout"))
		case 2:
			return lgrp.Reject([]byte("full\n"), time.Second)
		case 3:
			return lgrp.EvictIdle()
		}
		return lgrp.Backlog()
	})
}

// ListenerSpecs draws listeners for a group in w, with ids from a to c that may therefore be taken, small limits
// and all policies. It shrinks to a, without a limit.
func ListenerSpecs(w *World) *rapid.Generator[lgrp.ListenerSpec[struct{}]] {
	return rapid.Custom(func(t *rapid.T) lgrp.ListenerSpec[struct{}] {
		return lgrp.ListenerSpec[struct{}]{
			ID:        string(rune('a' + rapid.IntRange(0, 2).Draw(t, "id"))),
			Listener:  w.Net.Listen(w),
			MaxConns:  rapid.IntRange(0, 3).Draw(t, "limit"),
			OnLimit:   LimitPolicies().Draw(t, "on limit"),
			Acceptors: rapid.IntRange(0, 2).Draw(t, "acceptors"),
		}
	})
}
