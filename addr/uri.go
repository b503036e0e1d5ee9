package addr

import (
	"net/netip"
	"strings"
)

// parseURI parses what follows the slashes of an unknown scheme.
func (p *parts) parseURI(scheme, rest string) *ParseError {
	text, query, err := cutQuery(rest)
	if err != nil {
		return err
	}
	authority, path := text, ""
	if i := strings.IndexByte(text, '/'); i >= 0 {
		authority, path = text[:i], text[i:]
	}
	body, ok := normalise(path, inPath)
	if !ok {
		return wrong(ErrPath, path, wantText)
	}
	p.form, p.scheme, p.body, p.query = formURI, scheme, body, query
	return p.parseAuthority(authority)
}

// parseAuthority parses the host and port of a URI, both optional.
func (p *parts) parseAuthority(s string) *ParseError {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		// Addresses are logged; a password in one would be too, and in an error.
		user, _, _ := strings.Cut(s[:i], ":")
		return wrong(ErrHost, user, "no user name or password")
	}
	host, port, ok, err := splitHostPort(s)
	if err != nil {
		return err
	}
	if strings.HasPrefix(s, "[") {
		if host, err = parseHostName(uriZone(host)); err != nil {
			return err
		}
	} else {
		raw, clean := unescape(host)
		if !clean {
			return wrong(ErrHost, host, wantText)
		}
		if strings.IndexByte(raw, ':') >= 0 {
			if _, err := netip.ParseAddr(raw); err == nil {
				return wrong(ErrHost, host, wantBrackets)
			}
		}
		host = raw
		// What is no name and no IP address is the scheme's own business, the
		// path in http+unix:// for one; its case may matter.
		if h, err := parseHostName(raw); err == nil && !strings.HasPrefix(h, "%") {
			host = h
		}
	}
	p.host = host
	if !ok {
		// https://example.com and https://example.com:443 are one address.
		if port, known := service(p.scheme); known && host != "" {
			p.hasPort, p.first, p.last = true, port, port
		}
		return nil
	}
	p.hasPort = true
	p.first, p.last, err = parsePort(port)
	return err
}
