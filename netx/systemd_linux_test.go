package netx_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func init() { children["names"] = reportActivation }

// reportActivation says what Listen and ListenAll make of each address.
func reportActivation(_ *bufio.Reader, args []string) error {
	for _, text := range args {
		a := addr.MustParse(text)
		each, err := netx.Expand(a)
		if err != nil {
			fmt.Println(text, "expand:", err)
			continue
		}
		ln, err := netx.Listen(context.Background(), a, nil)
		if err == nil {
			fmt.Println(text, "listen:", ln.Addr())
			continue
		}
		fmt.Println(text, "listen:", err)
		lns, err := netx.ListenAll(context.Background(), []addr.Addr{a}, nil)
		if err != nil {
			fmt.Println(text, "all:", err)
			continue
		}
		for i, ln := range lns {
			fmt.Println(text, "all:", each[i], ln.Addr())
		}
		_, err = netx.Listen(context.Background(), a, nil)
		fmt.Println(text, "again:", err)
	}
	if os.Getenv("LISTEN_PID") == "" {
		return fmt.Errorf("the environment was changed")
	}
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil // not for us, so not ours to change
	}
	return noneInheritable()
}

// activate starts a child as systemd does: in a process that execs, for
// LISTEN_PID is the process's own number.
func activate(t *testing.T, pid, fds, names string, files []*os.File, args ...string) []string {
	t.Helper()
	cmd := childCommand(t, []string{"/bin/sh", "-c", `export LISTEN_PID=` + pid + `; exec "$@"`, "sh"}, "names", args...)
	cmd.Env = append(cmd.Env, "LISTEN_FDS="+fds, "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	out, err := cmd.Output()
	require.NoError(t, err, "the child said %q", out)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestSystemdNames(t *testing.T) {
	var files []*os.File
	var at []string
	add := func(f *os.File, a net.Addr) {
		files, at = append(files, f), append(at, a.String())
	}
	path := socketPath(t)
	for _, address := range []string{"127.0.0.1:0", "127.0.0.1:0", "unix://" + path} {
		ln := open(t, address, nil)
		f, err := netx.Files(ln)
		require.NoError(t, err)
		defer f[0].Close()
		add(f[0], ln.Addr())
	}
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer datagrams.Close()
	udp, err := datagrams.(*net.UDPConn).File()
	require.NoError(t, err)
	defer udp.Close()
	files = []*os.File{files[0], null, files[1], udp, files[2]}

	for _, test := range []struct {
		name, pid, fds, names string
		args                  string
		want                  []string
	}{
		{"every kind", "$$", "5", "web:web:web:udp:admin", "systemd:admin systemd:web systemd:udp systemd:admin systemd:none", []string{
			"systemd:admin listen: " + at[2],
			"systemd:web listen: listen systemd systemd:web: stands for 2 sockets: one listener cannot serve them: use ListenAll or AddAll",
			"systemd:web all: fd:3 " + at[0],
			"systemd:web all: fd:5 " + at[1],
			"systemd:web again: listen systemd systemd:web: descriptor 3: was taken before\ndescriptor 4: is not a socket: socket operation on non-socket\ndescriptor 5: was taken before",
			"systemd:udp expand: listen systemd systemd:udp: descriptor 6: is not a stream socket: unsupported operation",
			"systemd:admin expand: listen systemd systemd:admin: descriptor 7: was taken before",
			`systemd:none expand: listen systemd systemd:none: no socket was passed by this name, only ["web" "web" "web" "udp" "admin"]`,
		}},
		{"one socket and something else by its name", "$$", "2", "web:web", "systemd:web", []string{"systemd:web listen: " + at[0]}},
		{"no names", "$$", "1", "", "systemd:unknown", []string{"systemd:unknown listen: " + at[0]}},
		{"an empty name", "$$", "3", "a::b", "systemd:b", []string{"systemd:b listen: " + at[1]}},
		{"by number", "$$", "1", "", "fd:3", []string{"fd:3 listen: " + at[0]}},
		{"for another process", "1", "1", "web", "systemd:web", []string{"systemd:web expand: listen systemd systemd:web: no sockets were passed: LISTEN_PID is 1, this is process "}},
		{"no process", "x", "1", "web", "systemd:web", []string{`systemd:web expand: listen systemd systemd:web: LISTEN_PID="x" is not a process`}},
		{"no number", "$$", "x", "web", "systemd:web", []string{`systemd:web expand: listen systemd systemd:web: LISTEN_FDS="x" is not a number of descriptors`}},
		{"none", "$$", "0", "", "systemd:web", []string{"systemd:web expand: listen systemd systemd:web: no socket was passed by this name, only []"}},
		{"too few names", "$$", "2", "web", "systemd:web", []string{`systemd:web expand: listen systemd systemd:web: LISTEN_FDNAMES="web" names 1 descriptors, LISTEN_FDS=2`}},
		{"fewer descriptors than announced", "$$", "9", "a:b:c:d:e:f:g:h:web", "systemd:web", []string{"systemd:web expand: listen systemd systemd:web: descriptor 11: is not open: bad file descriptor"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := activate(t, test.pid, test.fds, test.names, files, strings.Fields(test.args)...)
			want := strings.Split(strings.Join(test.want, "\n"), "\n")
			require.Len(t, got, len(want), "%q", got)
			for i := range want {
				require.True(t, strings.HasPrefix(got[i], want[i]), "%q instead of %q", got[i], want[i])
			}
		})
	}
}
