package addr

import (
	"io/fs"
	"strconv"
	"strings"
)

// Mode returns the permissions that a Unix socket's file shall have, and false
// when the address does not say.
func (a Addr) Mode() (fs.FileMode, bool) {
	if a.form != formUnix {
		return 0, false
	}
	s, ok := a.Param("mode")
	if !ok {
		return 0, false
	}
	n, _ := strconv.ParseUint(s, 8, 16)
	return fs.FileMode(n), true
}

// Owner returns the user, by name or number, who shall own a Unix socket's
// file, and "" when the address does not say. Nothing is looked up.
func (a Addr) Owner() string { return a.unixParam("owner") }

// Group returns the group, by name or number, that a Unix socket's file shall
// belong to, and "" when the address does not say. Nothing is looked up.
func (a Addr) Group() string { return a.unixParam("group") }

func (a Addr) unixParam(key string) string {
	if a.form != formUnix {
		return ""
	}
	s, _ := a.Param(key)
	return s
}

// parseUnix parses what follows unix: or unix://.
func (p *parts) parseUnix(scheme, rest string) *ParseError {
	text, query, err := cutQuery(rest)
	if err != nil {
		return err
	}
	path, ok := unescape(text)
	switch {
	case !ok:
		return wrong(ErrPath, text, wantText)
	case path == "":
		return wrong(ErrPath, "", wantPath)
	case path[0] != '@' && strings.IndexByte(path, 0) >= 0:
		return wrong(ErrPath, text, "a path without zero bytes")
	}
	p.form, p.scheme, p.body, p.query = formUnix, scheme, path, query
	return unixQuery(query, path[0] == '@')
}

// unixQuery checks the options of a Unix socket and normalises the mode.
func unixQuery(query []param, abstract bool) *ParseError {
	for i, p := range query {
		if abstract {
			return wrong(ErrQuery, p.key, "no options: an abstract socket has no file")
		}
		if i > 0 && query[i-1].key == p.key {
			return wrong(ErrQuery, p.key, "each option once")
		}
		switch p.key {
		case "mode":
			n, err := strconv.ParseUint(p.value, 8, 16)
			if err != nil || n > 0o777 {
				return wrong(ErrQuery, p.key+"="+p.value, "an octal mode from 0 to 0777")
			}
			query[i].value = formatMode(n)
		case "owner", "group":
			if p.value == "" || strings.IndexByte(p.value, 0) >= 0 {
				return wrong(ErrQuery, p.key+"="+p.value, "a name or a number")
			}
		default:
			return wrong(ErrQuery, p.key, "mode, owner or group")
		}
	}
	return nil
}

func formatMode(n uint64) string {
	return string([]byte{'0', '0' + byte(n>>6), '0' + byte(n>>3&7), '0' + byte(n&7)})
}
