package middleware_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func ExampleAllowFrom() {
	office := middleware.MustIPSet("192.0.2.0/24", "2001:db8::/32")
	g, dial := serve(greet, middleware.AllowFrom(office))
	defer g.Close()

	fmt.Println(hear(dial()))
	office.Set(append(office.Prefixes(), netip.MustParsePrefix("127.0.0.0/8"))...)
	fmt.Println(hear(dial()))
	// Output:
	// nothing
	// hello
}

func TestAllowFromAndDenyFrom(t *testing.T) {
	set := middleware.MustIPSet("192.0.2.0/24", "2001:db8::/32")
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for name, test := range map[string]struct {
		peer net.Addr
		in   bool
	}{
		"IPv4":               {tcp("192.0.2.1"), true},
		"another IPv4":       {tcp("192.0.3.1"), false},
		"IPv4, sixteen long": {&net.TCPAddr{IP: net.ParseIP("192.0.2.1").To16()}, true},
		"IPv4, four long":    {&net.TCPAddr{IP: net.ParseIP("192.0.2.1").To4()}, true},
		"IPv6":               {tcp("2001:db8::1"), true},
		"IPv6 with a zone":   {&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Zone: "eth0"}, true},
		"another IPv6":       {tcp("2001:db9::1"), false},
		"UDP":                {&net.UDPAddr{IP: net.ParseIP("192.0.2.1")}, true},
		"IP":                 {&net.IPAddr{IP: net.ParseIP("192.0.2.1")}, true},
		"as text":            {text("192.0.2.1:80"), true},
		"as text, mapped":    {text("[::ffff:192.0.2.1]:80"), true},
		"unix":               {&net.UnixAddr{Name: "@", Net: "unix"}, false},
		"no IP":              {&net.TCPAddr{}, false},
		"a name":             {text("localhost:80"), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(lgrp.AnyConn)
			c.SetRemoteAddr(test.peer)
			allowed := middleware.AllowFrom(set)(nothing)(t.Context(), nil, c)
			denied := middleware.DenyFrom(set)(nothing)(t.Context(), nil, c)
			in, out := denied, allowed // what each says when it refuses
			if test.in {
				require.NoError(t, allowed)
				require.Equal(t, lgrp.ReasonDenied, reasonOf(in))
			} else {
				require.NoError(t, denied)
				require.Equal(t, lgrp.ReasonDenied, reasonOf(out))
			}
		})
	}
}

type text string

func (text) Network() string  { return "tcp" }
func (t text) String() string { return string(t) }

func TestAllowFromAllocations(t *testing.T) {
	set := middleware.MustIPSet("192.0.2.0/24")
	require.Zero(t, allocations(t, peer("192.0.2.1"), middleware.AllowFrom(set)))
	require.Zero(t, allocations(t, peer("192.0.3.1"), middleware.DenyFrom(set)))
}

func TestAllowFromPanicsOnMisuse(t *testing.T) {
	require.Panics(t, func() { middleware.AllowFrom(nil) })
	require.Panics(t, func() { middleware.DenyFrom(nil) })
}
