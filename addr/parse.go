package addr

import "strings"

const (
	// maxText bounds the cost of everything done with an address. A Unix
	// socket's path has at most 107 bytes, a host name 254.
	maxText   = 4096
	maxScheme = 63
	// portRoom is kept free in every text, so that WithPort cannot make one
	// that Parse would refuse.
	portRoom = len(":65535-65535")
)

const (
	wantScheme = "a letter followed by at most 62 letters, digits, +, - or ."
	wantPath   = "unix:///absolute/path, unix:relative/path or unix:@abstract"
)

// Parse parses an address; the package comment has the syntax. It does no I/O
// and its result depends on nothing but s. Its error is a [*ParseError].
//
// Parsing a canonical text, one that String returned, allocates nothing unless
// it has options or is a name under an unknown scheme.
func Parse(s string) (Addr, error) {
	a, err := parse(s)
	if err != nil {
		err.Input = s
		return Addr{}, err
	}
	return a, nil
}

// MustParse is Parse for addresses that are written in the program; it panics
// if s is not an address.
func MustParse(s string) Addr {
	a, err := Parse(s)
	if err != nil {
		panic(err.Error())
	}
	return a
}

// parts is an address taken apart, with nothing escaped but a URI's path. It
// exists only while an address is made.
type parts struct {
	form    form
	scheme  string // "" for tcp
	host    string // without brackets; canonical unless in a URI
	hasPort bool
	first   uint16
	last    uint16
	body    string // path or name
	query   []param
}

// parse decides which form s has. The order matters: what could be host:port
// is host:port, except after the few schemes that need no slashes.
func parse(s string) (Addr, *ParseError) {
	if s == "" || len(s) > maxText {
		return Addr{}, wrong(ErrLength, "", "1 to 4096 bytes")
	}
	var p parts
	var err *ParseError
	head, rest, colon := strings.Cut(s, ":")
	switch {
	case s[0] == '/' || s[0] == '@':
		err = p.parseUnix("unix", s)
	case s[0] == '[' || s[0] == '%' || !colon:
		err = p.parseHost("", s)
	case strings.HasPrefix(rest, "//"):
		err = p.parseSlashed(head, rest[len("//"):])
	default:
		err = p.parseColon(s, head, rest)
	}
	if err != nil {
		return Addr{}, err
	}
	return p.addr(s)
}

// parseSlashed parses scheme://rest.
func (p *parts) parseSlashed(head, rest string) *ParseError {
	if !isScheme(head) {
		return wrong(ErrScheme, head, wantScheme)
	}
	switch scheme := lower(head); schemeForm(scheme) {
	case formHost:
		return p.parseHost(scheme, rest)
	case formUnix:
		if rest == "" || rest[0] != '/' && rest[0] != '@' {
			return wrong(ErrPath, rest, wantPath)
		}
		return p.parseUnix(scheme, rest)
	case formName:
		return p.parseName(scheme, rest)
	default:
		return p.parseURI(scheme, rest)
	}
}

// parseColon parses head:rest where no slashes follow the colon.
func (p *parts) parseColon(s, head, rest string) *ParseError {
	scheme := head
	if isScheme(head) {
		scheme = lower(head)
	}
	switch schemeForm(scheme) {
	case formUnix:
		return p.parseUnix(scheme, rest)
	case formName:
		if _, ok := service(rest); ok && scheme == "fd" {
			break // fd:http is no descriptor, and as good a host and port as any
		}
		return p.parseName(scheme, rest)
	}
	err := p.parseHost("", s)
	if err == nil {
		return nil
	}
	name, _, _ := strings.Cut(rest, "?")
	if name == "" || !isScheme(head) || schemeForm(scheme) != formURI || portish(scheme, name) {
		return err
	}
	return p.parseName(scheme, rest)
}

// schemeForm says which form the addresses of a scheme have. Schemes that it
// does not know are URIs after "://" and names without.
func schemeForm(scheme string) form {
	switch scheme {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
		return formHost
	case "unix", "unixgram", "unixpacket":
		return formUnix
	case "fd", "systemd", "mem":
		return formName
	}
	return formURI
}

// isScheme follows RFC 3986, section 3.1.
func isScheme(s string) bool {
	if s == "" || len(s) > maxScheme {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.':
			if i == 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// lower is strings.ToLower for ASCII only.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
