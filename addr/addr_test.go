package addr_test

import (
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
)

// view is all that an address tells about itself.
type view struct {
	scheme, host, hostPort, zone, iface, path, name, owner, group string
	first, last                                                   int
	hasPort, isIP                                                 bool
	mode                                                          fs.FileMode
	params                                                        []string
}

func look(a addr.Addr) view {
	v := view{
		scheme: a.Scheme(), host: a.Host(), hostPort: a.HostPort(), zone: a.Zone(), iface: a.Interface(),
		path: a.Path(), name: a.Name(), owner: a.Owner(), group: a.Group(),
	}
	v.first, v.last, v.hasPort = a.PortRange()
	_, v.isIP = a.IP()
	v.mode, _ = a.Mode()
	for key, value := range a.Params() {
		v.params = append(v.params, key+"="+value)
	}
	return v
}

func TestParts(t *testing.T) {
	for in, want := range map[string]view{
		":80":                {scheme: "tcp", hostPort: ":80", first: 80, last: 80, hasPort: true},
		"localhost:80-90":    {scheme: "tcp", host: "localhost", hostPort: "localhost:80-90", first: 80, last: 90, hasPort: true},
		"[fe80::1%eth0]:0":   {scheme: "tcp", host: "fe80::1%eth0", hostPort: "[fe80::1%eth0]:0", zone: "eth0", isIP: true, hasPort: true},
		"tcp4://10.0.0.1:80": {scheme: "tcp4", host: "10.0.0.1", hostPort: "10.0.0.1:80", isIP: true, first: 80, last: 80, hasPort: true},
		"tcp6://%eth0:80":    {scheme: "tcp6", host: "%eth0", hostPort: "%eth0:80", iface: "eth0", first: 80, last: 80, hasPort: true},
		"[%eth0:1]:80":       {scheme: "tcp", host: "%eth0:1", hostPort: "[%eth0:1]:80", iface: "eth0:1", first: 80, last: 80, hasPort: true},
		"tcp://fd:80":        {scheme: "tcp", host: "fd", hostPort: "[fd]:80", first: 80, last: 80, hasPort: true},
		"/run/a%20b":         {scheme: "unix", path: "/run/a b"},
		"unix:a":             {scheme: "unix", path: "a"},
		"unix:a//b":          {scheme: "unix", path: "a//b"},
		"//a":                {scheme: "unix", path: "//a"},
		"@a%00":              {scheme: "unix", path: "@a\x00"},
		"/a?owner=o&mode=640&group=g%20h": {
			scheme: "unix", path: "/a", owner: "o", group: "g h", mode: 0o640, params: []string{"group=g h", "mode=0640", "owner=o"},
		},
		"fd:3":                {scheme: "fd", name: "3"},
		"systemd:web":         {scheme: "systemd", name: "web"},
		"mem:a/b%3F":          {scheme: "mem", name: "a/b?"},
		"ts:api?mode=7&k=%26": {scheme: "ts", name: "api", params: []string{"k=&", "mode=7"}},
		"quic://[::1]:443/a%2Fb?k=v": {
			scheme: "quic", host: "::1", hostPort: "[::1]:443", isIP: true, path: "/a/b", first: 443, last: 443, hasPort: true, params: []string{"k=v"},
		},
		"quic://%2Frun":       {scheme: "quic", host: "/run", hostPort: "%2Frun"},
		"quic://h?a=1":        {scheme: "quic", host: "h", hostPort: "h", params: []string{"a=1"}},
		"quic://%25eth0:1":    {scheme: "quic", host: "%eth0", hostPort: "%25eth0:1", first: 1, last: 1, hasPort: true},
		"quic://":             {scheme: "quic"},
		"quic://[fe80::1%a]/": {scheme: "quic", host: "fe80::1%a", hostPort: "[fe80::1%a]", zone: "a", isIP: true, path: "/"},
	} {
		require.Equal(t, want, look(addr.MustParse(in)), in)
	}
	require.Equal(t, view{}, look(addr.Addr{}))

	ip, ok := addr.MustParse("[fe80::1%eth0]:80").IP()
	require.True(t, ok)
	require.Equal(t, netip.MustParseAddr("fe80::1%eth0"), ip)
	mode, ok := addr.MustParse("/a?mode=0").Mode()
	require.True(t, ok)
	require.Zero(t, mode)
	_, ok = addr.MustParse("/a").Mode()
	require.False(t, ok)
	_, ok = addr.MustParse("ts:a?mode=0600").Mode()
	require.False(t, ok, "what mode means to an unknown scheme is not ours to say")
}

func TestParam(t *testing.T) {
	a := addr.MustParse("ts:a?k=1&k=2&empty")
	v, ok := a.Param("k")
	require.True(t, ok)
	require.Equal(t, "1", v)
	v, ok = a.Param("empty")
	require.True(t, ok)
	require.Empty(t, v)
	_, ok = a.Param("none")
	require.False(t, ok)
	_, ok = addr.MustParse("[::1%a&b=c]:80").Param("b")
	require.False(t, ok)
}

func TestZero(t *testing.T) {
	var a addr.Addr
	require.True(t, a.IsZero())
	require.Empty(t, a.String())
	require.Empty(t, a.Network())
	require.Nil(t, a.Expand())
	require.False(t, a.IsRange())
	require.Zero(t, a.WithPort(80))
	b, err := addr.Parse("")
	require.ErrorIs(t, err, addr.ErrLength)
	require.Zero(t, b)
	require.False(t, addr.MustParse("quic://").IsZero())
}

func TestWithPort(t *testing.T) {
	for _, c := range []struct {
		in, want string
		port     int
	}{
		{"localhost:0", "localhost:8080", 8080},
		{"[::1%eth0]:80-90", "[::1%eth0]:80", 80},
		{"tcp6://[::1]:80", "tcp6://[::1]:0", 0},
		{"[fd]:1", "[fd]:65535", 65535},
		{"quic://h/p?q=1", "quic://h:443/p?q=1", 443},
		{"quic://h?q=1", "quic://h:443?q=1", 443},
		{"quic:///p", "quic://:443/p", 443},
		{"quic://[::1]:80-90/p", "quic://[::1]:443/p", 443},
		{"unix:///a", "unix:///a", 80},
		{"fd:3", "fd:3", 80},
		{"mem:x", "mem:x", 80},
		{"ts:x", "ts:x", 80},
		{":80", "", -1},
		{":80", "", 65536},
	} {
		a := addr.MustParse(c.in).WithPort(c.port)
		require.Equal(t, c.want, a.String())
		if c.want != "" {
			require.Equal(t, addr.MustParse(c.want), a)
		}
	}
}

func TestExpand(t *testing.T) {
	a := addr.MustParse("tcp4://localhost:8000-8002")
	require.True(t, a.IsRange())
	require.Equal(t, []addr.Addr{
		addr.MustParse("tcp4://localhost:8000"), addr.MustParse("tcp4://localhost:8001"), addr.MustParse("tcp4://localhost:8002"),
	}, a.Expand())
	for _, s := range []string{":80", "unix:///a", "quic://h"} {
		require.Equal(t, []addr.Addr{addr.MustParse(s)}, addr.MustParse(s).Expand())
	}

	all := addr.MustParse(":1-65535").Expand()
	require.Len(t, all, 65535)
	require.True(t, slices.IsSortedFunc(all, func(a, b addr.Addr) int { return a.Port() - b.Port() }))
	require.Equal(t, 1, all[0].Port())
	require.Equal(t, 65535, all[65534].Port())
}

// TestEqualSockets pins which spellings are one key of a map, and which not.
func TestEqualSockets(t *testing.T) {
	one := func(texts ...string) {
		keys := map[addr.Addr]bool{}
		for _, s := range texts {
			keys[addr.MustParse(s)] = true
		}
		require.Len(t, keys, 1, "%q", texts)
	}
	one("localhost:80", "LOCALHOST:http", "tcp://localhost:0080", "[localhost]:80", "localhost:80-80")
	one("[::1]:443", "[0:0:0:0:0:0:0:1]:https", "tcp://[0::0001]:443")
	one("10.0.0.1:80", "[::ffff:10.0.0.1]:80", "[::FFFF:A00:1]:80")
	one(":80", "*:80", "tcp://:80", "[]:80")
	one("/run/a", "unix:/run/a", "unix:///run/a", "unix:///run/%61?", "UNIX:%2frun/a")
	one("https://h", "HTTPS://H:443", "https://h:https")

	var texts []string
	keys := map[addr.Addr]bool{}
	for _, s := range []string{
		":80", "0.0.0.0:80", "[::]:80", "tcp4://:80", "tcp6://:80", "udp://:80", "localhost:80", "localhost.:80", "127.0.0.1:80", "%lo:80",
		"[::1%lo]:80", "[::1]:80", "[fd]:80", "fd:80", "mem:80", "systemd:80", "unix:80", "/80", "@80", "unixpacket:80", "unix:///80?mode=0600",
		"ts://a/%2F", "ts://a//", "ts://a/", "ts://a", "ts:a", "mem:A", "mem:a",
	} {
		keys[addr.MustParse(s)] = true
		texts = append(texts, s)
	}
	require.Len(t, keys, len(texts))
}

// TestSize keeps Addr as small as its comment says.
func TestSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(addr.Addr{}), unsafe.Sizeof("")+8)
}

// TestAllocations holds String and Parse to their documentation.
func TestAllocations(t *testing.T) {
	for _, s := range []string{
		"127.0.0.1:80", "[2001:db8::1]:443", "[fe80::1%lo]:80", "localhost:8000-8010", "tcp4://:80", "%eth0:80", "[fd]:80",
		"unix:///run/app.sock", "unix:@a", "fd:3", "systemd:web", "mem:api", "quic://example.com:443/a%2Fb",
	} {
		a := addr.MustParse(s)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if b, err := addr.Parse(s); err != nil || b != a {
				panic(err)
			}
		}), "Parse(%q)", s)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if a.String() != s || a.Network() == "" || a.Scheme() == "" || a.HostPort() == "none" {
				panic(s)
			}
		}), "String of %q", s)
	}
}

// BenchmarkParse has net.ResolveTCPAddr's parsing, SplitHostPort and
// ParseAddr, as its floor.
func BenchmarkParse(b *testing.B) {
	for _, s := range []string{"127.0.0.1:80", "[2001:db8::1]:443"} {
		b.Run("floor/"+s, func(b *testing.B) {
			for b.Loop() {
				host, _, _ := net.SplitHostPort(s)
				if _, err := netip.ParseAddr(host); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("addr/"+s, func(b *testing.B) {
			for b.Loop() {
				if _, err := addr.Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("addr/unix", func(b *testing.B) {
		for b.Loop() {
			if _, err := addr.Parse("unix:///run/app.sock?group=www&mode=0660"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
