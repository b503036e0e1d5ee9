package netx

import (
	"fmt"
	"net"
	"syscall"
	"time"
)

// Options say how Listen opens a socket. A nil *Options and the zero value
// both mean the defaults. Listen copies them, so one value may serve many
// calls and be changed between them.
//
// Each option is about sockets that Listen itself binds, except KeepAlive,
// which inherited sockets honour too. Options of TCP are ignored for other
// kinds of socket, so that one value can be given to ListenAll with addresses
// of every kind. An option that this operating system does not have makes
// Listen fail with an error that matches [errors.ErrUnsupported].
type Options struct {
	// ReusePort lets other sockets of the same user bind the same TCP port
	// at the same time (SO_REUSEPORT, socket(7)); the kernel spreads the
	// connections over them. Two instances of a server that both set it
	// start side by side without noticing each other. Defaults to false.
	ReusePort bool

	// Shards is the number of TCP sockets opened on one address, each with
	// its own queue, so that as many goroutines accept without contending.
	// Port 0 is resolved once, for all of them. The listener then has a
	// method Shards() []net.Listener. The address stays exclusive: unless
	// ReusePort is set as well, Listen fails when anyone else holds it, and
	// afterwards only a socket of the same user that sets ReusePort gets it.
	// Linux only. Defaults to 1; less means 1.
	Shards int

	// Backlog is how many established connections the kernel keeps waiting
	// for Accept, as in listen(2). The kernel caps it at
	// net.core.somaxconn. Defaults to that maximum; 0 or less means the
	// default.
	Backlog int

	// KeepAlive configures TCP keepalive probes, with the meaning that
	// [net.KeepAliveConfig] gives its fields. It is set once, on the
	// listening socket, where the kernel lets accepted connections inherit
	// it (Linux); elsewhere it is set on each accepted connection. Enable
	// false means no keepalive. Defaults to enabled, with 15 s idle, 15 s
	// between probes, and 9 probes.
	KeepAlive *net.KeepAliveConfig

	// MPTCP accepts Multipath TCP (RFC 8684) from clients that ask for it;
	// others are served plain TCP. It is plain TCP if the kernel has no
	// MPTCP. Defaults to false.
	MPTCP bool

	// DeferAccept makes the kernel keep a connection back until its first
	// bytes have arrived, for about this long, rounded up to a second
	// (TCP_DEFER_ACCEPT, tcp(7)). Only for protocols in which the client
	// speaks first. Linux only. Defaults to 0: connections are accepted as
	// soon as they are established.
	DeferAccept time.Duration

	// FastOpen is how many connections may wait with data in their SYN
	// (TCP Fast Open, RFC 7413; TCP_FASTOPEN, tcp(7)). The data may be a
	// replay. It needs bit 2 of net.ipv4.tcp_fastopen. Linux only.
	// Defaults to 0: no Fast Open.
	FastOpen int

	// Control is called with each socket that Listen binds, after the other
	// options have been set and before bind(2), with what
	// [net.ListenConfig.Control] is given. An error makes Listen fail.
	// Defaults to nil: nothing more is set.
	Control func(network, address string, c syscall.RawConn) error
}

// The defaults of net.KeepAliveConfig, which its documentation promises.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9
)

// clone returns a copy of o, which may be nil, in which nothing is shared.
func (o *Options) clone() *Options {
	if o == nil {
		return &Options{}
	}
	c := *o
	if o.KeepAlive != nil {
		ka := *o.KeepAlive
		c.KeepAlive = &ka
	}
	return &c
}

// keepAlive returns the probes to set on a socket: 0 in a field means that
// the kernel's own value stays.
func (o *Options) keepAlive() net.KeepAliveConfig {
	ka := net.KeepAliveConfig{Enable: true}
	if o.KeepAlive != nil {
		ka = *o.KeepAlive
	}
	if ka.Idle == 0 {
		ka.Idle = keepAliveIdle
	}
	if ka.Interval == 0 {
		ka.Interval = keepAliveInterval
	}
	if ka.Count == 0 {
		ka.Count = keepAliveCount
	}
	ka.Idle, ka.Interval, ka.Count = max(ka.Idle, 0), max(ka.Interval, 0), max(ka.Count, 0)
	return ka
}

// control runs setup, then the caller's Control, on a socket about to be bound.
func (o *Options) control(network, address string, c syscall.RawConn, setup func(fd int) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = setup(int(fd)) }); cerr != nil {
		return cerr
	}
	if err != nil || o.Control == nil {
		return err
	}
	return o.Control(network, address, c)
}

// seconds rounds up, as net does: the kernel counts in whole seconds.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// optionError says which option could not be set.
func optionError(option string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("option %s: %w", option, err)
}
