package netx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func init() {
	children["own"] = ownPath
	children["race"] = raceForPath
	children["bind"] = bindAgainAndAgain
	children["watch"] = watchModes
}

// ownPath listens on a path, tells every client who it is, and closes when told.
func ownPath(stdin *bufio.Reader, args []string) error {
	ln, err := listenChild("unix://"+args[0], nil)
	if err != nil {
		return err
	}
	fmt.Println("up")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, args[1])
			c.Close()
		}
	}()
	if _, err := stdin.ReadString('\n'); err != nil {
		return err
	}
	err = ln.Close()
	fmt.Println("closed")
	return errors.Join(err, untilEOF(stdin))
}

// whoOwns asks the server at path for its name.
func whoOwns(t *testing.T, path string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	name, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(name)
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "netx")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "app.sock")
}

func requireEmptyDir(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Empty(t, entries, "left behind")
}

func TestUnixLiveOwnerIsNotDisplacedByAnotherProcess(t *testing.T) {
	path := socketPath(t)
	first := startChild(t, "own", path, "first")
	require.Equal(t, "up", first.read())

	second := startChild(t, "own", path, "second")
	said := second.read()
	require.Contains(t, said, "a live server owns it")
	require.Contains(t, said, path)
	require.Equal(t, "first", whoOwns(t, path))

	first.kill()
	require.FileExists(t, path, "a killed owner leaves its file")
	third := startChild(t, "own", path, "third")
	require.Equal(t, "up", third.read())
	require.Equal(t, "third", whoOwns(t, path))

	third.write("close")
	require.Equal(t, "closed", third.read())
	requireEmptyDir(t, path)
	third.end()
}

func TestUnixLateCloseLeavesTheSuccessorsFile(t *testing.T) {
	path := socketPath(t)
	first := startChild(t, "own", path, "first")
	require.Equal(t, "up", first.read())
	require.NoError(t, os.Remove(path))
	second := startChild(t, "own", path, "second")
	require.Equal(t, "up", second.read())

	first.write("close")
	require.Equal(t, "closed", first.read())
	require.Equal(t, "second", whoOwns(t, path))
	first.end()
	second.write("close")
	require.Equal(t, "closed", second.read())
	requireEmptyDir(t, path)
}

const (
	racers = 10 // in each of as many processes
	races  = 8
)

// raceForPath lets many goroutines listen on one path whenever the parent says
// so, prints how many succeeded, and closes when the parent says so again.
func raceForPath(stdin *bufio.Reader, args []string) error {
	a := addr.MustParse("unix://" + args[0])
	fmt.Println("ready")
	for {
		if _, err := stdin.ReadString('\n'); err != nil {
			return ignoreEOF(err)
		}
		errs := make([]error, racers)
		lns := make([]net.Listener, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() { lns[i], errs[i] = netx.Listen(context.Background(), a, nil) })
		}
		wg.Wait()
		owners := 0
		for _, err := range errs {
			switch {
			case err == nil:
				owners++
			case !errors.Is(err, syscall.EADDRINUSE):
				return err
			}
		}
		fmt.Println(owners)
		if _, err := stdin.ReadString('\n'); err != nil {
			return err
		}
		for _, ln := range lns {
			if ln != nil {
				ln.Close()
			}
		}
		fmt.Println("closed")
	}
}

func TestUnixHundredRacingStartersEndInOneOwner(t *testing.T) {
	path := socketPath(t)
	var all []*child
	for range racers {
		all = append(all, startChild(t, "race", path))
	}
	everyone := func(say string) (heard []string) {
		if say != "" {
			for _, c := range all {
				c.write(say)
			}
		}
		for _, c := range all {
			heard = append(heard, c.read())
		}
		return heard
	}
	everyone("")
	for race := range races {
		if race > 0 { // the first starts with nothing there
			leaveStaleSocket(t, path)
		}
		owners := 0
		for _, said := range everyone("go") {
			n, err := strconv.Atoi(said)
			require.NoError(t, err, said)
			owners += n
		}
		require.Equal(t, 1, owners, "in race %d", race)
		c, err := net.Dial("unix", path)
		require.NoError(t, err, "the one owner is not the one at the path")
		c.Close()
		everyone("close")
		requireEmptyDir(t, path)
	}
	for _, c := range all {
		c.end()
	}
}

// leaveStaleSocket leaves what a killed server leaves.
func leaveStaleSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
}

// bindAgainAndAgain listens and closes until it is told to stop, under an
// umask that would show every mistake.
func bindAgainAndAgain(stdin *bufio.Reader, args []string) error {
	syscall.Umask(0)
	stop := make(chan error, 1)
	go func() { stop <- untilEOF(stdin) }()
	for {
		select {
		case err := <-stop:
			return err
		default:
		}
		ln, err := listenChild(args[0], nil)
		if err != nil {
			return err
		}
		if err := ln.Close(); err != nil {
			return err
		}
	}
}

// watchModes polls a path in a tight loop. It says "seen" after it has seen so
// many files come, and which modes there were when it is told to stop.
func watchModes(stdin *bufio.Reader, args []string) error {
	stop := make(chan error, 1)
	go func() { stop <- untilEOF(stdin) }()
	modes := map[string]bool{}
	births, there := 0, false
	for {
		var st syscall.Stat_t
		if err := syscall.Lstat(args[0], &st); err == nil {
			modes[strconv.FormatUint(uint64(st.Mode&0o777), 8)] = true
			if !there {
				there = true
				if births++; births == 100 {
					fmt.Println("seen")
				}
			}
			continue
		}
		there = false
		select {
		case err := <-stop:
			var list []string
			for mode := range modes {
				list = append(list, mode)
			}
			fmt.Println(strings.Join(list, " "))
			return err
		default:
		}
	}
}

func TestUnixIsNeverWiderThanAsked(t *testing.T) {
	for _, test := range []struct {
		query string
		most  uint64
	}{
		{"mode=0600", 0o600},
		{"mode=0660", 0o660},
		{"mode=0640&group=" + strconv.Itoa(os.Getgid()), 0o640},
	} {
		t.Run(test.query, func(t *testing.T) {
			path := socketPath(t)
			watcher := startChild(t, "watch", path)
			binder := startChild(t, "bind", "unix://"+path+"?"+test.query)
			require.Equal(t, "seen", watcher.read())
			binder.end()
			watcher.in.Close()
			for _, s := range strings.Fields(watcher.read()) {
				mode, err := strconv.ParseUint(s, 8, 32)
				require.NoError(t, err)
				require.Zero(t, mode&^test.most, "mode %s was seen", s)
			}
		})
	}
}
