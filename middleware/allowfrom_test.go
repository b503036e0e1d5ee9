package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
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
		"unix, as an IP":     {&net.UnixAddr{Name: "192.0.2.1", Net: "unix"}, false},
		"unix, with a port":  {&net.UnixAddr{Name: "192.0.2.1:80", Net: "unix"}, false},
		"unixpacket":         {&net.UnixAddr{Name: "192.0.2.1", Net: "unixpacket"}, false},
		"unix, no network":   {&net.UnixAddr{Name: "192.0.2.1"}, false},
		"unix of others":     {onUnix{"192.0.2.1:80"}, false},
		"addr's unix":        {addr.FromNet(&net.UnixAddr{Name: "192.0.2.1", Net: "unix"}), false},
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

type onUnix struct{ text }

func (onUnix) Network() string { return "unixgram" }

// A client of a unix socket chooses the path that it binds to, and the client
// of a proxy the one that the header tells.
func TestAllowFromUnixPathAsIP(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, tc := range map[string]struct {
		local, send string
		transport   []lgrp.Middleware
	}{
		"the socket's":     {local: "10.1.2.3"},
		"with a port":      {local: "10.1.2.3:80"},
		"the PROXY header": {local: "proxy", send: string(proxyV2(0x21, 0x31, unixName("10.1.2.3")+unixName("x"))), transport: []lgrp.Middleware{middleware.ProxyProtocol(nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := make(chan middleware.Key, 2)
			look := func(next lgrp.Handler) lgrp.Handler {
				return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
					keys <- middleware.ByIP(nil)(c)
					return next(ctx, nc, c)
				}
			}
			s := &stage{}
			s.start(t, nothing, lgrp.ListenerSpec[struct{}]{
				Addr:      addr.MustParse("unix:s"),
				Transport: append(tc.transport, look, middleware.AllowFrom(middleware.MustIPSet("10.0.0.0/8"))),
			})
			nc, err := net.DialUnix("unix", &net.UnixAddr{Name: tc.local, Net: "unix"}, &net.UnixAddr{Name: "s", Net: "unix"})
			require.NoError(t, err)
			defer nc.Close()
			_, _ = io.WriteString(nc, tc.send) // who is refused may be gone already
			require.Equal(t, lgrp.ReasonDenied, s.awaitEnds(t, 1)[0].why)
			require.Equal(t, middleware.Key{}, <-keys)
		})
	}
}

func TestAllowFromAllocations(t *testing.T) {
	set := middleware.MustIPSet("192.0.2.0/24")
	require.Zero(t, allocations(t, peer("192.0.2.1"), middleware.AllowFrom(set)))
	require.Zero(t, allocations(t, peer("192.0.3.1"), middleware.DenyFrom(set)))
}

func TestAllowFromPanicsOnMisuse(t *testing.T) {
	require.Panics(t, func() { middleware.AllowFrom(nil) })
	require.Panics(t, func() { middleware.DenyFrom(nil) })
}
