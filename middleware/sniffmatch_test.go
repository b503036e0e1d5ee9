package middleware_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/middleware"
)

// Matchers are functions, which can be put together.
func ExampleMatchSNI() {
	hello := helloBytes("shop.example.com", 0, "h2", "http/1.1")
	sni, alpn := middleware.MatchSNI("*.example.com", "example.com"), middleware.MatchALPN("h2")
	both := func(head []byte) middleware.SniffResult { return min(sni(head), alpn(head)) }
	fmt.Println(both(nil), both(hello[:100]), both(hello))
	// Output: more more yes
}

func ExampleMatchPrefix() {
	proxied := middleware.MatchProxy()
	smtp := middleware.MatchPrefix("EHLO ", "HELO ")
	for _, line := range []string{"PROXY TCP4", "EHL", "EHLO me", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x"} {
		head := []byte(line)
		fmt.Println(proxied(head), smtp(head), middleware.MatchHTTP2()(head), middleware.MatchSSH()(head))
	}
	// Output:
	// yes no no no
	// no more no no
	// no yes no no
	// no no yes no
	// no no no yes
}

func TestMatchersAllocateNothing(t *testing.T) {
	hello := helloBytes("a.test", 0)
	for name, match := range map[string]middleware.Matcher{
		"TLS": middleware.MatchTLS(), "SSH": middleware.MatchSSH(), "HTTP1": middleware.MatchHTTP1(),
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() { match(hello) }), name)
	}
	sni := middleware.MatchSNI("a.test")
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { sni(hello) }), 3.0) // what was parsed
	require.Zero(t, testing.AllocsPerRun(100, func() { sni(hello[:100]) }), "while it waits")
}

func TestSniffResultString(t *testing.T) {
	require.Equal(t, "no more yes", fmt.Sprint(middleware.SniffNo, middleware.SniffMore, middleware.SniffYes))
}
