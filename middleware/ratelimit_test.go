package middleware_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

func ExampleRateLimit() {
	g, dial := serve(greet, middleware.RateLimit(rate.Every(time.Hour), &middleware.RateLimitOptions{
		Burst:   2,
		Key:     middleware.ByIP(nil),
		MaxKeys: 10_000, // peers to remember
	}))
	defer g.Close()
	fmt.Println(hear(dial()), hear(dial()), hear(dial()))
	// Output:
	// hello hello nothing
}

func ExampleRateLimiter() {
	limiter := middleware.NewRateLimiter(0, &middleware.RateLimitOptions{Burst: 1})
	g, dial := serve(greet, limiter.Middleware())
	defer g.Close()

	fmt.Println(hear(dial()), limiter.Tokens(middleware.Key{}), "left")
	fmt.Println(hear(dial()), limiter.Refused(), "refused")
	limiter.Set(rate.Inf, 1)
	fmt.Println(hear(dial()), limiter.Rate() == rate.Inf, limiter.Burst(), limiter.Keys())
	// Output:
	// hello 0 left
	// nothing 1 refused
	// hello true 1 0
}

// As many are let through as the formula says, at every moment.
func TestRateLimitIsExact(t *testing.T) {
	const grid = time.Millisecond
	for name, test := range map[string]struct {
		rate  rate.Limit
		burst int
		for_  time.Duration
	}{
		"one a second":        {1, 1, 10 * time.Second},
		"three a second":      {3, 2, 10 * time.Second},
		"seven, burst of ten": {7, 10, 10 * time.Second},
		"a hundred":           {100, 5, 3 * time.Second},
		"997, nearly each":    {997, 2, 3 * time.Second},
		"one in ten seconds":  {0.1, 2, 65 * time.Second},
		"none":                {0, 4, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				limiter := middleware.NewRateLimiter(test.rate, &middleware.RateLimitOptions{Burst: test.burst})
				h := limiter.Middleware()(nothing)
				c := new(lgrp.AnyConn)
				admitted, refused := 0, 0
				come := func() bool {
					err := h(t.Context(), nil, c)
					if err != nil {
						require.Equal(t, lgrp.ReasonLimit, reasonOf(err))
						refused++
						return false
					}
					admitted++
					return true
				}
				for elapsed := time.Duration(0); elapsed <= test.for_; elapsed += grid {
					for come() {
					}
					// burst + floor(rate * elapsed), in whole numbers
					milli := int64(float64(test.rate)*1000 + 0.5)
					want := int64(test.burst) + milli*int64(elapsed)/int64(1000*time.Second)
					require.EqualValues(t, want, admitted, "after %v", elapsed)
					time.Sleep(grid)
				}
				require.EqualValues(t, refused, limiter.Refused())
			})
		})
	}
}

// Each key has a bucket as rate.Limiter has it, though most are forgotten
// between two connections.
func TestRateLimitByKeyIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			perSecond := rate.Limit(rapid.SampledFrom([]float64{0, 0.5, 1, 3, 100}).Draw(rt, "rate"))
			burst := rapid.IntRange(1, 4).Draw(rt, "burst")
			limiter := middleware.NewRateLimiter(perSecond, &middleware.RateLimitOptions{Burst: burst, Key: middleware.ByIP(nil)})
			h := limiter.Middleware()(nothing)
			truth := map[string]*rate.Limiter{}
			refused := uint64(0)
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				switch rapid.SampledFrom([]string{"come", "come", "come", "wait", "change"}).Draw(rt, "action") {
				case "wait":
					time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
				case "change":
					perSecond = rate.Limit(rapid.IntRange(0, 4).Draw(rt, "rate"))
					limiter.Set(perSecond, burst)
					for _, l := range truth {
						l.SetLimit(perSecond)
					}
				default:
					ip := fmt.Sprintf("192.0.2.%d", rapid.IntRange(1, 5).Draw(rt, "peer"))
					if truth[ip] == nil {
						truth[ip] = rate.NewLimiter(perSecond, burst)
					}
					key := middleware.ByIP(nil)(peer(ip))
					if got, want := limiter.Tokens(key), truth[ip].Tokens(); got != want {
						rt.Fatalf("%s has %v tokens, in truth %v", ip, got, want)
					}
					want := truth[ip].Allow()
					if err := h(rt.Context(), nil, peer(ip)); (err == nil) != want {
						rt.Fatalf("%s came and was told %v, in truth %v", ip, err, want)
					}
					if !want {
						refused++
					}
				}
			}
			if limiter.Refused() != refused || limiter.Keys() > len(truth) {
				rt.Fatalf("%d refused, in truth %d; %d keys of %d", limiter.Refused(), refused, limiter.Keys(), len(truth))
			}
		})
	})
}

// Somebody with 200,000 networks gets through MaxKeys+1 buckets and no more,
// and is forgotten when they have filled up again.
func TestRateLimitUnderAScan(t *testing.T) {
	const keys, scanned = 1000, 200_000
	testkit.Bubble(t, func(t *testing.T) {
		limiter := middleware.NewRateLimiter(1, &middleware.RateLimitOptions{Burst: 2, Key: middleware.ByIP(nil), MaxKeys: keys})
		h := limiter.Middleware()(nothing)
		admitted := 0
		come := func(c *lgrp.AnyConn) {
			if h(t.Context(), nil, c) == nil {
				admitted++
			}
		}
		grown := heapGrowth(func() { scan(scanned, come) })
		require.Equal(t, keys+2, admitted, "one each for those that are remembered, and a burst for all others")
		require.Equal(t, keys, limiter.Keys())
		require.Less(t, grown, int64(keys*500))

		// A peer that came before has its bucket, whatever the crowd does.
		scan(1, come)
		require.Equal(t, keys+3, admitted)

		time.Sleep(time.Second)
		admitted = 0
		scan(scanned, come) // all new ones find room, as the full ones go
		require.GreaterOrEqual(t, keys, limiter.Keys())
		require.LessOrEqual(t, admitted, 2*(keys+1)+2)

		time.Sleep(2 * time.Second)
		for range keys {
			come(peer("192.0.2.1"))
		}
		require.Equal(t, 1, limiter.Keys())
		runtime.KeepAlive(limiter)
	})
}

func TestRateLimitChanged(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		limiter := middleware.NewRateLimiter(10, nil)
		require.Equal(t, 10, limiter.Burst())
		h := limiter.Middleware()(nothing)
		come := func(n int) (admitted int) {
			for range n {
				if h(t.Context(), nil, new(lgrp.AnyConn)) == nil {
					admitted++
				}
			}
			return admitted
		}
		require.Equal(t, 10, come(20))
		time.Sleep(500 * time.Millisecond)
		limiter.Set(1, 3) // five have been saved up
		require.Equal(t, 3, come(20))
		time.Sleep(2 * time.Second)
		require.Equal(t, 2, come(20))
		limiter.Set(0, -1)
		require.Equal(t, 1, limiter.Burst())
		require.Zero(t, limiter.Rate())
		time.Sleep(time.Hour)
		require.Zero(t, come(20))
		limiter.Set(rate.Inf, 1)
		require.Equal(t, 20, come(20))
	})
}

// The burst by default is a second's worth.
func TestRateLimitDefaults(t *testing.T) {
	for r, burst := range map[rate.Limit]int{0: 1, 0.1: 1, 1: 1, 2.5: 2, 100: 100, rate.Inf: 1<<31 - 1} {
		require.Equal(t, burst, middleware.NewRateLimiter(r, nil).Burst(), "%v", r)
	}
	limiter := middleware.NewRateLimiter(0, &middleware.RateLimitOptions{Burst: 1, Key: func(*lgrp.AnyConn) middleware.Key { return middleware.Key{} }})
	for range 10 { // no key, no limit
		require.NoError(t, limiter.Middleware()(nothing)(t.Context(), nil, new(lgrp.AnyConn)))
	}
}

func TestRateLimitAllocations(t *testing.T) {
	require.Zero(t, allocations(t, new(lgrp.AnyConn), middleware.RateLimit(rate.Inf, nil)))
	byIP := &middleware.RateLimitOptions{Key: middleware.ByIP(nil), Burst: 1 << 20}
	require.Zero(t, allocations(t, peer("192.0.2.1"), middleware.RateLimit(1, byIP)))
}
