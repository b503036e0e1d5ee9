package addr

import (
	"net"
	"net/netip"
	"reflect"
	"strings"
)

// maxForeign is how much of a foreign address's text is used: with every byte
// escaped and the longest scheme it still fits maxText.
const maxForeign = 1300

// FromNet returns a as an Addr: a itself if it is one, host:port for
// *net.TCPAddr, unix: for *net.UnixAddr, and for other networks an address
// whose scheme is a.Network(). nil and nil pointers give the zero value.
//
// The result is always an address that Parse accepts. What a says of itself
// may be anything; if it fits no address of its network the scheme gets "x-"
// in front, as in x-tcp:pipe, and texts are cut after 1,300 bytes.
func FromNet(a net.Addr) Addr {
	if v := reflect.ValueOf(a); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return Addr{}
	}
	var b Addr
	ok := false
	switch a := a.(type) {
	case Addr:
		return a
	case *Addr:
		return *a
	case *net.TCPAddr:
		b, ok = fromIP("", a.IP, a.Zone, a.Port)
	case *net.UDPAddr:
		b, ok = fromIP("udp", a.IP, a.Zone, a.Port)
	case *net.UnixAddr:
		b, ok = fromUnix(a)
	}
	if !ok {
		b = fromText(a.Network(), a.String())
	}
	return b
}

func fromIP(scheme string, ip net.IP, zone string, port int) (Addr, bool) {
	p := parts{form: formHost, scheme: scheme, hasPort: true, first: uint16(port), last: uint16(port)}
	if port < 0 || port > maxPort || zone != "" && (!isZone(zone) || scheme != "" && uriZone("%"+zone) != "%"+zone) {
		return Addr{}, false
	}
	if len(ip) > 0 {
		nip, ok := netip.AddrFromSlice(ip)
		if !ok {
			return Addr{}, false
		}
		p.host = nip.Unmap().WithZone(zone).String()
	} else if zone != "" {
		p.host = "%" + zone
	}
	b, err := p.addr("")
	return b, err == nil
}

func fromUnix(a *net.UnixAddr) (Addr, bool) {
	p := parts{form: formUnix, scheme: a.Net, body: a.Name}
	switch {
	case len(a.Name) > maxText:
		return Addr{}, false
	case a.Net == "":
		p.scheme = "unix"
	case schemeForm(a.Net) != formUnix:
		return Addr{}, false
	}
	switch {
	case a.Name == "":
		p.body = "@"
	case a.Name[0] == 0:
		p.body = "@" + a.Name[1:] // as the kernel has it
	case a.Name[0] != '@' && strings.IndexByte(a.Name, 0) >= 0:
		return Addr{}, false
	}
	b, err := p.addr("")
	return b, err == nil
}

// fromText makes an address of what an unknown net.Addr says of itself.
func fromText(network, text string) Addr {
	text = text[:min(len(text), maxForeign)]
	scheme := lower(network[:min(len(network), maxScheme+1)])
	if a, err := Parse(text); err == nil && a.Scheme() == scheme {
		return a
	}
	if isScheme(scheme) {
		if a, ok := fromScheme(scheme, text); ok {
			return a
		}
	}
	return fromUnknown(otherScheme(scheme), text)
}

// fromScheme reads text as what follows the scheme, with nothing escaped.
func fromScheme(scheme, text string) (Addr, bool) {
	var p parts
	var err *ParseError
	switch schemeForm(scheme) {
	case formUnix:
		return fromUnix(&net.UnixAddr{Net: scheme, Name: text})
	case formName:
		err = p.parseName(scheme, string(appendEscaped(nil, text, inPath)))
	case formHost:
		if strings.Contains(text, "%25") { // parseHost would take it for an escape
			return Addr{}, false
		}
		err = p.parseHost(scheme, text)
	default:
		return fromUnknown(scheme, text), true
	}
	if err != nil {
		return Addr{}, false
	}
	a, err := p.addr("")
	return a, err == nil
}

// fromUnknown makes a URI of a text that is host:port or an IP address, and a
// name of any other.
func fromUnknown(scheme, text string) Addr {
	host, port, err := net.SplitHostPort(text)
	if _, e := netip.ParseAddr(text); e == nil {
		host, port, err = text, "", nil
	}
	if n, ok := digits(port); err == nil && n <= maxPort && (ok || port == "") && !strings.Contains(host, "%25") {
		b := append([]byte(scheme), "://"...)
		if strings.IndexByte(host, ':') >= 0 {
			b = append(append(append(b, '['), host...), ']')
		} else {
			b = appendEscaped(b, host, inHost)
		}
		if port != "" {
			b = append(append(b, ':'), port...)
		}
		if a, err := Parse(string(b)); err == nil {
			return a
		}
	}
	p := parts{form: formName, scheme: scheme, body: text}
	if text == "" {
		p.form = formURI
	}
	a, _ := p.addr("") // cannot fail: text was cut short
	return a
}

// otherScheme makes a scheme that no network has out of any network's name.
func otherScheme(network string) string {
	b := []byte("x-")
	for i := range min(len(network), maxScheme-len("x-")) {
		c := network[i]
		if !isScheme("x" + string(rune(c))) {
			c = '-'
		}
		b = append(b, c)
	}
	if len(b) == len("x-") {
		b = append(b, "unknown"...)
	}
	return string(b)
}
