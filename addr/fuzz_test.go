package addr_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
)

var kinds = []error{addr.ErrLength, addr.ErrScheme, addr.ErrHost, addr.ErrPort, addr.ErrPath, addr.ErrName, addr.ErrQuery}

// checkAddr holds an address to every promise that each of them keeps.
func checkAddr(a addr.Addr) error {
	s := a.String()
	b, err := addr.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("Parse(String) fails: %w", err)
	case a != b:
		return fmt.Errorf("Parse(String) differs: %q: %+v, %+v", s, a, b)
	case a.IsZero():
		return errors.New("an address is zero")
	case !utf8.ValidString(s):
		return fmt.Errorf("the text is not UTF-8: %q", s)
	case len(s) > 4096:
		return fmt.Errorf("the text has %d bytes", len(s))
	case a.Network() != a.Scheme() || a.Scheme() == "":
		return fmt.Errorf("%q: network %q, scheme %q", s, a.Network(), a.Scheme())
	case a.Scheme() != strings.ToLower(a.Scheme()):
		return fmt.Errorf("%q: the scheme has capitals", s)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%q has a control character", s)
		}
	}
	var fromText addr.Addr
	text, _ := a.MarshalText()
	if err := fromText.UnmarshalText(text); err != nil || fromText != a {
		return fmt.Errorf("%q does not survive MarshalText: %v", s, err)
	}
	if addr.FromNet(a) != a {
		return fmt.Errorf("%q does not survive FromNet", s)
	}
	return checkPorts(a)
}

func checkPorts(a addr.Addr) error {
	s := a.String()
	first, last, ok := a.PortRange()
	switch {
	case first < 0 || first > last || last > 65535 || first != a.Port() || a.IsRange() != (first != last):
		return fmt.Errorf("%q: ports %d to %d", s, first, last)
	case a.IsRange() && first == 0, !ok && last != 0:
		return fmt.Errorf("%q: ports %d to %d, %v", s, first, last, ok)
	}
	if a.Scheme() == "tcp" {
		host, port, err := net.SplitHostPort(s)
		if err != nil || host != a.Host() || a.HostPort() != s || !a.IsRange() && port != strconv.Itoa(first) {
			return fmt.Errorf("%q: SplitHostPort says %q, %q, %v", s, host, port, err)
		}
	}
	for _, port := range []int{0, 65535} {
		b := a.WithPort(port)
		c, err := addr.Parse(b.String())
		switch {
		case err != nil || b != c:
			return fmt.Errorf("%q with port %d: %q, %w", s, port, b, err)
		case ok && (b.Port() != port || b.IsRange()):
			return fmt.Errorf("%q with port %d: %q", s, port, b)
		case b.Host() != a.Host() || b.Path() != a.Path() || b.Name() != a.Name() || b.Scheme() != a.Scheme():
			return fmt.Errorf("%q with port %d is another address: %q", s, port, b)
		}
	}
	if last-first > 1000 {
		return nil // TestExpand has the largest; here it would take all the time
	}
	if n := len(a.Expand()); n != last-first+1 {
		return fmt.Errorf("%q expands to %d addresses", s, n)
	}
	return nil
}

// checkError holds an error to what ParseError promises.
func checkError(input string, err error) error {
	e, ok := errors.AsType[*addr.ParseError](err)
	if !ok || e != err {
		return fmt.Errorf("no *ParseError: %T", err)
	}
	n := 0
	for _, k := range kinds {
		if errors.Is(err, k) {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("%d kinds: %w", n, err)
	case e.Input != input || e.Want == "":
		return fmt.Errorf("input %q, want %q", e.Input, e.Want)
	case len(err.Error()) > 1200:
		return fmt.Errorf("%d bytes of message", len(err.Error()))
	}
	return nil
}

func FuzzParse(f *testing.F) {
	for _, c := range configCases {
		f.Add(c.in)
	}
	for _, c := range syntaxCases {
		f.Add(c.in)
	}
	for _, c := range errorCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := addr.Parse(s)
		if err != nil {
			require.Zero(t, a)
			require.NoError(t, checkError(s, err))
			return
		}
		require.NoError(t, checkAddr(a))
	})
}

// A foreignAddr says of itself whatever it is told to.
type foreignAddr struct{ network, text string }

func (a foreignAddr) Network() string { return a.network }
func (a foreignAddr) String() string  { return a.text }

func FuzzFromNet(f *testing.F) {
	for _, c := range fromNetCases {
		f.Add(c.in.Network(), c.in.String(), []byte{127, 0, 0, 1}, 80)
	}
	f.Add("tcp", "%25eth0", []byte{15: 1}, 65536)
	f.Fuzz(func(t *testing.T, network, text string, ip []byte, port int) {
		for _, n := range []net.Addr{
			foreignAddr{network, text},
			&net.TCPAddr{IP: ip, Port: port, Zone: text},
			&net.UDPAddr{IP: ip, Port: port, Zone: text},
			&net.UnixAddr{Net: network, Name: text},
			&net.IPAddr{IP: ip, Zone: text},
			&net.IPNet{IP: ip, Mask: ip},
		} {
			require.NoError(t, checkAddr(addr.FromNet(n)), "%#v", n)
		}
	})
}

// isHostName is what package net would look up, written down a second time.
var isHostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)

// splitsIntoAddress reports whether s is one of the inputs that the promise
// about net.SplitHostPort speaks of.
func splitsIntoAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(host)
	isIP := err == nil && !strings.Contains(host, "%")
	isName := isHostName.MatchString(host) && len(host) <= 253 && strings.Trim(host, "0123456789.") != ""
	n, err := strconv.Atoi(port)
	isPort := err == nil && n >= 0 && n <= 65535 || knownServices[strings.ToLower(port)]
	return (host == "" || isIP || isName) && isPort
}

// knownServices are those package net knows without asking the machine, and a
// few more that configuration files use.
var knownServices = map[string]bool{
	"domain": true, "ftp": true, "ftps": true, "gopher": true, "http": true, "https": true, "imap2": true, "imap3": true,
	"imaps": true, "pop3": true, "pop3s": true, "smtp": true, "submissions": true, "ssh": true, "telnet": true,
	"http-alt": true, "postgresql": true, "mysql": true, "redis": true, "ldap": true, "amqp": true, "x11": true,
}

func FuzzSplitHostPort(f *testing.F) {
	for _, s := range []string{"localhost:80", "[::1]:http", ":0", "fd:80", "fd:http", "mem:1", "[tcp]:65535", "1.2.3.4:00080", "h:+80", "h:-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !splitsIntoAddress(s) {
			return
		}
		a, err := addr.Parse(s)
		require.NoError(t, err)
		require.NoError(t, checkAddr(a))
	})
}
