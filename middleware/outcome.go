package middleware

import "github.com/listengroup/listengroup/lgrp"

// outcome says how a connection ended, for middleware that tells others: the
// reason that the group has set or is about to set. returned is false while a
// panic goes by.
func outcome(c *lgrp.AnyConn, err error, returned bool) lgrp.Reason {
	switch info := c.Info(); {
	case info.Reason != lgrp.ReasonNone:
		return info.Reason // the first stays
	case !returned:
		return lgrp.ReasonPanic
	default:
		return lgrp.ReasonOf(err, info.Draining)
	}
}
