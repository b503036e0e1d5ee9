package addr

import "strings"

// Path returns the path of a Unix socket, unescaped; that of an abstract one
// begins with "@", where the kernel has a zero byte. For other schemes it is
// what follows the host, from its slash on, and "" when nothing does.
//
// The lone "@" is how package net calls a socket without a name, which is what
// nearly every Unix client has.
func (a Addr) Path() string {
	var text string
	switch a.form {
	case formUnix:
		text = a.text[a.scheme+1:]
		if len(text) > 2 && text[:2] == "//" {
			text = text[2:]
		}
	case formURI:
		text = a.text[a.hostStart()+len(a.HostPort()):]
	}
	return body(text)
}

// body unescapes text up to its question mark.
func body(text string) string {
	text, _, _ = strings.Cut(text, "?")
	s, _ := unescape(text)
	return s
}
