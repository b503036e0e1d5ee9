package prop_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit/prop"
)

// hang stops the clock of a bubble: a mutex is waited for, and nobody gives it back.
func hang() {
	fmt.Println("the clock is stopped")
	var mu sync.Mutex
	mu.Lock()
	go mu.Lock()
	time.Sleep(time.Second)
	mu.Unlock()
}

// A clock that stands still is reported, and not waited for again and again while the case is made smaller. What
// the case has logged is shown; with -race, that is no data race with the goroutines that are left behind.
func TestAStoppedClockIsReportedOnce(t *testing.T) {
	const variable = "PROP_TEST_HANG"
	switch os.Getenv(variable) {
	case "Check":
		prop.WatchEvery(20 * time.Millisecond)
		prop.Check(t, func(w *prop.World) {
			w.Logf("a line of the case's")
			if n := prop.Payloads(5).Draw(w.T, "n"); len(n) > 2 {
				hang()
			}
		})
	case "Model":
		prop.WatchEvery(20 * time.Millisecond)
		prop.Model{
			New:     func(w *prop.World, h lgrp.Handler) prop.System { return newPlain(h) },
			Actions: []prop.Action{{Name: "hang", Do: func(*prop.State) { hang() }}},
		}.Check(t)
	case "":
		for _, what := range []string{"Check", "Model"} {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
			child.Dir = t.TempDir() // for files that rapid writes
			child.Env = append(os.Environ(), variable+"="+what)
			out, err := child.CombinedOutput()
			require.Error(t, err, "the child: %s", out)
			require.Contains(t, string(out), "the bubble does not come to rest", what)
			require.Contains(t, string(out), "sync.(*Mutex).Lock", what)
			require.NotContains(t, string(out), "DATA RACE", what)
			require.Equal(t, 1, strings.Count(string(out), "the clock is stopped"), "%s: tries: %s", what, out)
			if what == "Check" {
				require.Contains(t, string(out), "a line of the case's")
			}
		}
	}
}
