package netx_test

import (
	"fmt"
	"net"
	"os"

	"github.com/listengroup/listengroup/netx"
)

func ExamplePeerCred() {
	ln, err := net.Listen("unix", "") // any free abstract address
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	client, _ := net.Dial("unix", ln.Addr().String())
	defer client.Close()
	server, _ := ln.Accept()
	defer server.Close()

	var cred netx.Cred
	cred, err = netx.PeerCred(server)
	fmt.Println(cred.PID == os.Getpid(), cred.UID == os.Getuid(), cred.GID == os.Getgid(), err)
	// Output: true true true <nil>
}
