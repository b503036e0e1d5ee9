package netx

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/listengroup/listengroup/addr"
)

// Expand returns the addresses that a stands for, each of which Listen can
// open: one per port of a range; one per address of an interface, as in
// tcp://%eth0:80, those of both kinds for tcp, else of the one kind; one fd:
// address per socket if systemd passed several by the name. Every other
// address is returned alone, and not checked.
//
// The zero value, an interface that does not exist or has no such address, and a
// systemd: name without a socket are errors of type *[net.OpError].
func Expand(a addr.Addr) ([]addr.Addr, error) {
	all, err := expand(a)
	if err != nil {
		return nil, opError("listen", a, err)
	}
	return all, nil
}

func expand(a addr.Addr) ([]addr.Addr, error) {
	switch {
	case a.IsZero():
		return nil, errNoAddress
	case a.Interface() != "":
		return expandInterface(a)
	case a.Scheme() == "systemd":
		return expandSystemd(a)
	default:
		return a.Expand(), nil
	}
}

func expandInterface(a addr.Addr) ([]addr.Addr, error) {
	name := a.Interface()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, unwrapOp(err))
	}
	prefixes, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, unwrapOp(err))
	}
	var all []addr.Addr
	for _, p := range prefixes {
		ip, ok := ipOf(p, name)
		if !ok || a.Scheme() == "tcp4" && !ip.Is4() || a.Scheme() == "tcp6" && ip.Is4() {
			continue
		}
		for _, port := range a.Expand() {
			one, err := addr.Parse(a.Scheme() + "://" + net.JoinHostPort(ip.String(), strconv.Itoa(port.Port())))
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("interface %s: has no address for %s", name, a.Scheme())
	}
	return all, nil
}

// ipOf adds the zone without which a link-local address cannot be bound.
func ipOf(p net.Addr, zone string) (netip.Addr, bool) {
	prefix, ok := p.(*net.IPNet)
	if !ok {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(prefix.IP)
	ip = ip.Unmap()
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		ip = ip.WithZone(zone)
	}
	return ip, ok
}
