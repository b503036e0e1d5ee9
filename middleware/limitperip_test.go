package middleware_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/middleware"
)

func ExampleLimitPerIP() {
	g, dial := serve(greet, middleware.LimitPerIP(2, nil))
	defer g.Close()
	fmt.Println(hear(dial()), hear(dial()), hear(dial()))
	// Output:
	// hello hello nothing
}

func TestLimitPerIPAllocations(t *testing.T) {
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"} {
		require.Zero(t, allocations(t, peer(ip), middleware.LimitPerIP(1, nil)), ip)
	}
}
