package netx_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync"
	"syscall"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func init() {
	// loop:name is a socket of this machine whose port nobody needs to know.
	var ports sync.Map
	netx.Register("loop",
		func(ctx context.Context, a addr.Addr, opts *netx.Options) (net.Listener, error) {
			ln, err := netx.Listen(ctx, addr.MustParse("127.0.0.1:0"), opts)
			if err == nil {
				ports.Store(a.Name(), addr.FromNet(ln.Addr()))
			}
			return ln, err
		},
		func(ctx context.Context, a addr.Addr) (net.Conn, error) {
			port, ok := ports.Load(a.Name())
			if !ok {
				return nil, syscall.ECONNREFUSED
			}
			return netx.Dial(ctx, port.(addr.Addr))
		})
}

func ExampleRegister() {
	a := addr.MustParse("loop:metrics")
	ln, err := netx.Listen(context.Background(), a, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	c, err := netx.Dial(context.Background(), a)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(ln.Addr().Network(), c.RemoteAddr().String() == ln.Addr().String())
	// Output: tcp true
}
