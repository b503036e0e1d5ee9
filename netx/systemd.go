package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/listengroup/listengroup/addr"
)

// firstPassed is the number of the first descriptor that systemd passes
// (SD_LISTEN_FDS_START, sd_listen_fds(3)).
const firstPassed = 3

// maxPassed is more than a process can have descriptors by default: nobody
// passes as many, and a mistyped number must not become a slice.
const maxPassed = 1 << 20

// passed is a descriptor that systemd, or whoever speaks its protocol, gave us.
type passed struct {
	name      string
	fd        int
	inherited bool // or else a number we were told, of something opened since
}

// activation reads the environment once, when it is first needed, and leaves
// it as it is: LISTEN_PID keeps our children from believing that it is meant
// for them. The descriptors are kept from them by close-on-exec.
var activation = sync.OnceValues(func() ([]passed, error) {
	all, err := parseActivation(os.Getpid(), os.Getenv)
	for i := range all {
		p := &all[i]
		if p.inherited = isInheritable(p.fd); p.inherited {
			closeOnExec(p.fd)
		}
	}
	return all, err
})

// parseActivation is sd_listen_fds_with_names(3): without LISTEN_PID or with
// another process's, nothing was passed to us. When only the names are wrong
// it returns the descriptors too: they are ours, and not our children's.
func parseActivation(pid int, env func(string) string) ([]passed, error) {
	to := env("LISTEN_PID")
	if to == "" {
		return nil, errors.New("no sockets were passed: LISTEN_PID is not set")
	}
	n, err := strconv.ParseUint(to, 10, 31)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("LISTEN_PID=%q is not a process", to)
	}
	if int(n) != pid {
		return nil, fmt.Errorf("no sockets were passed: LISTEN_PID is %d, this is process %d", n, pid)
	}
	count := env("LISTEN_FDS")
	n, err = strconv.ParseUint(count, 10, 31)
	if err != nil || n > maxPassed {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of descriptors", count)
	}
	all := make([]passed, n)
	for i := range all {
		all[i] = passed{name: "unknown", fd: firstPassed + i} // as libsystemd calls them
	}
	list := env("LISTEN_FDNAMES")
	if list == "" || n == 0 {
		return all, nil
	}
	names := strings.Split(list, ":")
	if len(names) != len(all) {
		return all, fmt.Errorf("LISTEN_FDNAMES=%q names %d descriptors, LISTEN_FDS=%d", list, len(names), n)
	}
	for i, name := range names {
		if name != "" {
			all[i].name = name
		}
	}
	return all, nil
}

// passedSockets returns those called name that can be listened on and that
// nobody has taken yet. systemd may pass anything by a name, also things that
// are no sockets: they are skipped, and are the error when nothing is left.
func passedSockets(name string) ([]passed, error) {
	all, err := activation()
	if err != nil {
		return nil, err
	}
	var sockets []passed
	var why error
	var others []string
	for _, p := range all {
		if p.name != name {
			others = append(others, p.name)
			continue
		}
		if err := inheritedFDs.check(p.fd); err != nil {
			why = errors.Join(why, err)
			continue
		}
		sockets = append(sockets, p)
	}
	switch {
	case len(sockets) > 0:
		return sockets, nil
	case why != nil:
		return nil, why
	default:
		return nil, fmt.Errorf("no socket was passed by this name, only %q", others)
	}
}

// isInherited reports whether a descriptor came through exec: Go makes all of
// its own close-on-exec, which none of those can be until we make it so.
func isInherited(fd int) bool {
	all, _ := activation()
	if i := fd - firstPassed; i >= 0 && i < len(all) {
		return all[i].inherited
	}
	return isInheritable(fd)
}

func expandSystemd(a addr.Addr) ([]addr.Addr, error) {
	sockets, err := passedSockets(a.Name())
	if err != nil || len(sockets) == 1 {
		return []addr.Addr{a}, err
	}
	all := make([]addr.Addr, len(sockets))
	for i, p := range sockets {
		if all[i], err = addr.Parse("fd:" + strconv.Itoa(p.fd)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func listenSystemd(_ context.Context, a addr.Addr, o *Options) (net.Listener, error) {
	sockets, err := passedSockets(a.Name())
	if err != nil {
		return nil, err
	}
	return inheritedFDs.take(sockets[0].fd, o)
}
