package addr_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
)

var fromNetCases = []struct {
	name string
	in   net.Addr
	want string
}{
	{"an Addr", addr.MustParse("mem:x"), "mem:x"},
	{"a pointer to an Addr", new(addr.MustParse("mem:x")), "mem:x"},
	{"TCP", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, "127.0.0.1:80"},
	{"TCP, 4 bytes", &net.TCPAddr{IP: net.IP{127, 0, 0, 1}, Port: 80}, "127.0.0.1:80"},
	{"TCP IPv6", &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, "[2001:db8::1]:80"},
	{"TCP any", &net.TCPAddr{IP: net.IPv6zero, Port: 80}, "[::]:80"},
	{"TCP zone", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}, "[fe80::1%eth0]:80"},
	{"TCP zone on IPv4", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80, Zone: "eth0"}, "10.0.0.1:80"},
	{"TCP no address", &net.TCPAddr{Port: 80}, ":80"},
	{"TCP zone alone", &net.TCPAddr{Port: 80, Zone: "eth0"}, "%eth0:80"},
	{"TCP zone escaped", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "25eth0"}, "[fe80::1%25eth0]:80"},
	{"TCP zone hostile", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "a]\n"}, "x-tcp:%5Bfe80::1%25a%5D%0A%5D:80"},
	{"TCP port hostile", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 70000}, "x-tcp:%310.0.0.1:70000"},
	{"TCP address hostile", &net.TCPAddr{IP: net.IP{1, 2, 3}, Port: 80}, "x-tcp://%3F010203:80"},
	{"UDP", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 53}, "udp://10.0.0.1:53"},
	{"UDP zone", &net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 53, Zone: "eth0"}, "udp://[fe80::1%eth0]:53"},
	{"UDP zone escaped", &net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 53, Zone: "25eth0"}, "x-udp:%5Bfe80::1%2525eth0%5D:53"},
	{"IP", &net.IPAddr{IP: net.IPv4(10, 0, 0, 1)}, "ip://10.0.0.1"},
	{"IP network", &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}, "ip+net:%310.0.0.0/8"},

	{"Unix", &net.UnixAddr{Net: "unix", Name: "/run/app.sock"}, "unix:///run/app.sock"},
	{"Unix relative", &net.UnixAddr{Net: "unix", Name: "app?.sock"}, "unix:app%3F.sock"},
	{"Unix abstract", &net.UnixAddr{Net: "unix", Name: "@x"}, "unix:@x"},
	{"Unix abstract, NUL", &net.UnixAddr{Net: "unix", Name: "\x00x\x00"}, "unix:@x%00"},
	{"Unix without a name", &net.UnixAddr{Net: "unix", Name: ""}, "unix:@"},
	{"Unix peer", &net.UnixAddr{Net: "unix", Name: "@"}, "unix:@"},
	{"Unix packet", &net.UnixAddr{Net: "unixpacket", Name: "/a"}, "unixpacket:///a"},
	{"Unix no network", &net.UnixAddr{Name: "/a"}, "unix:///a"},
	{"Unix NUL", &net.UnixAddr{Net: "unix", Name: "/a\x00b"}, "x-unix:/a%00b"},
	{"Unix other network", &net.UnixAddr{Net: "tcp", Name: "/a"}, "x-tcp:/a"},
	{"Unix long", &net.UnixAddr{Net: "unix", Name: strings.Repeat("a", 5000)}, "unix:" + strings.Repeat("a", 1300)},

	{"foreign TCP", foreignAddr{"tcp", "10.0.0.1:80"}, "10.0.0.1:80"},
	{"foreign tcp4", foreignAddr{"TCP4", "10.0.0.1:80"}, "tcp4://10.0.0.1:80"},
	{"foreign TCP that is none", foreignAddr{"tcp", "pipe"}, "x-tcp:pipe"},
	{"foreign Unix", foreignAddr{"unix", "//a"}, "unix:////a"},
	{"foreign mem", foreignAddr{"mem", "api?"}, "mem:api%3F"},
	{"foreign mem with its scheme", foreignAddr{"mem", "mem:api"}, "mem:api"},
	{"foreign systemd", foreignAddr{"systemd", "a:b"}, "x-systemd:a:b"},
	{"foreign fd", foreignAddr{"fd", "7"}, "fd:7"},
	{"net.Pipe", foreignAddr{"pipe", "pipe"}, "pipe:pipe"},
	{"bufconn", foreignAddr{"bufconn", "bufconn"}, "bufconn:bufconn"},
	{"vsock", foreignAddr{"vsock", "vm(3):1024"}, "vsock://vm(3):1024"},
	{"host and port", foreignAddr{"quic", "[2001:DB8::1]:443"}, "quic://[2001:db8::1]:443"},
	{"loopback and port", foreignAddr{"quic", "[::1]:443"}, "quic://[::1]:443"},
	{"host and highest port", foreignAddr{"quic", "h:65535"}, "quic://h:65535"},
	{"host and no known port", foreignAddr{"quic", "h:65536"}, "quic:h:65536"},
	{"host and no port", foreignAddr{"quic", "h:"}, "quic://h"},
	{"host and service", foreignAddr{"quic", "h:http"}, "quic:h:http"},
	{"zone escaped", foreignAddr{"quic", "[fe80::1%25eth0]:443"}, "quic:%5Bfe80::1%2525eth0%5D:443"},
	{"service", foreignAddr{"custom", "http"}, "custom:%68ttp"},
	{"at sign", foreignAddr{"custom", "a@b"}, "custom:a%40b"},
	{"no text", foreignAddr{"custom", ""}, "custom://"},
	{"no network", foreignAddr{"", "x"}, "x-unknown:x"},
	{"nothing", foreignAddr{}, "x-unknown://"},
	{"network hostile", foreignAddr{"a b\xff://", "x"}, "x-a-b----:x"},
	{"network long", foreignAddr{strings.Repeat("n", 1<<16), "x"}, "x-" + strings.Repeat("n", 61) + ":x"},
	{"text hostile", foreignAddr{"custom", "\x00\n\xff%"}, "custom:%00%0A%FF%25"},
	{"text long", foreignAddr{"custom", strings.Repeat("\xff", 1<<20)}, "custom:" + strings.Repeat("%FF", 1300)},
	{"slashes", foreignAddr{"custom", "//a/b"}, "custom:%2F/a/b"},
	{"looks like IPv6", foreignAddr{"abcd", "ef01:2:3:4:5:6:7"}, "abcd:%65f01:2:3:4:5:6:7"},
	{"one letter", foreignAddr{"c", `\x`}, `c:%5Cx`},
	{"dots", foreignAddr{"com.example", "api"}, "com.example:%61pi"},
}

func TestFromNet(t *testing.T) {
	for _, c := range fromNetCases {
		t.Run(c.name, func(t *testing.T) {
			a := addr.FromNet(c.in)
			require.Equal(t, c.want, a.String())
			require.NoError(t, checkAddr(a))
		})
	}
}

type pointerAddr struct{ text string }

func (a *pointerAddr) Network() string { return "pointer" }
func (a *pointerAddr) String() string  { return a.text }

func TestFromNetNil(t *testing.T) {
	for _, a := range []net.Addr{
		nil, (*net.TCPAddr)(nil), (*net.UDPAddr)(nil), (*net.UnixAddr)(nil), (*net.IPAddr)(nil), (*net.IPNet)(nil),
		(*addr.Addr)(nil), (*pointerAddr)(nil), addr.Addr{}, &addr.Addr{},
	} {
		require.Zero(t, addr.FromNet(a), "%T", a)
	}
	require.Equal(t, "pointer:x", addr.FromNet(&pointerAddr{"x"}).String())
}

// TestFromNetListeners asks the kernel: what a listener is bound to can be
// parsed, and dialled by those who read it.
func TestFromNetListeners(t *testing.T) {
	for _, want := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0"} {
		a := addr.MustParse(want)
		ln, err := net.Listen(a.Network(), a.HostPort())
		if err != nil && strings.HasPrefix(want, "[") {
			continue // a machine without IPv6
		}
		require.NoError(t, err)
		bound := addr.FromNet(ln.Addr())
		require.Equal(t, ln.Addr().String(), bound.String())
		c, err := net.Dial(bound.Network(), bound.HostPort())
		require.NoError(t, err)
		require.Equal(t, bound, addr.FromNet(c.RemoteAddr()))
		require.NoError(t, c.Close())
		require.NoError(t, ln.Close())
	}
}
