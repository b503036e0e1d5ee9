package testkit_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/netx/memconn"
	"github.com/listengroup/listengroup/testkit"
)

var memory = []testkit.Transport{testkit.Buffered(0, 0), testkit.Pipe(), testkit.Buffered(10, time.Second)}

// going are tests that go wrong. They run in a process of their own, whose output is looked at.
var going = map[string]func(t *testing.T){
	"leak": func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			go func() { select {} }()
		})
		t.Log("the test went on")
	},
	"deadlock": func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) { <-make(chan int) })
		t.Log("the test went on")
	},
	"stopped clock": func(t *testing.T) {
		testkit.WatchFaster(t)
		var mu sync.Mutex
		mu.Lock()
		testkit.Bubble(t, func(t *testing.T) {
			go mu.Lock()
			time.Sleep(time.Second)
		})
		t.Log("the test went on")
	},
	"labelled leak": func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			pprof.Do(t.Context(), pprof.Labels("k", "[running], synctest bubble 9 (durable)"), func(context.Context) {
				go func() { select {} }()
			})
		})
		t.Log("the test went on")
	},
	"labelled stopped clock": func(t *testing.T) {
		testkit.WatchFaster(t)
		var mu sync.Mutex
		mu.Lock()
		testkit.Bubble(t, func(t *testing.T) {
			pprof.Do(t.Context(), pprof.Labels("k", "[running], synctest bubble 9 (durable)"), func(context.Context) {
				go mu.Lock()
			})
			time.Sleep(time.Second)
		})
	},
	"fatal": func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			go func() { select {} }()
			t.Fatal("the reason")
		})
		t.Log("the test went on")
	},
	"spin": func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			ln.SetAcceptError(os.ErrPermission)
			go spin(ln.Accept)
			time.Sleep(time.Second)
			ln.Close()
		})
		t.Log("the test went on")
	},
	"spin on a closed listener": func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			ln := testkit.Listen(t)
			ln.Close()
			go spin(ln.Accept)
		})
		t.Log("the test went on")
	},
	"a listener made outside": func(t *testing.T) {
		ln := testkit.Listen(t)
		testkit.Bubble(t, func(t *testing.T) {
			go spin(ln.Accept)
			time.Sleep(time.Second)
		})
		t.Log("the test went on")
	},
	"a full listener made outside": func(t *testing.T) {
		ln := testkit.Listen(t)
		ln.SetBacklog(1)
		testkit.Bubble(t, func(t *testing.T) {
			for range 2 {
				go ln.Dial()
			}
			time.Sleep(time.Second)
		})
		t.Log("the test went on")
	},
	"a listener made inside": func(t *testing.T) {
		listeners := make(chan *testkit.Listener)
		accepted := make(chan error)
		go func() {
			_, err := (<-listeners).Accept()
			accepted <- err
		}()
		testkit.Bubble(t, func(t *testing.T) {
			listeners <- testkit.Listen(t)
			t.Log("answered:", <-accepted)
		})
	},
	"a connection made outside": func(t *testing.T) {
		c, s := testkit.NewConnPair(t)
		testkit.Bubble(t, func(t *testing.T) {
			go c.Read(make([]byte, 1))
			go s.Write(make([]byte, 1<<20))
			time.Sleep(time.Second)
		})
		t.Log("the test went on")
	},
	"spin at the end": func(t *testing.T) {
		ln := testkit.Listen(t)
		c := ln.NewConn()
		accepted := make(chan struct{})
		go spin(func() (net.Conn, error) {
			nc, err := ln.Accept()
			if err == nil {
				close(accepted)
			}
			return nc, err
		})
		<-accepted
		c.Close()
		time.Sleep(50 * time.Millisecond) // the loop waits in Accept
	},
	"spin after the end": func(t *testing.T) {
		ln := testkit.Listen(t)
		begin := make(chan struct{})
		go func() {
			<-begin
			spin(ln.Accept)
		}()
		afterwards = func(t *testing.T) {
			close(begin)
			time.Sleep(10 * time.Second)
		}
	},
}

func spin[T any](accept func() (T, error)) {
	for {
		accept()
	}
}

func TestGoingWrong(t *testing.T) {
	if name := os.Getenv("TESTKIT_GOING_WRONG"); name != "" {
		going[name](t)
		return
	}
	tests := []struct {
		name      string
		want, not []string
	}{
		{"leak", []string{"bubble_test.go:", "1 leaked goroutine(s), still waiting 2m0s after the test", "testkit_test.init.func1.1.1", "the test went on"}, nil},
		{"deadlock", []string{"deadlock: all goroutines in bubble are blocked", "chan receive", "testkit_test.init.func2.1"}, []string{"the test went on"}},
		{"stopped clock", []string{"clock is stopped", "sync.(*Mutex).Lock"}, []string{"the test went on", "sleep"}},
		{"labelled leak", []string{"1 leaked goroutine(s)", "testkit_test.init", "the test went on"}, nil},
		{"labelled stopped clock", []string{"clock is stopped", "sync.(*Mutex).Lock"}, nil},
		{"fatal", []string{"the reason", "1 leaked goroutine(s)"}, nil},
		{"spin", []string{"an accept loop on 192.0.2.1:1001 does not back off: 10000 calls of Accept within 1s", "permission denied"}, []string{"leaked"}},
		{"a listener made outside", []string{"testkit: accept on 192.0.2.1:1001: it was made outside of the bubble it is used in",
			"does not back off", "the test went on"}, []string{"leaked"}},
		{"a full listener made outside", []string{"testkit: dial on 192.0.2.1:1001: it was made outside of the bubble it is used in",
			"the test went on"}, []string{"leaked"}},
		{"a listener made inside", []string{"testkit: accept on 192.0.2.1:1001: it was made in a bubble and is used outside of it",
			"answered: accept tcp 192.0.2.1:1001: it was made in a bubble"}, nil},
		{"a connection made outside", []string{
			"testkit: read on 192.0.2.2:10001->192.0.2.1:1001: it was made outside of the bubble it is used in",
			"testkit: write on 192.0.2.1:1001->192.0.2.2:10001: it was made", "the test went on"}, []string{"leaked"}},
		{"spin at the end", []string{"does not back off", "use of closed network connection"}, nil},
		{"spin on a closed listener", []string{"does not back off", "use of closed network connection"}, []string{"leaked"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, code := goWrong(t, tt.name)
			require.Equal(t, 1, code, "%s", out)
			require.Contains(t, out, "--- FAIL: TestGoingWrong", "an ordinary failure")
			require.NotContains(t, out, "panic:")
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
			for _, not := range tt.not {
				require.NotContains(t, out, not)
			}
		})
	}
}

// goWrong runs a test that goes wrong and returns its output and exit code.
func goWrong(t *testing.T, name string) (out string, code int) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestGoingWrong(Afterwards)?$", "-test.v", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), "TESTKIT_GOING_WRONG="+name, "GODEBUG=tracebacklabels=1")
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", output)
	return string(output), exit.ExitCode()
}

// afterwards is a test that runs when the one that goes wrong is over.
var afterwards func(t *testing.T)

func TestGoingWrongAfterwards(t *testing.T) {
	if afterwards != nil {
		afterwards(t)
	}
}

// Nobody is there any more who could be told.
func TestSpinAfterTheTest(t *testing.T) {
	out, code := goWrong(t, "spin after the end")
	require.Equal(t, 2, code, "%s", out)
	require.Contains(t, out, "panic: testkit: TestGoingWrong is over, and an accept loop on 192.0.2.1:1001 does not back off")
	require.NotContains(t, out, "Fail in goroutine")
}

// A wrapped connection has no test that it could fail.
func TestWrappedConnOfAnotherBubble(t *testing.T) {
	a, b := memconn.Pair(nil, nil, nil)
	defer b.Close()
	c := testkit.Wrap(a)
	testkit.Bubble(t, func(t *testing.T) {
		require.PanicsWithValue(t, "testkit: read on mem->mem: it was made outside of the bubble it is used in: make it inside",
			func() { c.Read(make([]byte, 1)) })
	})
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
}

func TestGoroutinesGetTimeToFinish(t *testing.T) {
	finished := false
	testkit.Bubble(t, func(t *testing.T) {
		go func() {
			<-t.Context().Done()
			time.Sleep(time.Minute)
			finished = true
		}()
	})
	require.True(t, finished)
}

func TestSkipInBubble(t *testing.T) {
	ran := t.Run("skip", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) { t.Skip() })
	})
	require.True(t, ran)
}
