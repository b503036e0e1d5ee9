package testkit

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Network is a set of listeners with addresses of their own, which [Network.DialContext] finds by
// address. The zero value is ready for use, and may be used by several goroutines at once. Networks
// share nothing, so every test that makes one sees the same addresses.
type Network struct {
	// IPv6 makes the addresses come from 2001:db8::/32 and not from 192.0.2.0/24.
	IPv6 bool

	mu        sync.Mutex
	listeners []*Listener
}

// Listen returns a listener with an address that no other listener of the network has had:
// 192.0.2.1:1001 and so on, or one of the kernel's for [Loopback]. tr defaults to Buffered(0, 0).
// It is closed when the test ends; see [Listen] about the order.
func (n *Network) Listen(t TB, tr ...Transport) *Listener {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	l := newListener(t, first(tr), len(n.listeners), n.IPv6)
	n.listeners = append(n.listeners, l)
	t.Cleanup(l.end)
	return l
}

// DialContext connects to the open listener with the address, and answers ECONNREFUSED when there is
// none. It has the form that http.Transport.DialContext wants; the network is not looked at.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	listeners := n.listeners
	n.mu.Unlock()
	for _, l := range listeners {
		if l.Addr().String() == address && l.listening() {
			return l.DialContext(ctx, network, address)
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: textAddr{network, address},
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

type textAddr struct{ network, address string }

func (a textAddr) Network() string { return a.network }
func (a textAddr) String() string  { return a.address }

// The addresses are those that RFC 5737 and RFC 3849 keep for documentation: no host has them.
var (
	host4 = netip.MustParsePrefix("192.0.2.0/24").Addr()
	host6 = netip.MustParsePrefix("2001:db8::/32").Addr()
)

func serverAddr(listener int, ipv6 bool) *net.TCPAddr { return host(1, 1001+listener, ipv6) }

// clientAddr is the address of the nth client of a listener. Every listener counts its own clients, from a
// port of its own, so that the addresses in a failure are the same from run to run.
func clientAddr(listener, n int, ipv6 bool) *net.TCPAddr {
	const ports, perListener = 50000, 1000
	n += perListener * listener
	return host(2+n/ports, 10001+n%ports, ipv6)
}

func host(i, port int, ipv6 bool) *net.TCPAddr {
	if ipv6 {
		ip := host6.As16()
		ip[14], ip[15] = byte(i>>8), byte(i)
		return &net.TCPAddr{IP: ip[:], Port: port}
	}
	ip := host4.As4()
	ip[3] = byte(i)
	return &net.TCPAddr{IP: ip[:], Port: port}
}
