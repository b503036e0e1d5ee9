package middleware_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/middleware"
)

func ExampleIPSet() {
	set := middleware.MustIPSet("10.0.0.0/8", "::1")
	fmt.Println(set.Contains(netip.MustParseAddr("10.1.2.3")), set.Contains(netip.MustParseAddr("::ffff:10.1.2.3")))
	fmt.Println(set.Prefixes())
	// Output:
	// true true
	// [10.0.0.0/8 ::1/128]
}

func TestIPSet(t *testing.T) {
	for name, test := range map[string]struct {
		set     []string
		in, out []string
	}{
		"empty":              {nil, nil, []string{"0.0.0.0", "::", "::1"}},
		"one address":        {[]string{"192.0.2.7"}, []string{"192.0.2.7", "::ffff:192.0.2.7"}, []string{"192.0.2.6", "192.0.2.8", "::192.0.2.7"}},
		"edges":              {[]string{"192.0.2.64/26"}, []string{"192.0.2.64", "192.0.2.127"}, []string{"192.0.2.63", "192.0.2.128"}},
		"host bits":          {[]string{"192.0.2.99/26"}, []string{"192.0.2.64", "192.0.2.127"}, []string{"192.0.2.63", "192.0.2.128"}},
		"all of IPv4":        {[]string{"0.0.0.0/0"}, []string{"0.0.0.0", "255.255.255.255"}, []string{"::", "::1"}},
		"all of IPv6":        {[]string{"::/0"}, []string{"::", "ffff::", "fe80::1%eth0"}, []string{"0.0.0.0", "::ffff:1.2.3.4"}},
		"mapped":             {[]string{"::ffff:10.0.0.0/104"}, []string{"10.0.0.1", "::ffff:10.9.9.9"}, []string{"11.0.0.1"}},
		"mapped, one":        {[]string{"::ffff:10.0.0.1"}, []string{"10.0.0.1"}, []string{"10.0.0.2"}},
		"nested":             {[]string{"10.0.0.0/8", "10.1.0.0/16", "10.255.0.0/16"}, []string{"10.0.0.0", "10.1.2.3", "10.254.0.0", "10.255.255.255"}, []string{"9.255.255.255", "11.0.0.0"}},
		"nested, other way":  {[]string{"10.1.0.0/16", "10.0.0.0/8"}, []string{"10.0.0.0", "10.200.0.0"}, []string{"11.0.0.0"}},
		"neighbours":         {[]string{"10.0.0.0/9", "10.128.0.0/9"}, []string{"10.127.255.255", "10.128.0.0"}, []string{"11.0.0.0"}},
		"both families":      {[]string{"10.0.0.0/8", "2001:db8::/32"}, []string{"10.0.0.1", "2001:db8::1"}, []string{"2001:db7::", "2001:db9::"}},
		"zone in the set":    {[]string{"fe80::1%eth0"}, []string{"fe80::1", "fe80::1%eth1"}, []string{"fe80::2"}},
		"the last addresses": {[]string{"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"255.255.255.254"}},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := middleware.NewIPSet(test.set...)
			require.NoError(t, err)
			for _, s := range test.in {
				require.True(t, set.Contains(netip.MustParseAddr(s)), s)
			}
			for _, s := range test.out {
				require.False(t, set.Contains(netip.MustParseAddr(s)), s)
			}
			require.False(t, set.Contains(netip.Addr{}))
		})
	}
}

func TestIPSetErrors(t *testing.T) {
	for _, s := range []string{"", "10.0.0.0/33", "10.0.0", "host", "10.0.0.0/", "/8", "fe80::%eth0/10", "10.0.0.1:80"} {
		_, err := middleware.NewIPSet("10.0.0.0/8", s)
		require.ErrorContains(t, err, "middleware: IPSet: ", s)
		require.Panics(t, func() { middleware.MustIPSet(s) })
	}
	var set middleware.IPSet
	require.Empty(t, set.Prefixes())
	set.Set(netip.Prefix{})
	require.False(t, set.Contains(netip.MustParseAddr("0.0.0.0")))
}

// The set contains what one of its prefixes contains, one after another.
func TestIPSetIsItsPrefixes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		addr := rapid.Custom(func(rt *rapid.T) netip.Addr {
			var b [16]byte
			n := 4
			if rapid.Bool().Draw(rt, "six") {
				n = 16
			}
			for i := range 2 { // few different ones, so that they meet
				b[i] = rapid.SampledFrom([]byte{0, 1, 127, 128, 255}).Draw(rt, "byte")
			}
			b[n-1] = rapid.SampledFrom([]byte{0, 1, 254, 255}).Draw(rt, "last")
			a, _ := netip.AddrFromSlice(b[:n])
			return a
		})
		var prefixes []netip.Prefix
		for _, a := range rapid.SliceOfN(addr, 0, 6).Draw(rt, "networks") {
			prefixes = append(prefixes, netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(rt, "bits")))
		}
		var set middleware.IPSet
		set.Set(prefixes...)
		for _, a := range rapid.SliceOfN(addr, 1, 8).Draw(rt, "addresses") {
			want := false
			for _, p := range prefixes {
				want = want || p.Contains(a)
			}
			if set.Contains(a) != want {
				rt.Fatalf("%v contains %v: %v", prefixes, a, !want)
			}
		}
	})
}

// A lookup sees the old set or the new, never something in between.
func TestIPSetSwappedWhileUsed(t *testing.T) {
	one, two := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	set := middleware.MustIPSet()
	set.Set(one, two)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 2000 {
			set.Set(two, one)
			set.Set(one, two)
		}
	})
	missed := 0
	for range 2000 {
		if !set.Contains(one.Addr()) || !set.Contains(two.Addr()) || len(set.Prefixes()) != 2 {
			missed++
		}
	}
	wg.Wait()
	require.Zero(t, missed)
}
