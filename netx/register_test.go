package netx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func TestRegister(t *testing.T) {
	// Schemes stay registered, and tests can be run more than once.
	twice := fmt.Sprintf("twice%d", names.Add(1))
	neither := fmt.Sprintf("neither%d", names.Add(1))
	failure := errors.New("failure")
	var got []addr.Addr
	var opts *netx.Options
	netx.Register(twice,
		func(ctx context.Context, a addr.Addr, o *netx.Options) (net.Listener, error) {
			got, opts = append(got, a), o
			if a.Host() == "fails" {
				var none *net.TCPListener
				return none, failure
			}
			return netx.Listen(ctx, addr.MustParse("mem:"+a.Host()), o)
		},
		func(ctx context.Context, a addr.Addr) (net.Conn, error) {
			if a.Host() == "fails" {
				return nil, failure
			}
			return netx.Dial(ctx, addr.MustParse("mem:"+a.Host()))
		})

	given := &netx.Options{Backlog: 3}
	ln, err := netx.Listen(t.Context(), addr.MustParse(twice+"://registered"), given)
	require.NoError(t, err)
	defer ln.Close()
	require.Equal(t, given, opts)
	require.NotSame(t, given, opts)
	c, err := netx.Dial(t.Context(), addr.MustParse(twice+"://registered"))
	require.NoError(t, err)
	defer c.Close()

	fails := addr.MustParse(twice + "://fails")
	failed, err := netx.Listen(t.Context(), fails, nil)
	require.Nil(t, failed, "not a nil pointer in an interface")
	require.EqualError(t, err, "listen "+twice+" "+twice+"://fails: failure")
	require.ErrorIs(t, err, failure)
	require.NotNil(t, opts)
	_, err = netx.Dial(t.Context(), fails)
	require.EqualError(t, err, "dial "+twice+" "+twice+"://fails: failure")

	got = nil
	ports := addr.MustParse(twice + "://r:1-2")
	_, err = netx.Listen(t.Context(), ports, nil)
	require.ErrorContains(t, err, "ListenAll")
	require.Empty(t, got, "registered functions see single ports")
	_, err = netx.ListenAll(t.Context(), []addr.Addr{ports}, nil)
	require.Error(t, err) // both are mem:r
	require.Equal(t, ports.Expand(), got)

	netx.Register(neither, nil, nil)
	_, err = netx.Listen(t.Context(), addr.MustParse(neither+":x"), nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = netx.Dial(t.Context(), addr.MustParse(neither+":x"))
	require.ErrorIs(t, err, errors.ErrUnsupported)

	for scheme, says := range map[string]string{
		twice:   "netx: Register called twice for scheme " + twice,
		"tcp":   "netx: Register called twice for scheme tcp",
		"":      `netx: Register of scheme "", which no address has`,
		"Upper": `netx: Register of scheme "Upper", which no address has`,
		"a b":   `netx: Register of scheme "a b", which no address has`,
		"9p":    `netx: Register of scheme "9p", which no address has`,
		"x://":  `netx: Register of scheme "x://", which no address has`,
		"x:y":   `netx: Register of scheme "x:y", which no address has`,
		"@x":    `netx: Register of scheme "@x", which no address has`,
		"é":     `netx: Register of scheme "é", which no address has`,
	} {
		require.PanicsWithValue(t, says, func() { netx.Register(scheme, nil, nil) })
	}
}

func TestDialErrors(t *testing.T) {
	cancelled, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	for _, test := range []struct {
		name string
		ctx  context.Context
		addr string
		is   error
		says string
	}{
		{"no address", t.Context(), "", nil, "no address"},
		{"cancelled", cancelled, "127.0.0.1:1", why, "dial tcp 127.0.0.1:1: enough"},
		{"range", t.Context(), "127.0.0.1:1-2", nil, "a range of ports cannot be dialled"},
		{"interface", t.Context(), "tcp://%lo:1", nil, "an interface cannot be dialled"},
		{"descriptor", t.Context(), "fd:3", errors.ErrUnsupported, "dial fd fd:3: scheme fd: cannot be dialled"},
		{"systemd", t.Context(), "systemd:web", errors.ErrUnsupported, "scheme systemd: cannot be dialled"},
		{"unregistered", t.Context(), "quic://[::1]:443", errors.ErrUnsupported, "scheme quic: not registered"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a addr.Addr
			if test.addr != "" {
				a = addr.MustParse(test.addr)
			}
			c, err := netx.Dial(test.ctx, a)
			require.Nil(t, c)
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			var op *net.OpError
			require.ErrorAs(t, err, &op)
		})
	}
}
