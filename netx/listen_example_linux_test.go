package netx_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/netx"
)

func ExampleListen_unix() {
	dir, err := os.MkdirTemp("", "netx")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.sock")
	a := addr.MustParse("unix://" + path + "?mode=0660")

	ln, err := netx.Listen(context.Background(), a, nil)
	if err != nil {
		log.Fatal(err)
	}
	info, err := os.Lstat(path)
	fmt.Println(info.Mode(), err)

	_, err = netx.Listen(context.Background(), a, nil)
	fmt.Println(err.(*net.OpError).Err)

	ln.Close()
	left, err := os.ReadDir(dir)
	fmt.Println(left, err)
	// Output:
	// Srw-rw---- <nil>
	// a live server owns it: address already in use
	// [] <nil>
}

func ExampleOptions_tcp() {
	opts := &netx.Options{
		ReusePort:   true,            // the old and the new instance of a server, for a while
		DeferAccept: 2 * time.Second, // the client speaks first
		FastOpen:    256,
	}
	first, err := netx.Listen(context.Background(), addr.MustParse("127.0.0.1:0"), opts)
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	second, err := netx.Listen(context.Background(), addr.FromNet(first.Addr()), opts)
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close()
	fmt.Println("same port:", first.Addr().String() == second.Addr().String())

	// Phones change from one network to another; where there is no MPTCP it is TCP.
	mobile, err := netx.Listen(context.Background(), addr.MustParse("127.0.0.1:0"), &netx.Options{MPTCP: true})
	if err != nil {
		log.Fatal(err)
	}
	defer mobile.Close()
	fmt.Println(mobile.Addr().Network())
	// Output:
	// same port: true
	// tcp
}

func ExampleListen_shards() {
	ln, err := netx.Listen(context.Background(), addr.MustParse("127.0.0.1:0"), &netx.Options{Shards: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	for _, shard := range ln.(interface{ Shards() []net.Listener }).Shards() {
		// Each would have a goroutine that accepts from it.
		fmt.Println("same port:", shard.Addr().String() == ln.Addr().String())
	}
	// Output:
	// same port: true
	// same port: true
}

// A server starts its successor, which listens on fd:3, and closes its own
// listener; no client is refused meanwhile.
func ExampleFiles() {
	ctx := context.Background()
	ln, err := netx.Listen(ctx, addr.MustParse("127.0.0.1:0"), nil)
	if err != nil {
		log.Fatal(err)
	}
	files, err := netx.Files(ln)
	if err != nil {
		log.Fatal(err)
	}
	defer files[0].Close()

	// In the program: cmd.ExtraFiles = files, and the successor's address is
	// fd:3. Here the successor is the same process, so the number differs.
	successor, err := netx.Listen(ctx, addr.MustParse(fmt.Sprintf("fd:%d", files[0].Fd())), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer successor.Close()
	ln.Close()

	c, err := netx.Dial(ctx, addr.FromNet(successor.Addr()))
	if err != nil {
		log.Fatal(err)
	}
	c.Close()
	fmt.Println("still served")
	// Output: still served
}
