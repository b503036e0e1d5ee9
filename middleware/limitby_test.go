package middleware_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func ExampleLimitBy() {
	byName := func(c *lgrp.AnyConn) middleware.Key { // stands inside TLS
		return middleware.NameKey(c.Info().ServerName)
	}
	g, dial := serve(greet, middleware.LimitBy(2, byName))
	defer g.Close()
	fmt.Println(hear(dial()), hear(dial()), hear(dial()))
	// Output:
	// hello hello nothing
}

func ExampleKeyLimiter() {
	limiter := middleware.NewKeyLimiter(1, middleware.ByIP(nil))
	g, dial := serve(greet, limiter.Middleware())
	defer g.Close()

	fmt.Println(hear(dial()), hear(dial()), limiter.Refused(), "refused")
	for key, n := range limiter.Keys() {
		fmt.Println(key, n, "of", limiter.Max())
	}
	limiter.SetMax(2)
	key := middleware.PrefixKey(netip.MustParsePrefix("127.0.0.1/32"))
	fmt.Println(hear(dial()), limiter.Active(key), "of", limiter.Max())
	// Output:
	// hello nothing 1 refused
	// 127.0.0.1/32 1 of 1
	// hello 2 of 2
}

func ExampleByIP() {
	key := middleware.ByIP(&middleware.ByIPOptions{IPv4Bits: 24, IPv6Bits: 56})
	c := new(lgrp.AnyConn)
	for _, ip := range []string{"192.0.2.7", "::ffff:192.0.2.8", "2001:db8::1:2:3:4"} {
		c.SetRemoteAddr(peer(ip).RemoteAddr())
		fmt.Println(key(c))
	}
	// Output:
	// 192.0.2.0/24
	// 192.0.2.0/24
	// 2001:db8::/56
}

func TestByIP(t *testing.T) {
	for name, test := range map[string]struct {
		opts *middleware.ByIPOptions
		ip   string
		want string
	}{
		"IPv4":                      {nil, "192.0.2.1", "192.0.2.1/32"},
		"IPv4 in IPv6":              {nil, "::ffff:192.0.2.1", "192.0.2.1/32"},
		"IPv6":                      {nil, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		"on the link":               {nil, "fe80::3:4", "fe80::3:4/128"},
		"IPv4 network":              {&middleware.ByIPOptions{IPv4Bits: 20}, "192.0.255.1", "192.0.240.0/20"},
		"IPv4 in IPv6 network":      {&middleware.ByIPOptions{IPv4Bits: 20}, "::ffff:192.0.255.1", "192.0.240.0/20"},
		"IPv6 where IPv4 was set":   {&middleware.ByIPOptions{IPv4Bits: 20}, "2001:db8::1", "2001:db8::/64"},
		"IPv6 network":              {&middleware.ByIPOptions{IPv6Bits: 48}, "2001:db8:1:2::1", "2001:db8:1::/48"},
		"IPv6, every address alone": {&middleware.ByIPOptions{IPv6Bits: 128}, "2001:db8::1", "2001:db8::1/128"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, middleware.ByIP(test.opts)(peer(test.ip)).String())
		})
	}
	require.Equal(t, middleware.Key{}, middleware.ByIP(nil)(new(lgrp.AnyConn)))
	for _, o := range []middleware.ByIPOptions{{IPv4Bits: 33}, {IPv4Bits: -1}, {IPv6Bits: 129}, {IPv6Bits: -1}} {
		require.Panics(t, func() { middleware.ByIP(&o) })
	}
}

func TestKey(t *testing.T) {
	require.Equal(t, "a.example", middleware.NameKey("a.example").String())
	require.NotEqual(t, middleware.Key{}, middleware.NameKey(""))
	require.Empty(t, middleware.NameKey("").String())
	require.Empty(t, middleware.Key{}.String())
	require.Equal(t, middleware.PrefixKey(netip.MustParsePrefix("10.0.0.0/8")), middleware.PrefixKey(netip.MustParsePrefix("10.1.0.0/8")))
	require.NotEqual(t, middleware.PrefixKey(netip.MustParsePrefix("10.0.0.0/8")), middleware.NameKey("10.0.0.0/8"))
}

// Whoever comes, goes and turns the limit: who is let in is who has room.
func TestLimitPerIPIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			ips := []string{"192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"}
			network := map[string]string{ // of each, whose limit it shares
				"192.0.2.1": "192.0.2.1/32", "192.0.2.2": "192.0.2.2/32", "::ffff:192.0.2.1": "192.0.2.1/32",
				"2001:db8::1": "2001:db8::/64", "2001:db8::ffff": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64",
			}
			max := rapid.IntRange(0, 3).Draw(rt, "limit")
			limiter := middleware.NewKeyLimiter(max, middleware.ByIP(nil))
			holders := map[string]*holder{}
			for _, ip := range ips {
				holders[ip] = new(holder)
			}
			rt.Cleanup(func() {
				for _, h := range holders {
					h.release(-1)
					h.wg.Wait()
				}
			})
			in, refused := map[string]int{}, uint64(0)
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				ip := rapid.SampledFrom(ips).Draw(rt, "peer")
				h, n := holders[ip], network[ip]
				switch action := rapid.SampledFrom([]string{"come", "come", "go", "limit"}).Draw(rt, "action"); {
				case action == "go" && h.size() > 0:
					h.release(1)
					synctest.Wait()
					if in[n]--; in[n] == 0 {
						delete(in, n)
					}
				case action == "limit":
					max = rapid.IntRange(0, 3).Draw(rt, "limit")
					limiter.SetMax(max)
				default:
					err := h.enter(limiter.Middleware()(h.handle), peer(ip), synctest.Wait)
					if room := max == 0 || in[n] < max; (err == nil) != room {
						rt.Fatalf("%s came, %d of at most %d there: %v", ip, in[n], max, err)
					}
					if err == nil {
						in[n]++
					} else {
						refused++
					}
				}
				got := map[string]int{}
				for k, n := range limiter.Keys() {
					got[k.String()] = n
					if limiter.Active(k) != n {
						rt.Fatalf("%v: %d, and %d", k, n, limiter.Active(k))
					}
				}
				if !maps.Equal(got, in) || limiter.Refused() != refused {
					rt.Fatalf("limiter says %v and %d refused; in truth %v and %d", got, limiter.Refused(), in, refused)
				}
			}
		})
	})
}

// A peer that comes from 300,000 networks, one after another, leaves nothing.
func TestLimitByMemoryIsBounded(t *testing.T) {
	limiter := middleware.NewKeyLimiter(2, middleware.ByIP(nil))
	h := limiter.Middleware()(nothing)
	grown := heapGrowth(func() { scan(300_000, func(c *lgrp.AnyConn) { _ = h(t.Context(), nil, c) }) })
	require.Empty(t, maps.Collect(limiter.Keys()))
	require.Zero(t, limiter.Refused())
	require.Less(t, grown, int64(64<<10))
	runtime.KeepAlive(limiter)
}

// Nor do a thousand that are there at the same time, but a few records for those
// to come.
func TestLimitByKeepsFewRecordsAfterAFlood(t *testing.T) {
	limiter := middleware.NewKeyLimiter(1, func(c *lgrp.AnyConn) middleware.Key { return middleware.NameKey(c.Info().Note) })
	inside := 0
	var h lgrp.Handler
	h = limiter.Middleware()(func(ctx context.Context, _ net.Conn, c *lgrp.AnyConn) error {
		if inside++; inside == 1000 {
			return nil
		}
		c.SetNote(strconv.Itoa(inside))
		return h(ctx, nil, c)
	})
	c := new(lgrp.AnyConn)
	c.SetNote("0")
	require.NoError(t, h(t.Context(), nil, c))
	require.Equal(t, 1000, inside)
	require.Empty(t, maps.Collect(limiter.Keys()))
	require.LessOrEqual(t, middleware.SpareKeys(limiter), 64)
}

// scan calls f for n peers, each in an IPv6 network of its own.
func scan(n int, f func(c *lgrp.AnyConn)) {
	c := new(lgrp.AnyConn)
	a := must(netip.ParseAddr("2001:db8::1")).As16()
	addr := peer("2001:db8::1").RemoteAddr()
	c.SetRemoteAddr(scanned{addr.Network(), &a})
	for i := range n {
		binary.BigEndian.PutUint32(a[4:], uint32(i))
		f(c)
	}
}

type scanned struct {
	network string
	ip      *[16]byte
}

func (s scanned) Network() string { return s.network }
func (s scanned) String() string  { return netip.AddrFrom16(*s.ip).String() }

// heapGrowth returns how much more is reachable after f than before.
func heapGrowth(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func TestLimitByWithoutAKey(t *testing.T) {
	limiter := middleware.NewKeyLimiter(1, func(*lgrp.AnyConn) middleware.Key { return middleware.Key{} })
	h := limiter.Middleware()
	outer := h(h(h(nothing)))
	require.NoError(t, outer(t.Context(), nil, new(lgrp.AnyConn)))
	require.Panics(t, func() { middleware.LimitBy(1, nil) })
}

func TestLimitByAllocations(t *testing.T) {
	name := middleware.NameKey("a.example")
	require.Zero(t, allocations(t, new(lgrp.AnyConn), middleware.LimitBy(1, func(*lgrp.AnyConn) middleware.Key { return name })))
}
