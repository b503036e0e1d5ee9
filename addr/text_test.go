package addr_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
)

func TestJSON(t *testing.T) {
	type config struct {
		Listen  addr.Addr            `json:"listen"`
		Debug   addr.Addr            `json:"debug,omitzero"`
		Backup  *addr.Addr           `json:"backup"`
		Weights map[addr.Addr]int    `json:"weights"`
		All     []addr.Addr          `json:"all"`
		Names   map[string]addr.Addr `json:"names"`
	}
	const text = `{"listen":"TCP://Localhost:http","backup":null,` +
		`"weights":{"[::0]:80":1,"unix:/a?mode=600\u0026group=g":2},"all":["mem:x",""],"names":{"a":"fd:3"}}`
	var c config
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	require.Equal(t, config{
		Listen:  addr.MustParse("localhost:80"),
		Weights: map[addr.Addr]int{addr.MustParse("[::]:80"): 1, addr.MustParse("unix:///a?group=g&mode=0600"): 2},
		All:     []addr.Addr{addr.MustParse("mem:x"), {}},
		Names:   map[string]addr.Addr{"a": addr.MustParse("fd:3")},
	}, c)

	out, err := json.Marshal(c)
	require.NoError(t, err)
	require.Equal(t, `{"listen":"localhost:80","backup":null,`+
		`"weights":{"[::]:80":1,"unix:///a?group=g\u0026mode=0600":2},"all":["mem:x",""],"names":{"a":"fd:3"}}`, string(out))

	for _, bad := range []string{`{"listen":"localhost"}`, `{"weights":{"localhost":1}}`} {
		require.ErrorIs(t, json.Unmarshal([]byte(bad), &c), addr.ErrPort)
	}
	require.Equal(t, "localhost:80", c.Listen.String(), "a value that cannot be read must not replace one")
}

func TestFlag(t *testing.T) {
	a := addr.MustParse(":8080")
	set := flag.NewFlagSet("server", flag.ContinueOnError)
	var usage bytes.Buffer
	set.SetOutput(&usage)
	set.Var(&a, "listen", "`address` to listen on")
	set.PrintDefaults()
	require.Equal(t, "  -listen address\n    \taddress to listen on (default :8080)\n", usage.String())

	set.SetOutput(io.Discard)
	require.ErrorContains(t, set.Parse([]string{"-listen", "localhost"}), "want a port")
	require.Equal(t, ":8080", a.String())
	require.NoError(t, set.Parse([]string{"-listen", "unix:/run/a"}))
	require.Equal(t, addr.MustParse("unix:///run/a"), a)
	require.NoError(t, set.Parse([]string{"-listen="}))
	require.True(t, a.IsZero())

	var b addr.Addr
	set.TextVar(&b, "debug", addr.MustParse(":1"), "")
	require.NoError(t, set.Parse([]string{"-debug", ":2"}))
	require.Equal(t, 2, b.Port())
}

func TestSlog(t *testing.T) {
	for name, handler := range map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
		"level=INFO msg=listening addr=localhost:80 none=\"\"\n": func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
			return slog.NewTextHandler(w, o)
		},
		`{"level":"INFO","msg":"listening","addr":"localhost:80","none":""}` + "\n": func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
			return slog.NewJSONHandler(w, o)
		},
	} {
		var out bytes.Buffer
		noTime := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
		log := slog.New(handler(&out, &slog.HandlerOptions{ReplaceAttr: noTime}))
		log.Info("listening", "addr", addr.MustParse("localhost:http"), "none", addr.Addr{})
		require.Equal(t, name, out.String())
	}
}

func TestUnmarshalTextIsBounded(t *testing.T) {
	var a addr.Addr
	err := a.UnmarshalText(bytes.Repeat([]byte("a"), 1<<20))
	require.ErrorIs(t, err, addr.ErrLength)
	require.ErrorIs(t, a.Set(string(make([]byte, 1<<20))), addr.ErrLength)
}
