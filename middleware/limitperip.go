package middleware

import "github.com/listengroup/listengroup/lgrp"

// LimitPerIP lets at most n connections at a time through from each peer and
// ends the others with [lgrp.ReasonLimit]. What counts as one peer is for
// [ByIP] to say; nil opts mean an IPv4 address or an IPv6 /64. Peers without an
// IP address, as on unix sockets, are not limited. To inspect it or change n
// later, use NewKeyLimiter(n, ByIP(opts)).
//
// It stands inside ProxyProtocol, which tells who the real peer is, and outside
// all that costs something.
func LimitPerIP(n int, opts *ByIPOptions) lgrp.Middleware { return LimitBy(n, ByIP(opts)) }
