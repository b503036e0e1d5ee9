package middleware

import (
	"errors"

	"github.com/listengroup/listengroup/lgrp"
)

// DenyFrom ends connections whose peer is in set with [lgrp.ReasonDenied] and
// lets the others through, also peers without an IP address, as on unix
// sockets. For the rest it is as [AllowFrom].
func DenyFrom(set *IPSet) lgrp.Middleware {
	return ifPeer(set, false, errDenied)
}

var errDenied = refusal(lgrp.ReasonDenied, "DenyFrom", errors.New("peer in the set"))
