package addr_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/addr"
)

// anyCase writes the letters of s large or small.
func anyCase(t *rapid.T, s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && rapid.Bool().Draw(t, "capital") {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// anyEscape escapes bytes of s that need it and some that do not.
func anyEscape(t *rapid.T, s, must string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c == 0x7f || c == '%' || strings.IndexByte(must, c) >= 0 || rapid.IntRange(0, 3).Draw(t, "escape") == 0 {
			b.WriteString(anyCase(t, fmt.Sprintf("%%%02x", c)))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// drawIP draws an address with one of its spellings.
func drawIP(t *rapid.T) (spelling string, ip netip.Addr) {
	raw := [16]byte(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0x80, 0xff}), 16, 16).Draw(t, "ip"))
	switch rapid.IntRange(0, 3).Draw(t, "family") {
	case 0:
		ip = netip.AddrFrom4([4]byte(raw[12:]))
		return ip.String(), ip
	case 1:
		copy(raw[:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
	}
	ip = netip.AddrFrom16(raw)
	spellings := []string{ip.String(), ip.StringExpanded()}
	var groups []string
	for i := 0; i < 16; i += 2 {
		n := uint64(raw[i])<<8 | uint64(raw[i+1])
		groups = append(groups, strconv.FormatUint(n, 16))
	}
	spellings = append(spellings, strings.Join(groups, ":"), strings.Join(groups[:6], ":")+":"+net.IP(raw[12:]).String())
	return anyCase(t, rapid.SampledFrom(spellings).Draw(t, "spelling")), ip.Unmap()
}

// drawHost draws a host with brackets where it needs them, and what Host shall
// make of it.
func drawHost(t *rapid.T) (spelling, host string) {
	switch rapid.IntRange(0, 3).Draw(t, "host") {
	case 0:
		return rapid.SampledFrom([]string{"", "*", "[]"}).Draw(t, "empty"), ""
	case 1:
		name := rapid.StringMatching(`([a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?\.){0,2}[a-z_]([a-z0-9-]{0,8}[a-z0-9])?\.?`).Draw(t, "name")
		spelling = anyCase(t, name)
		if rapid.Bool().Draw(t, "brackets") {
			spelling = "[" + spelling + "]"
		}
		return spelling, name
	case 2:
		zone := rapid.StringMatching(`[A-Za-z][A-Za-z0-9.@_-]{0,14}`).Draw(t, "interface")
		return "%" + zone, "%" + zone
	default:
		spelling, ip := drawIP(t)
		if ip.Is6() && rapid.Bool().Draw(t, "zone") {
			zone := rapid.StringMatching(`[a-z][A-Za-z0-9.-]{0,14}`).Draw(t, "zone name")
			return "[" + spelling + "%" + zone + "]", ip.WithZone(zone).String()
		}
		if strings.Contains(spelling, ":") {
			spelling = "[" + spelling + "]"
		}
		return spelling, ip.String()
	}
}

// TestPropHostPort checks that every spelling of host and port means the same,
// and that SplitHostPort takes the canonical text apart as we put it together.
func TestPropHostPort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spelling, host := drawHost(t)
		port := rapid.IntRange(0, 65535).Draw(t, "port")
		text := spelling + ":" + strings.Repeat("0", rapid.IntRange(0, 3).Draw(t, "zeros")) + strconv.Itoa(port)
		if strings.HasPrefix(text, "fd:") || strings.HasPrefix(text, "mem:") || rapid.Bool().Draw(t, "scheme") {
			text = anyCase(t, "tcp") + "://" + text
		}
		a, err := addr.Parse(text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		h, p, err := net.SplitHostPort(a.String())
		if err != nil || h != host || p != strconv.Itoa(port) || a.Host() != host || a.Port() != port || a.Network() != "tcp" {
			t.Fatalf("%q became %q: host %q and port %d wanted", text, a, host, port)
		}
		if err := checkAddr(a); err != nil {
			t.Fatalf("%v", err)
		}
	})
}

// TestPropTCPAddr checks FromNet against package net's own texts.
func TestPropTCPAddr(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, ip := drawIP(t)
		n := net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, rapid.Uint16().Draw(t, "port")))
		if ip.Is6() {
			n.Zone = rapid.StringMatching(`([A-Za-z0-9][A-Za-z0-9 .-]{0,8}[a-z0-9])?`).Draw(t, "zone")
		}
		a := addr.FromNet(n)
		b, err := addr.Parse(n.String())
		if err != nil || a != b || a.String() != n.String() {
			t.Fatalf("%v: FromNet gives %q, Parse %q, %v", n, a, b, err)
		}
		if got, ok := a.IP(); !ok || got != ip.WithZone(n.Zone) || a.Zone() != n.Zone {
			t.Fatalf("%v has the address %v", n, got)
		}
	})
}

// TestPropUnix checks that a path survives all escaping, byte by byte, and that
// options may come in any order.
func TestPropUnix(t *testing.T) {
	names := rapid.StringMatching(`[\x01-\x{24f}]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom([]string{"/", "/run/", "@", "./", "a"}).Draw(t, "begin") + names.Draw(t, "path")
		text := "unix:" + anyEscape(t, path, "?")
		if path[0] == '/' && strings.HasPrefix(text, "unix:/") {
			text = "unix://" + text[len("unix:"):]
		}
		options := map[string]string{}
		if path[0] != '@' {
			if rapid.Bool().Draw(t, "mode") {
				options["mode"] = fmt.Sprintf("%04o", rapid.IntRange(0, 0o777).Draw(t, "mode"))
			}
			for _, key := range []string{"owner", "group"} {
				if v := names.Draw(t, key); v != "" {
					options[key] = v
				}
			}
		}
		sep := "?"
		for _, key := range rapid.Permutation(slices.Sorted(maps.Keys(options))).Draw(t, "order") {
			text += sep + key + "=" + anyEscape(t, options[key], "&")
			sep = "&"
		}

		a, err := addr.Parse(text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		mode, hasMode := a.Mode()
		if a.Path() != path || a.Owner() != options["owner"] || a.Group() != options["group"] ||
			hasMode != (options["mode"] != "") || hasMode && fmt.Sprintf("%04o", mode) != options["mode"] {
			t.Fatalf("%q became %q", text, a)
		}
		if err := checkAddr(a); err != nil {
			t.Fatalf("%v", err)
		}
		if len(options) == 0 && addr.FromNet(&net.UnixAddr{Net: "unix", Name: path}) != a {
			t.Fatalf("%q: FromNet gives another address", path)
		}
	})
}

// TestPropNames checks that what a foreign address says of itself is all there.
func TestPropNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		network := rapid.SampledFrom([]string{"mem", "custom", "a", "fe", "com.example", "h-2"}).Draw(t, "network")
		text := rapid.OneOf(
			rapid.StringMatching(`[\x00-\x{17f}]{1,20}`),
			rapid.StringMatching(`[/:@%0-9a-f.?&+-]{1,9}`),
			rapid.SampledFrom([]string{"http", "SSH", "//", "/", "80", "localhost", "::", "@"}),
		).Draw(t, "text")
		a := addr.FromNet(foreignAddr{network, text})
		if err := checkAddr(a); err != nil {
			t.Fatalf("%q %q: %v", network, text, err)
		}
		_, _, err := net.SplitHostPort(text)
		_, ipErr := netip.ParseAddr(text)
		if network != "mem" && (err == nil || ipErr == nil) {
			return // host and port of a URI; FuzzFromNet looks after these
		}
		if a.Scheme() != network || a.Name() != text {
			t.Fatalf("%q %q became %q", network, text, a)
		}
	})
}

// TestPropURL checks that net/url reads the addresses of unknown schemes as we
// do, and that ours is a fixed point of both.
func TestPropURL(t *testing.T) {
	word := rapid.StringMatching(`[ -~é]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		host, _ := drawHost(t)
		if strings.Contains(host, "%") || host == "*" || host == "[]" {
			host = "example.com" // url has zones escaped
		}
		text := anyCase(t, "quic") + "://" + strings.Trim(host, "[]")
		if strings.Contains(host, ":") {
			text = anyCase(t, "quic") + "://" + host
		}
		if rapid.Bool().Draw(t, "port") {
			text += ":" + strconv.Itoa(rapid.IntRange(0, 65535).Draw(t, "port"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "segments") {
			text += "/" + anyEscape(t, word.Draw(t, "segment"), "?#")
		}
		sep := "?"
		for range rapid.IntRange(0, 3).Draw(t, "options") {
			text += sep + "k" + anyEscape(t, word.Draw(t, "key"), "&=+;#") + "=" + anyEscape(t, word.Draw(t, "value"), "&+;#")
			sep = "&"
		}
		a, err := addr.Parse(text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		u, err := url.Parse(a.String())
		if err != nil {
			t.Fatalf("%v", err)
		}
		port := ""
		if _, _, ok := a.PortRange(); ok {
			port = strconv.Itoa(a.Port())
		}
		params := url.Values{}
		for k, v := range a.Params() {
			params.Add(k, v)
		}
		want, err := url.ParseQuery(u.RawQuery)
		if err != nil || u.Scheme != a.Scheme() || u.Hostname() != a.Host() || u.Port() != port || u.Path != a.Path() || want.Encode() != params.Encode() {
			t.Fatalf("%q became %q, which url reads as %#v, %v", text, a, u, err)
		}
		if err := checkAddr(a); err != nil {
			t.Fatalf("%v", err)
		}
	})
}

// TestPropExpand checks that a range is exactly its ports.
func TestPropExpand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host, _ := drawHost(t)
		first := rapid.IntRange(1, 65535).Draw(t, "first")
		last := min(65535, first+rapid.IntRange(0, 50).Draw(t, "more"))
		a, err := addr.Parse(fmt.Sprintf("tcp://%s:%d-%d", host, first, last))
		if err != nil {
			t.Fatalf("%v", err)
		}
		all := a.Expand()
		if len(all) != last-first+1 {
			t.Fatalf("%q expands to %d addresses", a, len(all))
		}
		for i, b := range all {
			c, err := addr.Parse(fmt.Sprintf("tcp://%s:%d", host, first+i))
			if err != nil || b != c || b.IsRange() {
				t.Fatalf("%q: address %d is %q, not %q: %v", a, i, b, c, err)
			}
		}
	})
}

// TestSplitHostPortInputIsNeverRejected is the promise of the package comment.
// FuzzSplitHostPort looks for what this one does not think of.
func TestSplitHostPortInputIsNeverRejected(t *testing.T) {
	hosts := []string{
		"", "localhost", "EXAMPLE.com.", "a", "a_b", "1a", "xn--bcher-kva.example", "my-host", "host.docker.internal", "web.1",
		"127.0.0.1", "0.0.0.0", "::", "::1", "2001:DB8::1", "::ffff:127.0.0.1", "1:2:3:4:5:6:7:8", "fe80::1%eth0", "fe80::1%1",
		"tcp", "tcp4", "tcp6", "udp", "unix", "unixgram", "unixpacket", "fd", "systemd", "mem", "http", "https", "quic", "FD", "Mem", "x",
		strings.Repeat("a", 63), strings.Repeat("a.", 126) + "a",
	}
	ports := []string{"0", "1", "80", "65535", "080", "00000", "+80", "-0"}
	for s := range knownServices {
		ports = append(ports, s, strings.ToUpper(s))
	}
	for _, host := range hosts {
		for _, port := range ports {
			texts := []string{net.JoinHostPort(host, port), "[" + host + "]:" + port}
			for _, s := range texts {
				require.True(t, strings.Contains(host, "%") || splitsIntoAddress(s), "%q proves nothing", s)
				a, err := addr.Parse(s)
				require.NoError(t, err)
				require.NoError(t, checkAddr(a))
			}
			// In brackets nothing is a scheme.
			a := addr.MustParse(texts[1])
			require.Equal(t, "tcp", a.Scheme(), texts[1])
			require.Equal(t, a, addr.MustParse("tcp://"+texts[1]))
		}
	}
}
