package middleware

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// An IPSet is a set of networks (CIDR) that can be swapped while it is used, for
// [AllowFrom] and [DenyFrom]. Looking an address up takes time in the logarithm
// of their number. The zero value is empty. All methods may be called by many
// goroutines.
//
// IPv4 addresses that are written as IPv6 ones (::ffff:192.0.2.1) are IPv4, in
// the set as in what is looked up, and so no network of IPv6 contains them, not
// even ::/0. Zones are not looked at.
type IPSet struct{ state atomic.Pointer[ipRanges] }

// ipRanges is never changed. ranges is in order, and no two touch.
type ipRanges struct {
	prefixes []netip.Prefix // as given
	ranges   []ipRange
}

type ipRange struct{ first, last netip.Addr }

// NewIPSet returns the set of the given networks and single addresses, such as
// "10.0.0.0/8" and "2001:db8::1".
func NewIPSet(networks ...string) (*IPSet, error) {
	prefixes := make([]netip.Prefix, 0, len(networks))
	for _, s := range networks {
		p, err := parseNetwork(s)
		if err != nil {
			return nil, fmt.Errorf("middleware: IPSet: %w", err)
		}
		prefixes = append(prefixes, p)
	}
	s := new(IPSet)
	s.Set(prefixes...)
	return s, nil
}

// MustIPSet is [NewIPSet] for networks written in a program: it panics if one
// of them is wrong.
func MustIPSet(networks ...string) *IPSet {
	s, err := NewIPSet(networks...)
	if err != nil {
		panic(err.Error())
	}
	return s
}

func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Set makes prefixes the contents of the set, in one step: a connection sees
// either what was before or all of the new. Open connections go on. Invalid
// prefixes contain nothing.
func (s *IPSet) Set(prefixes ...netip.Prefix) {
	all := make([]ipRange, 0, len(prefixes))
	for _, p := range prefixes {
		if r, ok := rangeOf(p); ok {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b ipRange) int { return a.first.Compare(b.first) })
	merged := all[:0]
	for _, r := range all {
		if n := len(merged) - 1; n >= 0 && r.first.Compare(merged[n].last) <= 0 {
			if merged[n].last.Less(r.last) {
				merged[n].last = r.last
			}
			continue
		}
		merged = append(merged, r)
	}
	s.state.Store(&ipRanges{prefixes: slices.Clone(prefixes), ranges: merged})
}

// Prefixes returns the contents as Set was given them.
func (s *IPSet) Prefixes() []netip.Prefix {
	if st := s.state.Load(); st != nil {
		return slices.Clone(st.prefixes)
	}
	return nil
}

// Contains reports whether one of the networks contains a.
func (s *IPSet) Contains(a netip.Addr) bool {
	st := s.state.Load()
	if st == nil || !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(st.ranges, a, func(r ipRange, a netip.Addr) int { return r.first.Compare(a) })
	return found || i > 0 && a.Compare(st.ranges[i-1].last) <= 0
}

// rangeOf returns the first and last address of p. Addresses of IPv4 come
// before all of IPv6 in netip's order, so one list serves both.
func rangeOf(p netip.Prefix) (ipRange, bool) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	if !p.IsValid() {
		return ipRange{}, false
	}
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return ipRange{p.Addr(), end}, true
}

// ipOf returns the IP address in a, IPv4 always as such. It reports false if a
// has none, as on unix sockets, whose clients may bind to a path that looks like
// one.
func ipOf(a net.Addr) (netip.Addr, bool) {
	switch a := a.(type) {
	case nil, *net.UnixAddr:
		return netip.Addr{}, false
	case *net.TCPAddr:
		return unmapped(a.AddrPort().Addr())
	case *net.UDPAddr:
		return unmapped(a.AddrPort().Addr())
	default:
		if strings.HasPrefix(a.Network(), "unix") {
			return netip.Addr{}, false
		}
		s := a.String()
		if ap, err := netip.ParseAddrPort(s); err == nil {
			return unmapped(ap.Addr())
		}
		ip, _ := netip.ParseAddr(s)
		return unmapped(ip)
	}
}

func unmapped(a netip.Addr) (netip.Addr, bool) { return a.Unmap(), a.IsValid() }
