package addr

import (
	"strconv"
	"strings"
)

// What can be wrong with an address. Every error of [Parse] is a [*ParseError]
// for which errors.Is reports exactly one of these.
var (
	ErrLength error = kind("length") // empty, or longer than 4,096 bytes
	ErrScheme error = kind("scheme") // not a letter followed by letters, digits, +, - and .
	ErrHost   error = kind("host")   // neither empty, nor a name, nor an IP address, nor an interface
	ErrPort   error = kind("port")   // missing, unknown, out of range, or a reversed range
	ErrPath   error = kind("path")   // a Unix socket's path, or that of a URI
	ErrName   error = kind("name")   // what stands after fd:, systemd:, mem: or a scheme of others
	ErrQuery  error = kind("query")  // an unknown, repeated or malformed option
)

type kind string

func (k kind) Error() string { return "addr: wrong " + string(k) }

// ParseError says which part of an address is wrong, and what would be right.
type ParseError struct {
	Input string // the whole text, as given
	Part  string // the piece of it that is wrong; "" when it is missing
	Kind  error  // which part that is: ErrLength, ErrScheme, ErrHost, ErrPort, ErrPath, ErrName or ErrQuery
	Want  string // what was expected in its place
}

// Error names the input and the part. Of texts longer than 100 bytes it shows
// the beginning; of what may be a password before an @, nothing.
func (e *ParseError) Error() string {
	input, part := withoutPassword(e.Input), e.Part
	if input != e.Input && part != e.Input {
		part = hidePassword(part)
	}
	var b strings.Builder
	b.WriteString("addr: parse ")
	quote(&b, input)
	b.WriteString(": ")
	if k, ok := e.Kind.(kind); ok {
		b.WriteString(string(k))
	} else {
		b.WriteString("address")
	}
	if part != "" && part != e.Input {
		b.WriteByte(' ')
		quote(&b, part)
	}
	b.WriteString(": want ")
	b.WriteString(e.Want)
	return b.String()
}

// Unwrap returns Kind.
func (e *ParseError) Unwrap() error { return e.Kind }

// withoutPassword hides the password in scheme://user:password@host and in
// user:password@host:port. Such a text is refused, and the error that says so
// ends in a log.
func withoutPassword(s string) string {
	scheme, rest := "", s
	if i := strings.Index(s, "://"); i >= 0 {
		scheme, rest = s[:i+len("://")], s[i+len("://"):]
	} else if head, _, _ := strings.Cut(s, ":"); schemeForm(lower(head)) == formUnix || schemeForm(lower(head)) == formName {
		return s
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	if colon := strings.IndexByte(rest, ':'); 0 <= colon && colon < at {
		return scheme + rest[:colon+1] + "…" + rest[at:]
	}
	return s
}

// hidePassword is the same for a part of such a text, which may begin within
// the password.
func hidePassword(part string) string {
	at := strings.LastIndexByte(part, '@')
	if at < 0 {
		return part
	}
	return part[:strings.IndexByte(part[:at], ':')+1] + "…" + part[at:]
}

func quote(b *strings.Builder, s string) {
	const most = 100
	if len(s) > most {
		b.WriteString(strconv.Quote(s[:most]))
		b.WriteString("…")
		return
	}
	b.WriteString(strconv.Quote(s))
}

// wrong makes the error without its Input, which Parse adds.
func wrong(kind error, part, want string) *ParseError {
	return &ParseError{Part: part, Kind: kind, Want: want}
}
