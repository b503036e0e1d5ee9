package middleware

import (
	"slices"
	"strings"
)

// A Matcher tells from the first bytes of a connection, none at first, whether
// it is of a kind. It is called again when more have come, with all of them. It
// must not keep or change head, and many goroutines call it at once.
type Matcher func(head []byte) SniffResult

// SniffResult is what a [Matcher] answers. The results are in such an order
// that min of two is their conjunction, and max their disjunction.
type SniffResult uint8

// The results.
const (
	SniffNo   SniffResult = iota // it is not, whatever may come
	SniffMore                    // it may be: ask again when there are more bytes
	SniffYes                     // it is
)

// String returns "no", "more" or "yes".
func (r SniffResult) String() string {
	return [...]string{"no", "more", "yes"}[min(r, SniffYes)]
}

// MatchPrefix matches connections that begin with one of prefixes.
func MatchPrefix(prefixes ...string) Matcher {
	prefixes = slices.Clone(prefixes)
	return func(head []byte) SniffResult {
		result := SniffNo
		for _, p := range prefixes {
			switch {
			case !hasPrefix(head, p):
			case len(head) >= len(p):
				return SniffYes
			default:
				result = SniffMore
			}
		}
		return result
	}
}

// MatchHTTP1 matches a request of HTTP/1 whose method is one of those of RFC
// 9110 section 9, PATCH, or of methods.
func MatchHTTP1(methods ...string) Matcher {
	all := append([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}, methods...)
	for i := range all {
		all[i] += " "
	}
	return MatchPrefix(all...)
}

// MatchHTTP2 matches HTTP/2 without TLS, by the preface of RFC 9113 section
// 3.4. Behind TLS, and in front of it, HTTP/2 is told by ALPN: see
// [MatchALPN].
func MatchHTTP2() Matcher { return MatchPrefix("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }

// MatchSSH matches SSH by the line of RFC 4253 section 4.2 that a client
// begins with. OpenSSH's sends it without waiting for the server's.
func MatchSSH() Matcher { return MatchPrefix("SSH-") }

// MatchProxy matches a PROXY header, of version 1 or 2. See [ProxyProtocol].
func MatchProxy() Matcher { return MatchPrefix(proxyV1Prefix, proxyV2Prefix) }

// MatchTLS matches the beginning of a TLS ClientHello.
func MatchTLS() Matcher { return matchTLS }

func matchTLS(head []byte) SniffResult {
	switch {
	case !hasPrefix(head, "\x16\x03"),
		len(head) > 2 && head[2] > 4,
		len(head) > recordHeader && head[recordHeader] != 1: // client_hello
		return SniffNo
	case len(head) <= recordHeader:
		return SniffMore
	}
	return SniffYes
}

// MatchSNI matches a TLS ClientHello that asks for one of the server names:
// whole ones, or "*.example.com" for all that have one label more.
func MatchSNI(names ...string) Matcher {
	names = slices.Clone(names)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return matchHello(func(h *clientHello) bool {
		name := strings.ToLower(strings.TrimSuffix(h.serverName, "."))
		if name == "" {
			return false
		}
		_, parent, _ := strings.Cut(name, ".")
		return slices.Contains(names, name) || slices.Contains(names, "*."+parent)
	})
}

// MatchALPN matches a TLS ClientHello that offers one of the protocols, such
// as "h2".
func MatchALPN(protocols ...string) Matcher {
	protocols = slices.Clone(protocols)
	return matchHello(func(h *clientHello) bool {
		return slices.ContainsFunc(h.protocols, func(p string) bool { return slices.Contains(protocols, p) })
	})
}

func matchHello(match func(*clientHello) bool) Matcher {
	return func(head []byte) SniffResult {
		h, result := parseClientHello(head)
		if result == SniffYes && !match(h) {
			return SniffNo
		}
		return result
	}
}
