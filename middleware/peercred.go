package middleware

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// PeerCredOptions are the settings of [PeerCred]. A peer is let in that any of
// them speaks for. A nil *PeerCredOptions, and the zero value, let in
// processes of this one's own effective user.
type PeerCredOptions struct {
	// UIDs are the users to let in. Defaults to none.
	UIDs []int

	// GIDs are the primary groups to let in: the kernel tells of no others.
	// Defaults to none.
	GIDs []int

	// Allow is called, on the connection's goroutine, for those whom neither
	// lets in. Defaults to nil: nobody else.
	Allow func(netx.Cred) bool
}

// PeerCred admits connections of a unix socket by who the process at the other
// end was when it connected (SO_PEERCRED of unix(7)). Others end with
// ReasonDenied, and so does what is no unix socket: on systems other than
// Linux, where the kernel is not asked, everybody.
//
// It belongs first into a listener's Transport or into the chain, before
// anything is spent on the client; wrappers of the stream do not bother it. A
// file mode of the socket's is the other fence: a peer that gets past that can
// still be of the wrong kind. opts may be nil.
func PeerCred(opts *PeerCredOptions) lgrp.Middleware {
	var o PeerCredOptions
	if opts != nil {
		o = *opts
	}
	o.UIDs, o.GIDs = slices.Clone(o.UIDs), slices.Clone(o.GIDs)
	if len(o.UIDs) == 0 && len(o.GIDs) == 0 && o.Allow == nil {
		o.UIDs = []int{os.Geteuid()}
	}
	return func(next lgrp.Handler) lgrp.Handler {
		return func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			cred, err := netx.PeerCred(nc)
			if err == nil && !o.allows(cred) {
				err = fmt.Errorf("uid %d, gid %d, pid %d is not allowed", cred.UID, cred.GID, cred.PID)
			}
			if err != nil {
				return &lgrp.CloseError{Reason: lgrp.ReasonDenied, Err: fmt.Errorf("middleware: PeerCred: %w", err)}
			}
			return next(ctx, nc, c)
		}
	}
}

func (o *PeerCredOptions) allows(cred netx.Cred) bool {
	return slices.Contains(o.UIDs, cred.UID) || slices.Contains(o.GIDs, cred.GID) || o.Allow != nil && o.Allow(cred)
}
