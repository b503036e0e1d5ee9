package addr

import (
	"strconv"
	"strings"
)

const (
	maxPort  = 65535
	wantPort = "a number from 0 to 65535, a range such as 8000-8010, or the name of a well-known service"
)

// Port returns the port, the first one of a range, and 0 when the address has
// none. Port 0 asks the kernel for a free one.
func (a Addr) Port() int { return int(a.first) }

// PortRange returns the first and the last port, which are equal unless a is a
// range. ok is false when the address has no port.
func (a Addr) PortRange() (first, last int, ok bool) {
	return int(a.first), int(a.last), a.hasPort()
}

// IsRange reports whether a stands for several ports. Such an address cannot
// be bound; see [Addr.Expand].
func (a Addr) IsRange() bool { return a.first != a.last }

// WithPort returns a with this port instead of the one or the range it has.
// Addresses that cannot have a port, such as unix: and mem:, are returned as
// they are. A port that is not from 0 to 65,535 gives the zero Addr.
func (a Addr) WithPort(port int) Addr {
	if port < 0 || port > maxPort {
		return Addr{}
	}
	if a.form != formHost && a.form != formURI || a.hasPort() && a.Port() == port && !a.IsRange() {
		return a
	}
	tail := int(a.hostStart()) + len(a.HostPort())
	b := make([]byte, 0, len(a.text)+len(":65535"))
	b = append(b, a.text[:a.hostEnd]...)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(port), 10)
	b = append(b, a.text[tail:]...)
	a.text, a.first, a.last = string(b), uint16(port), uint16(port)
	return a
}

// Expand returns one address per port of a range, in ascending order, at most
// 65,535 of them; a alone when it is no range; nil when it is the zero value.
// It does no I/O: what an interface's addresses are, netx finds out.
func (a Addr) Expand() []Addr {
	if a.IsZero() {
		return nil
	}
	all := make([]Addr, 0, int(a.last)-int(a.first)+1)
	if !a.IsRange() {
		return append(all, a)
	}
	for port := int(a.first); port <= int(a.last); port++ {
		all = append(all, a.WithPort(port))
	}
	return all
}

func (a Addr) hasPort() bool {
	return a.form == formHost || a.form == formURI && int(a.hostEnd) < len(a.text) && a.text[a.hostEnd] == ':'
}

// parsePort parses a port, a service name or a range.
func parsePort(s string) (first, last uint16, err *ParseError) {
	if s == "" {
		return 0, 0, wrong(ErrPort, "", wantPort)
	}
	n, ok := digits(s)
	if !ok && (s[0] == '+' || s[0] == '-') {
		// A signed number is what strconv.Atoi and net.Listen say it is.
		i, err := strconv.Atoi(s)
		n, ok = i, err == nil
	}
	if ok {
		if n < 0 || n > maxPort {
			return 0, 0, wrong(ErrPort, s, wantPort)
		}
		return uint16(n), uint16(n), nil
	}
	if port, ok := service(s); ok {
		return port, port, nil
	}
	from, to, _ := strings.Cut(s, "-")
	lo, ok1 := digits(from)
	hi, ok2 := digits(to)
	switch {
	case !ok1 || !ok2 || hi > maxPort:
		return 0, 0, wrong(ErrPort, s, wantPort)
	case lo == 0:
		return 0, 0, wrong(ErrPort, s, "a range that begins at 1 or more: port 0 stands for any free one")
	case lo > hi:
		return 0, 0, wrong(ErrPort, s, "a range whose first port is not above its last")
	}
	return uint16(lo), uint16(hi), nil
}

// digits parses a number written in decimal digits only; those above maxPort
// are all maxPort+1. Unlike strconv's its failure costs no allocation, and a
// range fails as a number first.
func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int(c-'0'), maxPort+1)
	}
	return n, s != ""
}

func appendPort(b []byte, first, last uint16) []byte {
	b = strconv.AppendUint(b, uint64(first), 10)
	if last != first {
		b = append(b, '-')
		b = strconv.AppendUint(b, uint64(last), 10)
	}
	return b
}
