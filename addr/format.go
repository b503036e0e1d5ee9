package addr

import (
	"net/netip"
	"strings"
)

// addr writes the canonical text of p. src is the text that p was parsed from:
// if it is canonical already it is used as it is.
func (p *parts) addr(src string) (Addr, *ParseError) {
	a := Addr{form: p.form, scheme: uint8(len(p.scheme)), first: p.first, last: p.last}
	var buf [256]byte
	b := append(buf[:0], p.scheme...)
	port := 0 // what the port takes of the text
	switch p.form {
	case formHost, formURI:
		if p.scheme != "" {
			b = append(b, "://"...)
		}
		b = p.appendHost(b)
		host := len(b)
		if p.hasPort {
			b = append(b, ':')
			b = appendPort(b, p.first, p.last)
		}
		port = len(b) - host
		a.hostEnd = uint16(host)
		b = append(b, p.body...)
	case formUnix:
		b = append(b, ':')
		if p.body[0] == '/' {
			b = append(b, "//"...)
		}
		b = appendEscaped(b, p.body, inPath)
	case formName:
		b = append(b, ':')
		start := len(b)
		keep, unknown := inPath, schemeForm(p.scheme) == formURI
		if unknown {
			keep = inName
		}
		b = appendEscaped(b, p.body, keep)
		name := p.body
		if string(b[start:]) != name {
			name = string(b[start:])
		}
		// Escaped, the first byte says that a name follows and no slashes or port.
		if strings.HasPrefix(name, "//") || unknown && portish(p.scheme, name) {
			b = appendHex(b[:start], name[0])
			b = append(b, name[1:]...)
		}
	}
	b = appendQuery(b, p.query)
	if len(b)-port+portRoom > maxText {
		return Addr{}, wrong(ErrLength, "", "an address that is at most 4084 bytes long when escaped")
	}
	if a.text = src; string(b) != src {
		a.text = string(b)
	}
	return a, nil
}

func (p *parts) appendHost(b []byte) []byte {
	bracket := strings.IndexByte(p.host, ':') >= 0
	if p.form == formURI {
		if bracket {
			_, err := netip.ParseAddr(p.host)
			bracket = err == nil
		}
		if !bracket {
			return appendEscaped(b, p.host, inHost)
		}
	} else if p.scheme == "" && !bracket {
		// Without brackets a host of this name would be read as the scheme.
		f := schemeForm(p.host)
		bracket = f == formUnix || f == formName
	}
	if bracket {
		b = append(b, '[')
	}
	b = append(b, p.host...)
	if bracket {
		b = append(b, ']')
	}
	return b
}
