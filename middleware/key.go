package middleware

import (
	"fmt"
	"net/netip"

	"github.com/listengroup/listengroup/lgrp"
)

// A Key says which connections [LimitBy] and [RateLimit] count together: those
// with equal keys. It is a name or a network; the zero Key is neither, and
// connections that have it are not limited. Keys can be compared by ==.
type Key struct {
	name   string
	named  bool
	prefix netip.Prefix
}

// NameKey returns the key of a name, such as a TLS server name. The empty name
// is a key too.
func NameKey(name string) Key { return Key{name: name, named: true} }

// PrefixKey returns the key of a network. What [ByIP] makes are such.
func PrefixKey(p netip.Prefix) Key { return Key{prefix: p.Masked()} }

// String returns the name or the network, "" for the zero Key.
func (k Key) String() string {
	if k.prefix.IsValid() {
		return k.prefix.String()
	}
	return k.name
}

// ByIPOptions say how much of an address makes a key. The zero value, and nil,
// are the defaults.
type ByIPOptions struct {
	// IPv4Bits is the length of the prefix that counts as one peer. Defaults to
	// 32, the whole address.
	IPv4Bits int

	// IPv6Bits is the same for IPv6, where a peer can take as many addresses of
	// its network as it likes. Defaults to 64.
	IPv6Bits int
}

// ByIP returns a function that gives each peer's network as the key: IPv4 by
// address and IPv6 by /64, unless opts say otherwise. An IPv4 address written as
// IPv6 counts as IPv4, and an IPv6 address of the link itself (fe80::/10) as
// itself. A peer without an IP address, as on unix sockets, has the zero Key.
// It panics if a length does not fit.
func ByIP(opts *ByIPOptions) func(c *lgrp.AnyConn) Key {
	bits4, bits6 := 32, 64
	if opts != nil && opts.IPv4Bits != 0 {
		bits4 = opts.IPv4Bits
	}
	if opts != nil && opts.IPv6Bits != 0 {
		bits6 = opts.IPv6Bits
	}
	if bits4 < 1 || bits4 > 32 || bits6 < 1 || bits6 > 128 {
		panic(fmt.Sprintf("middleware: ByIP with a prefix length that does not fit: IPv4Bits %d of 32, IPv6Bits %d of 128", bits4, bits6))
	}
	return func(c *lgrp.AnyConn) Key {
		ip, ok := ipOf(c.RemoteAddr())
		bits := bits6
		switch {
		case !ok:
			return Key{}
		case ip.Is4():
			bits = bits4
		case ip.IsLinkLocalUnicast():
			bits = 128 // one prefix for everybody on the link
		}
		p, _ := ip.Prefix(bits) // drops the zone
		return Key{prefix: p}
	}
}
