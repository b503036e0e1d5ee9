package addr

import (
	"net/netip"
	"strconv"
	"strings"
)

// Name returns what follows the scheme of an address that is neither a host
// nor a path, unescaped: the number in fd:3, the name in systemd:web and
// mem:api. It is "" for all others.
func (a Addr) Name() string {
	if a.form != formName {
		return ""
	}
	return body(a.text[a.scheme+1:])
}

// parseName parses what follows fd:, systemd:, mem: or an unknown scheme.
func (p *parts) parseName(scheme, rest string) *ParseError {
	text, query, err := cutQuery(rest)
	if err != nil {
		return err
	}
	name, ok := unescape(text)
	if !ok {
		return wrong(ErrName, text, wantText)
	}
	known := schemeForm(scheme) == formName
	if known && len(query) > 0 {
		return wrong(ErrQuery, query[0].key, "no options for "+scheme+":")
	}
	switch scheme {
	case "fd":
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || n > 1<<31-1 {
			return wrong(ErrName, text, "the number of a descriptor, as in fd:3")
		}
		name = strconv.Itoa(n)
	case "systemd":
		if !isDescriptorName(name) {
			return wrong(ErrName, text, "1 to 255 printable ASCII characters other than a colon, as in FileDescriptorName=")
		}
	default:
		if name == "" {
			return wrong(ErrName, "", "a name after "+scheme+":")
		}
	}
	p.form, p.scheme, p.body, p.query = formName, scheme, name, query
	return nil
}

// isDescriptorName is systemd's fdname_is_valid.
func isDescriptorName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return true
}

// portish reports whether head:rest, rest not empty, looks like a host and a
// mistyped port, or a user and a password, rather than an unknown scheme and a
// name. A name that does is written with escapes.
func portish(head, rest string) bool {
	switch c := rest[0]; {
	case strings.IndexByte(rest, '@') >= 0:
		return true
	case c == '%':
		return false
	case len(head) == 1: // a drive letter
		return true
	case '0' <= c && c <= '9', c == '+', c == '-', c == ':':
		return true
	}
	if _, ok := service(rest); ok {
		return true
	}
	if head == "localhost" || strings.Contains(head, ".") {
		if strings.IndexFunc(rest, func(r rune) bool { return !isWord(r) }) < 0 {
			return true
		}
	}
	if len(head) > 4 || strings.Trim(head, "0123456789abcdefABCDEF") != "" {
		return false
	}
	_, err := netip.ParseAddr(head + ":" + rest) // without its brackets
	return err == nil
}

func isWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}
