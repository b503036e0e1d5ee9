package testkit_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit"
)

func TestScript(t *testing.T) {
	oops := errors.New("oops")
	tests := []struct {
		name   string
		server *testkit.Script
		client *testkit.Script
		want   string // the first line of the client's error
		is     error
	}{
		{name: "both agree",
			server: new(testkit.Script).Expect("hello").CloseWrite().ExpectEOF(),
			client: new(testkit.Script).Send("hello").Sleep(time.Second).ExpectEOF().Close()},
		{name: "chunks",
			server: new(testkit.Script).Do("see them one by one", func(nc net.Conn) error {
				buf := make([]byte, 10)
				for _, want := range []string{"he", "llo"} {
					if n, err := nc.Read(buf); err != nil || string(buf[:n]) != want {
						return errors.New("got " + string(buf[:n]))
					}
				}
				return nil
			}),
			client: new(testkit.Script).SendChunks(time.Second, "he", "llo")},
		{name: "a difference",
			server: new(testkit.Script).Send("HELLO"),
			client: new(testkit.Script).Send("").Expect("HELP!"),
			want:   `testkit: script step 2 of 2: Expect("HELP!"): got "HELLO", which differs at byte 3`},
		{name: "too little",
			server: new(testkit.Script).Send("HE").CloseWrite(),
			client: new(testkit.Script).Expect("HELLO"),
			want:   `testkit: script step 1 of 1: Expect("HELLO"): got "HE", then: unexpected EOF`, is: io.ErrUnexpectedEOF},
		{name: "silence",
			server: new(testkit.Script).Sleep(time.Hour),
			client: (&testkit.Script{Timeout: time.Minute}).Expect("HELLO"),
			want:   `testkit: script step 1 of 1: Expect("HELLO"): got "", then: read tcp 192.0.2.2:10001->192.0.2.1:1001: i/o timeout`,
			is:     os.ErrDeadlineExceeded},
		{name: "data in place of EOF",
			server: new(testkit.Script).Send("more"),
			client: new(testkit.Script).ExpectEOF(),
			want:   `testkit: script step 1 of 1: ExpectEOF(): got "more"`},
		{name: "EOF in place of a reset",
			server: new(testkit.Script).CloseWrite(),
			client: new(testkit.Script).ExpectReset(),
			want:   `testkit: script step 1 of 1: ExpectReset(): got: unexpected EOF`},
		{name: "reset in place of EOF",
			server: new(testkit.Script).Do("reset", func(nc net.Conn) error { return nc.(*testkit.Conn).Reset() }),
			client: new(testkit.Script).ExpectEOF(), is: syscall.ECONNRESET,
			want: `testkit: script step 1 of 1: ExpectEOF(): got: read tcp 192.0.2.2:10001->192.0.2.1:1001: read: connection reset by peer`},
		{name: "a reset",
			server: new(testkit.Script).Do("reset", func(nc net.Conn) error { return nc.(*testkit.Conn).Reset() }),
			client: new(testkit.Script).Sleep(1).ExpectReset()},
		{name: "a step of one's own",
			server: new(testkit.Script), is: oops,
			client: new(testkit.Script).Do("be unhappy", func(net.Conn) error { return oops }),
			want:   `testkit: script step 1 of 1: be unhappy: oops`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t)
				server := make(chan error, 1)
				go func() { server <- tt.server.Run(b) }()
				if tt.name == "EOF in place of a reset" || tt.name == "reset in place of EOF" {
					synctest.Wait()
				}
				err := tt.client.Run(a)
				require.NoError(t, <-server)
				if tt.want == "" {
					require.NoError(t, err)
					return
				}
				require.Error(t, err)
				first, _, _ := strings.Cut(err.Error(), "\n")
				require.Equal(t, tt.want, first)
				if tt.is != nil {
					require.ErrorIs(t, err, tt.is)
				}
				require.NotErrorIs(t, err, io.EOF)
			})
		})
	}
}

func TestScriptShowsItself(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, b := testkit.NewConnPair(t)
		go b.Close()
		err := new(testkit.Script).Sleep(1).Expect("x").ExpectEOF().Run(a)
		require.EqualError(t, err, "testkit: script step 2 of 3: Expect(\"x\"): got \"\", then: unexpected EOF"+
			"\n\t  1 Sleep(1ns)\n\t> 2 Expect(\"x\")\n\t  3 ExpectEOF()")
	})
}

func TestScriptClearsTheDeadline(t *testing.T) {
	for name, script := range map[string]*testkit.Script{
		"success": new(testkit.Script).Send("x"),
		"failure": new(testkit.Script).Expect("x"),
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b := testkit.NewConnPair(t)
				script.Run(a)
				time.AfterFunc(time.Hour, func() { b.Write([]byte("late")) })
				_, err := a.Read(make([]byte, 10))
				require.NoError(t, err)
			})
		})
	}
}
