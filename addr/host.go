package addr

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	wantHost     = "a host name (xn-- for international ones), an IP address, %interface or nothing"
	wantBrackets = "one colon, between host and port, and an IPv6 address in brackets, as in [::1]:80"
	wantZone     = "the name of an interface: no brackets, slashes, ?, % or control characters"
)

// HostPort returns the part of the text that holds host and port, as in
// "[::1]:80" or ":8000-8010", and "" for addresses that have neither.
// For tcp it is String.
func (a Addr) HostPort() string {
	switch {
	case a.form == formHost:
		return a.text[a.hostStart():]
	case a.form == formURI:
		end := len(a.text)
		if i := strings.IndexAny(a.text[a.hostEnd:], "/?"); i >= 0 {
			end = int(a.hostEnd) + i
		}
		return a.text[a.hostStart():end]
	}
	return ""
}

// Host returns the host: an IP address in its shortest form and with its zone
// but without brackets, a name in lower case, "%eth0" for an interface, or ""
// for every address of the machine. Addresses without a host return "".
func (a Addr) Host() string {
	h := a.hostText()
	if n := len(h); n > 1 && h[0] == '[' {
		return h[1 : n-1]
	}
	if a.form == formURI {
		h, _ = unescape(h)
	}
	return h
}

// IP returns the host as an IP address, and false when the host is a name, an
// interface or empty.
func (a Addr) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host())
	return ip, err == nil
}

// Zone returns the zone of an IPv6 address, as in [fe80::1%eth0]:80, and ""
// when there is none. Case is kept.
func (a Addr) Zone() string {
	ip, _ := a.IP()
	return ip.Zone()
}

// Interface returns the name of the network interface whose addresses are
// meant, "eth0" for tcp://%eth0:80, and "" for all other addresses. Nothing is
// looked up.
func (a Addr) Interface() string {
	if h := a.Host(); a.form == formHost && h != "" && h[0] == '%' {
		return h[1:]
	}
	return ""
}

func (a Addr) hostStart() int {
	if a.scheme == 0 {
		return 0
	}
	return int(a.scheme) + len("://")
}

func (a Addr) hostText() string {
	if a.form != formHost && a.form != formURI {
		return ""
	}
	return a.text[a.hostStart():a.hostEnd]
}

// parseHost parses host:port for tcp (scheme "") and the schemes like it.
func (p *parts) parseHost(scheme, s string) *ParseError {
	slashed := scheme != ""
	if scheme == "tcp" {
		scheme = ""
	}
	*p = parts{form: formHost, scheme: scheme, hasPort: true}
	host, port, ok, err := splitHostPort(s)
	if err != nil {
		return err
	}
	if i := strings.IndexAny(port, "/?"); i >= 0 {
		if port[i] == '/' {
			return wrong(ErrPath, port[i:], "nothing after the port")
		}
		return wrong(ErrQuery, port[i:], "nothing after the port")
	}
	if _, isPort := digits(host); isPort && !ok {
		return wrong(ErrPort, host, "a colon before the port, as in :80")
	}
	if slashed {
		host = uriZone(host)
	}
	if p.host, err = parseHostName(host); err != nil {
		return err
	}
	switch {
	case strings.HasSuffix(scheme, "4") && strings.IndexByte(p.host, ':') >= 0 && p.host[0] != '%':
		return wrong(ErrHost, host, "an IPv4 address for "+scheme)
	case strings.HasSuffix(scheme, "6") && isNumeric(p.host):
		return wrong(ErrHost, host, "an IPv6 address for "+scheme)
	}
	if !ok {
		return wrong(ErrPort, "", "a port after the host, as in host:80")
	}
	p.first, p.last, err = parsePort(port)
	return err
}

// splitHostPort is net.SplitHostPort but for its errors, and that the port may
// be missing: then ok is false.
func splitHostPort(s string) (host, port string, ok bool, err *ParseError) {
	if strings.HasPrefix(s, "[") {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return "", "", false, wrong(ErrHost, s, wantBrackets)
		}
		host, rest := s[1:i], s[i+1:]
		if rest == "" {
			return host, "", false, nil
		}
		if rest[0] != ':' {
			return "", "", false, wrong(ErrPort, rest, "a colon and a port after the bracket")
		}
		return host, rest[1:], true, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false, nil
	}
	if strings.IndexByte(s[:i], ':') >= 0 {
		return "", "", false, wrong(ErrHost, s, wantBrackets)
	}
	return s[:i], s[i+1:], true, nil
}

// uriZone undoes RFC 6874, which writes fe80::1%eth0 as fe80::1%25eth0. Only
// before a letter: %251 is zone 251.
func uriZone(host string) string {
	i := strings.Index(host, "%25")
	if i < 0 || i+3 >= len(host) || !isLetter(host[i+3]) {
		return host
	}
	return host[:i+1] + host[i+3:]
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// parseHostName returns the canonical form of a host without brackets.
func parseHostName(s string) (string, *ParseError) {
	switch {
	case s == "" || s == "*":
		return "", nil
	case s[0] == '%':
		if !isZone(s[1:]) {
			return "", wrong(ErrHost, s, wantZone)
		}
		return s, nil
	case strings.IndexByte(s, ':') >= 0, isNumeric(s):
		return parseIP(s)
	case !isDomainName(s):
		return "", wrong(ErrHost, s, wantHost)
	}
	return lower(s), nil
}

// parseIP returns the shortest form of an IP address. IPv4-mapped IPv6 becomes
// IPv4, which is what package net makes of it when it listens, dials or prints.
func parseIP(s string) (string, *ParseError) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return "", wrong(ErrHost, s, "a valid IP address")
	}
	if ip = ip.Unmap(); ip.Zone() != "" && !isZone(ip.Zone()) {
		return "", wrong(ErrHost, s, wantZone)
	}
	var buf [64]byte
	if b := ip.AppendTo(buf[:0]); string(b) != s {
		return string(b), nil
	}
	return s, nil
}

// isNumeric reports whether s has digits and dots only: an IPv4 address or
// nothing that package net would look up.
func isNumeric(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

// isZone reports whether s can name an interface. Windows has names with
// spaces and in any language; the rest of the syntax must stay readable.
func isZone(s string) bool {
	if s == "" || len(s) > 255 || s[0] == ' ' || s[len(s)-1] == ' ' || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '[' || r == ']' || r == '%' || r == '/' || r == '?'
	})
}

// isDomainName reports whether package net would look s up: labels of at most
// 63 letters, digits, hyphens and underscores, 253 bytes and a final dot in all.
func isDomainName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isWord(rune(label[i])) {
				return false
			}
		}
	}
	return true
}
