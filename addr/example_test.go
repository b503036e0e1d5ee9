package addr_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/listengroup/listengroup/addr"
)

func Example() {
	for _, s := range []string{
		"LOCALHOST:http", "tcp://[2001:db8:0:0::1]:443", "tcp4://:8000-8010", "/run/app.sock?mode=660", "fd://3", "quic://Example.com:https",
	} {
		a, err := addr.Parse(s)
		fmt.Println(a, err)
	}
	// Output:
	// localhost:80 <nil>
	// [2001:db8::1]:443 <nil>
	// tcp4://:8000-8010 <nil>
	// unix:///run/app.sock?mode=0660 <nil>
	// fd:3 <nil>
	// quic://example.com:443 <nil>
}

func ExampleAddr() {
	// Addresses are keys: all spellings of one are one.
	hits := map[addr.Addr]int{}
	hits[addr.MustParse("[::1]:80")]++
	hits[addr.MustParse("tcp://[0:0::1]:http")]++
	fmt.Println(hits)

	var none addr.Addr
	fmt.Println(none.IsZero(), none == addr.Addr{})
	// Output:
	// map[[::1]:80:2]
	// true true
}

func ExampleParse() {
	_, err := addr.Parse("localhost:99999")
	fmt.Println(errors.Is(err, addr.ErrPort))

	if e, ok := errors.AsType[*addr.ParseError](err); ok {
		fmt.Printf("%q is wrong in %q\n", e.Part, e.Input)
		fmt.Println(e.Kind, "- want", e.Want)
	}
	// Output:
	// true
	// "99999" is wrong in "localhost:99999"
	// addr: wrong port - want a number from 0 to 65535, a range such as 8000-8010, or the name of a well-known service
}

func ExampleParseError() {
	for _, s := range []string{
		"", "my_scheme://", "1.2.3:80", "localhost", "unix://run/app.sock", "fd:web", "/run/app.sock?umask=0111",
	} {
		_, err := addr.Parse(s)
		switch kind := errors.Unwrap(err); kind {
		case addr.ErrLength, addr.ErrScheme, addr.ErrHost, addr.ErrPort, addr.ErrPath, addr.ErrName, addr.ErrQuery:
			fmt.Println(err.Error())
		}
	}
	// Output:
	// addr: parse "": length: want 1 to 4096 bytes
	// addr: parse "my_scheme://": scheme "my_scheme": want a letter followed by at most 62 letters, digits, +, - or .
	// addr: parse "1.2.3:80": host "1.2.3": want a valid IP address
	// addr: parse "localhost": port: want a port after the host, as in host:80
	// addr: parse "unix://run/app.sock": path "run/app.sock": want unix:///absolute/path, unix:relative/path or unix:@abstract
	// addr: parse "fd:web": name "web": want the number of a descriptor, as in fd:3
	// addr: parse "/run/app.sock?umask=0111": query "umask": want mode, owner or group
}

func ExampleParseError_Unwrap() {
	err := &addr.ParseError{Input: ":http2", Part: "http2", Kind: addr.ErrPort, Want: "a port"}
	fmt.Println(err.Unwrap() == addr.ErrPort)
	fmt.Println(err)
	// Output:
	// true
	// addr: parse ":http2": port "http2": want a port
}

func ExampleMustParse() {
	var admin = addr.MustParse("localhost:8081")
	fmt.Println(admin)
	// Output: localhost:8081
}

func ExampleFromNet() {
	fmt.Println(addr.FromNet(&net.TCPAddr{IP: net.IPv6loopback, Port: 80}))
	fmt.Println(addr.FromNet(&net.UnixAddr{Net: "unix", Name: "/run/app.sock"}))
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	fmt.Println(addr.FromNet(a.LocalAddr()))
	// Output:
	// [::1]:80
	// unix:///run/app.sock
	// pipe:pipe
}

func ExampleAddr_String() {
	fmt.Println(addr.MustParse("TCP://[::FFFF:10.0.0.1]:https").String())
	fmt.Println(addr.MustParse("/run/my%20app.sock?owner=www&mode=660").String())
	// Output:
	// 10.0.0.1:443
	// unix:///run/my%20app.sock?mode=0660&owner=www
}

func ExampleAddr_Network() {
	a := addr.MustParse("tcp4://127.0.0.1:0")
	fmt.Println(a.Network(), a.Scheme())

	ln, err := net.Listen(a.Network(), a.HostPort())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	bound := addr.FromNet(ln.Addr())
	fmt.Println(bound.Host(), bound.Port() != 0)
	// Output:
	// tcp4 tcp4
	// 127.0.0.1 true
}

func ExampleAddr_Scheme() {
	for _, s := range []string{":80", "tcp6://[::1]:80", "unix:@x", "Custom:thing"} {
		fmt.Println(addr.MustParse(s).Scheme())
	}
	// Output:
	// tcp
	// tcp6
	// unix
	// custom
}

func ExampleAddr_Host() {
	for _, s := range []string{"[fe80::1%eth0]:80", "tcp4://%eth0:80", "tcp4://Example.com:80", ":80"} {
		a := addr.MustParse(s)
		ip, ok := a.IP()
		fmt.Printf("%q %q zone %q interface %q %v %v\n", a.HostPort(), a.Host(), a.Zone(), a.Interface(), ip, ok)
	}
	// Output:
	// "[fe80::1%eth0]:80" "fe80::1%eth0" zone "eth0" interface "" fe80::1%eth0 true
	// "%eth0:80" "%eth0" zone "" interface "eth0" invalid IP false
	// "example.com:80" "example.com" zone "" interface "" invalid IP false
	// ":80" "" zone "" interface "" invalid IP false
}

func ExampleAddr_PortRange() {
	fmt.Println(addr.MustParse(":8000-8010").PortRange())
	fmt.Println(addr.MustParse(":0").PortRange())
	fmt.Println(addr.MustParse("unix:@x").PortRange())
	// Output:
	// 8000 8010 true
	// 0 0 true
	// 0 0 false
}

func ExampleAddr_WithPort() {
	a := addr.MustParse("localhost:0").WithPort(8080)
	fmt.Println(a, a.Port())
	fmt.Println(a.WithPort(65536).IsZero())
	// Output:
	// localhost:8080 8080
	// true
}

func ExampleAddr_Expand() {
	a := addr.MustParse("localhost:8000-8002")
	fmt.Println(a.IsRange(), a.Expand())
	// Output: true [localhost:8000 localhost:8001 localhost:8002]
}

func ExampleAddr_Path() {
	for _, s := range []string{"/run/my%20app.sock", "unix:app.sock", "@abstract", "quic://example.com/v1"} {
		fmt.Println(addr.MustParse(s).Path())
	}
	// Output:
	// /run/my app.sock
	// app.sock
	// @abstract
	// /v1
}

func ExampleAddr_Name() {
	for _, s := range []string{"fd:3", "systemd:web", "mem:api"} {
		fmt.Println(addr.MustParse(s).Name())
	}
	// Output:
	// 3
	// web
	// api
}

func ExampleAddr_Mode() {
	a := addr.MustParse("unix:///run/app.sock?mode=0660&owner=www-data&group=ops")
	mode, ok := a.Mode()
	fmt.Println(mode, ok, a.Owner(), a.Group())
	// Output: -rw-rw---- true www-data ops
}

func ExampleAddr_Params() {
	a := addr.MustParse("ssl://localhost:9292?key=a.key&cert=a.pem")
	for key, value := range a.Params() {
		fmt.Println(key, value)
	}
	fmt.Println(a.Param("cert"))
	// Output:
	// cert a.pem
	// key a.key
	// a.pem true
}

func ExampleAddr_Set() {
	listen := addr.MustParse(":8080")
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.Var(&listen, "listen", "address to listen on")
	err := flags.Parse([]string{"-listen", "unix:/run/app.sock"})
	fmt.Println(listen, err)
	// Output: unix:///run/app.sock <nil>
}

func ExampleAddr_UnmarshalText() {
	var config struct {
		Listen  []addr.Addr
		Weights map[addr.Addr]int
	}
	err := json.Unmarshal([]byte(`{"Listen": [":http", "@app"], "Weights": {"[::0]:80": 2}}`), &config)
	fmt.Println(config, err)
	var a addr.Addr // or one by itself
	fmt.Println(a.UnmarshalText([]byte("localhost:ssh")), a)
	// Output:
	// {[:80 unix:@app] map[[::]:80:2]} <nil>
	// <nil> localhost:22
}

func ExampleAddr_MarshalText() {
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTime}))
	a := addr.MustParse("localhost:http")
	log.Info("listening", "addr", a)
	text, err := a.MarshalText() // which is what the logger called
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// {"level":"INFO","msg":"listening","addr":"localhost:80"}
	// localhost:80 <nil>
}

func ExampleAddr_GoString() {
	fmt.Printf("%#v\n", addr.MustParse("LOCALHOST:http"))
	// Output:
	// addr.MustParse("localhost:80")
}
