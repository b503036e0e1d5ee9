package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/listengroup/listengroup/addr"
)

// scheme is how the addresses of one scheme are opened; either may be nil.
type scheme struct {
	listen func(context.Context, addr.Addr, *Options) (net.Listener, error)
	dial   func(context.Context, addr.Addr) (net.Conn, error)
}

var schemes = struct {
	sync.RWMutex // not held while one of the functions runs
	named        map[string]scheme
}{
	named: map[string]scheme{
		"tcp":     {listenTCP, dialNet},
		"tcp4":    {listenTCP, dialNet},
		"tcp6":    {listenTCP, dialNet},
		"unix":    {listenUnix, dialUnix},
		"fd":      {listen: listenFD},
		"systemd": {listen: listenSystemd},
		"mem":     {listenMem, dialMem},
	},
}

// Register makes Listen and Dial understand addresses of a scheme. The
// functions are called on the caller's goroutine, with a context that is not
// done yet, an address of that scheme, which is no port range, and options
// that are never nil and theirs to keep. A nil function means that this
// cannot be done; its errors match [errors.ErrUnsupported].
//
// Errors become the Err of a *[net.OpError] that says which address it was.
// The listener's Accept, Close and Addr are used as they are; if connections
// can wait in it, give it a method AcceptQueued, see [AcceptQueued].
//
// It is meant for init functions, though it may be called at any time and from
// any goroutine. It panics if the scheme is taken already or is not what
// [addr.Addr.Scheme] could return, which is in lower case.
func Register(
	name string,
	listen func(context.Context, addr.Addr, *Options) (net.Listener, error),
	dial func(context.Context, addr.Addr) (net.Conn, error),
) {
	schemes.Lock()
	defer schemes.Unlock()
	if !isScheme(name) {
		panic(fmt.Sprintf("netx: Register of scheme %q, which no address has", name))
	}
	if _, taken := schemes.named[name]; taken {
		panic("netx: Register called twice for scheme " + name)
	}
	schemes.named[name] = scheme{listen, dial}
}

// isScheme asks package addr, in a text for each form that an address with a
// port or a path may have.
func isScheme(name string) bool {
	for _, rest := range []string{"://host:1", ":///path"} {
		if a, err := addr.Parse(name + rest); err == nil && a.Scheme() == name {
			return true
		}
	}
	return false
}

func lookup(name string) (scheme, error) {
	schemes.RLock()
	defer schemes.RUnlock()
	s, ok := schemes.named[name]
	if !ok {
		return s, fmt.Errorf("scheme %s: not registered: %w", name, errors.ErrUnsupported)
	}
	return s, nil
}
