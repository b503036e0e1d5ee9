package addr

import "strings"

// set is a set of bytes that stand for themselves in one part of an address;
// all others are written %XX. The sets are those of RFC 3986.
type set uint8

const (
	inHost  set = iota // unreserved and sub-delims
	inPath             // pchar and the slash
	inName             // the same without the at sign, for names of unknown schemes
	inQuery            // the key or value of an option
)

func (s set) has(c byte) bool {
	if isUnreserved(c) {
		return true
	}
	switch c {
	case '!', '$', '\'', '(', ')', '*', ',':
		return true
	case '&', '+', '=', ';':
		return s != inQuery // where net/url refuses a plain ; and makes + a space
	case ':', '/':
		return s != inHost
	case '@':
		return s == inPath || s == inQuery
	}
	return false
}

func isUnreserved(c byte) bool {
	return isWord(rune(c)) || c == '.' || c == '~'
}

// appendEscaped appends s with every byte that is not in keep as %XX.
func appendEscaped(b []byte, s string, keep set) []byte {
	for i := range len(s) {
		if c := s[i]; keep.has(c) {
			b = append(b, c)
		} else {
			b = appendHex(b, c)
		}
	}
	return b
}

func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

const wantText = "no spaces or control characters and two hexadecimal digits after each %, which itself is %25"

// unescape replaces each %XX by its byte. A + is a +. It reports false for what
// checkEscapes refuses.
func unescape(s string) (string, bool) {
	escapes, ok := checkEscapes(s)
	if !ok || escapes == 0 {
		return s, ok
	}
	var b strings.Builder
	b.Grow(len(s) - 2*escapes)
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
		i += 2
	}
	return b.String(), true
}

// checkEscapes counts the escapes in s. It refuses what appendEscaped would never
// write and people write only by mistake: raw spaces, control characters and a
// % that begins no escape.
func checkEscapes(s string) (escapes int, ok bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || unhex(s[i+1]) > 15 || unhex(s[i+2]) > 15 {
				return 0, false
			}
			escapes++
			i += 2
		case c <= ' ', c == 0x7f:
			return 0, false
		}
	}
	return escapes, true
}

// normalise rewrites escapes without changing what they may mean, as RFC 3986
// says in section 6.2.2: to a scheme we do not know /%2F and // can be two
// paths. It reports false for what checkEscapes refuses.
func normalise(s string, keep set) (string, bool) {
	if _, ok := checkEscapes(s); !ok {
		return "", false
	}
	var buf [256]byte
	b := buf[:0]
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c != '%' && keep.has(c):
			b = append(b, c)
		case c != '%':
			b = appendHex(b, c)
		default:
			if c = unhex(s[i+1])<<4 | unhex(s[i+2]); isUnreserved(c) {
				b = append(b, c)
			} else {
				b = appendHex(b, c)
			}
			i += 2
		}
	}
	if string(b) == s {
		return s, true
	}
	return string(b), true
}

// unhex returns the value of a hexadecimal digit, and 16 for other bytes.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
