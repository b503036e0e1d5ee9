package addr_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
)

// syntaxCases go through the syntax that the package comment lists.
var syntaxCases = []parseCase{
	{name: "port", in: ":8080", want: ":8080"},
	{name: "port zero", in: "localhost:0", want: "localhost:0"},
	{name: "highest port", in: ":65535", want: ":65535"},
	{name: "leading zeros", in: ":000080", want: ":80"},
	{name: "service in capitals", in: ":HTTPS", want: ":443"},
	{name: "service with a hyphen", in: ":http-alt", want: ":8080"},
	{name: "range of one", in: ":80-80", want: ":80"},
	{name: "every port", in: ":1-65535", want: ":1-65535"},
	{name: "range with zeros", in: ":08000-08010", want: ":8000-8010"},

	{name: "scheme in capitals", in: "TCP://Localhost:80", want: "localhost:80"},
	{name: "tcp4", in: "Tcp4://127.0.0.1:80", want: "tcp4://127.0.0.1:80"},
	{name: "tcp6", in: "tcp6://[::]:80", want: "tcp6://[::]:80"},
	{name: "tcp4 empty host", in: "tcp4://:80", want: "tcp4://:80"},
	{name: "tcp6 name", in: "tcp6://localhost:80", want: "tcp6://localhost:80"},
	{name: "udp", in: "udp://[::1]:domain", want: "udp://[::1]:53"},

	{name: "host in brackets", in: "[localhost]:80", want: "localhost:80"},
	{name: "IPv4 in brackets", in: "[127.0.0.1]:80", want: "127.0.0.1:80"},
	{name: "nothing in brackets", in: "[]:80", want: ":80"},
	{name: "final dot", in: "Example.COM.:80", want: "example.com.:80"},
	{name: "underscore", in: "_http._tcp.local:80", want: "_http._tcp.local:80"},
	{name: "name with digits", in: "1and1.com:80", want: "1and1.com:80"},
	{name: "longest label", in: strings.Repeat("a", 63) + ":80", want: strings.Repeat("a", 63) + ":80"},
	{name: "longest name", in: strings.Repeat("a.", 126) + "a.:80", want: strings.Repeat("a.", 126) + "a.:80"},

	{name: "IPv6 long", in: "[2001:0DB8:0000:0000:0000:0000:0000:0001]:80", want: "[2001:db8::1]:80"},
	{name: "IPv6 dotted", in: "[64:ff9b::192.0.2.33]:80", want: "[64:ff9b::c000:221]:80"},
	{name: "IPv6 mapped", in: "[::ffff:127.0.0.1]:80", want: "127.0.0.1:80"},
	{name: "IPv6 mapped for tcp4", in: "tcp4://[::FFFF:7f00:1]:80", want: "tcp4://127.0.0.1:80"},
	{name: "zone", in: "[FE80::1%Eth0]:80", want: "[fe80::1%Eth0]:80"},
	{name: "zone by number", in: "[fe80::1%251]:80", want: "[fe80::1%251]:80"},
	{name: "zone by number in a URI", in: "tcp6://[fe80::1%251]:80", want: "tcp6://[fe80::1%251]:80"},
	{name: "zone as RFC 6874 has it", in: "tcp6://[fe80::1%25eth0]:80", want: "tcp6://[fe80::1%eth0]:80"},
	{name: "zone as RFC 6874 has it, tcp", in: "tcp://[fe80::1%25eth0]:80", want: "[fe80::1%eth0]:80"},
	{name: "zone 25", in: "tcp6://[fe80::1%25]:80", want: "tcp6://[fe80::1%25]:80"},
	{name: "zone that looks like it", in: "[fe80::1%25eth0]:80", want: "[fe80::1%25eth0]:80"},
	{name: "zone with a space", in: "[fe80::1%vEthernet (WSL)]:80", want: "[fe80::1%vEthernet (WSL)]:80"},
	{name: "zone in another language", in: "[fe80::1%以太网]:80", want: "[fe80::1%以太网]:80"},

	{name: "interface", in: "tcp://%eth0:80", want: "%eth0:80"},
	{name: "interface bare", in: "%eth0:80-82", want: "%eth0:80-82"},
	{name: "interface tcp4", in: "tcp4://%eth0:80", want: "tcp4://%eth0:80"},
	{name: "interface escaped", in: "tcp4://%25eth0:80", want: "tcp4://%eth0:80"},
	{name: "interface longest", in: "%" + strings.Repeat("e", 255) + ":80", want: "%" + strings.Repeat("e", 255) + ":80"},
	{name: "interface alias", in: "[%eth0:1]:80", want: "[%eth0:1]:80"},
	{name: "interface in capitals", in: "%LAN:http", want: "%LAN:80"},

	{name: "Unix one slash", in: "unix:/run/app.sock", want: "unix:///run/app.sock"},
	{name: "Unix three slashes", in: "UNIX:///run/App.sock", want: "unix:///run/App.sock"},
	{name: "Unix bare", in: "/run/app.sock?mode=660", want: "unix:///run/app.sock?mode=0660"},
	{name: "Unix relative", in: "unix:./app.sock", want: "unix:./app.sock"},
	{name: "Unix relative port", in: "unix:80", want: "unix:80"},
	{name: "Unix relative at sign", in: "unix:./@x", want: "unix:./@x"},
	{name: "Unix colon", in: "unix:a:b", want: "unix:a:b"},
	{name: "Unix dots and slashes", in: "unix:/run//x/../app.sock", want: "unix:///run//x/../app.sock"},
	{name: "Unix two leading slashes", in: "//run", want: "unix:////run"},
	{name: "Unix escapes", in: "unix:///%72un/a%20b%3fc%25", want: "unix:///run/a%20b%3Fc%25"},
	{name: "Unix escaped slash", in: "unix:%2Frun%2fapp", want: "unix:///run/app"},
	{name: "Unix raw UTF-8", in: "/run/ü", want: "unix:///run/%C3%BC"},
	{name: "Unix plus and hash", in: "/run/a+b#c", want: "unix:///run/a+b%23c"},
	{name: "Unix options", in: "unix:///run/a?owner=u&&mode=0600&group=g", want: "unix:///run/a?group=g&mode=0600&owner=u"},
	{name: "Unix options escaped", in: "/run/a?group=DOM%5cweb+1", want: "unix:///run/a?group=DOM%5Cweb%2B1"},
	{name: "Unix no options", in: "unix:///run/a?", want: "unix:///run/a"},
	{name: "Unix mode highest", in: "/a?mode=00777", want: "unix:///a?mode=0777"},
	{name: "Unix longest", in: "/" + strings.Repeat("a", 4076), want: "unix:///" + strings.Repeat("a", 4076)},
	{name: "Unix longest input", in: "/" + strings.Repeat("%61", 1365), want: "unix:///" + strings.Repeat("a", 1365)},
	{name: "Unix mode 0", in: "/a?mode=0", want: "unix:///a?mode=0000"},
	{name: "abstract", in: "@name", want: "unix:@name"},
	{name: "abstract with scheme", in: "unix:@name/x", want: "unix:@name/x"},
	{name: "abstract with slashes", in: "unix://@name", want: "unix:@name"},
	{name: "abstract escaped", in: "unix:%40name%00", want: "unix:@name%00"},
	{name: "no name", in: "unix:@", want: "unix:@"},
	{name: "unixpacket", in: "unixpacket:/run/a?mode=600", want: "unixpacket:///run/a?mode=0600"},

	{name: "fd", in: "fd:3", want: "fd:3"},
	{name: "fd zeros", in: "FD:003", want: "fd:3"},
	{name: "fd slashes", in: "fd://3", want: "fd:3"},
	{name: "fd highest", in: "fd:2147483647", want: "fd:2147483647"},
	{name: "systemd", in: "systemd:web", want: "systemd:web"},
	{name: "systemd service", in: "systemd:http", want: "systemd:http"},
	{name: "systemd space", in: "systemd:web%20app", want: "systemd:web%20app"},
	{name: "mem", in: "mem:Api", want: "mem:Api"},
	{name: "mem slashes", in: "MEM://api", want: "mem:api"},
	{name: "mem path", in: "mem:a/b:80@c", want: "mem:a/b:80@c"},
	{name: "mem slashes in the name", in: "mem:////a", want: "mem:%2F/a"},
	{name: "mem number", in: "mem:80", want: "mem:80"},

	{name: "host called fd", in: "tcp://fd:80", want: "[fd]:80"},
	{name: "host called fd, service", in: "fd:http", want: "[fd]:80"},
	{name: "host called unix", in: "tcp://Unix:80", want: "[unix]:80"},
	{name: "host called mem, tcp4", in: "tcp4://mem:80", want: "tcp4://mem:80"},
	{name: "host called tcp", in: "tcp:80", want: "tcp:80"},

	{name: "unknown name", in: "Tailscale:Api", want: "tailscale:Api"},
	{name: "unknown name and options", in: "ts:api?b=2&a=1&b=1", want: "ts:api?a=1&b=2&b=1"},
	{name: "unknown name escaped", in: "web:%68ttp", want: "web:%68ttp"},
	{name: "unknown name, scheme with dots", in: "com.example:(api", want: "com.example:(api"},
	{name: "unknown name escaped for nothing", in: "web:%61pi", want: "web:api"},
	{name: "unknown name in brackets", in: "ts:[x]", want: "ts:%5Bx%5D"},
	{name: "URI", in: "QUIC://Example.com:4433", want: "quic://example.com:4433"},
	{name: "URI service", in: "quic://example.com:https", want: "quic://example.com:443"},
	{name: "URI range", in: "quic://:8000-8001/x", want: "quic://:8000-8001/x"},
	{name: "URI no port", in: "quic://example.com", want: "quic://example.com"},
	{name: "URI default port", in: "ssh://example.com", want: "ssh://example.com:22"},
	{name: "URI default port, no host", in: "http:///x", want: "http:///x"},
	{name: "URI longest", in: "zz://h:1-2/" + strings.Repeat("a", 4077), want: "zz://h:1-2/" + strings.Repeat("a", 4077)},
	{name: "URI empty", in: "quic://", want: "quic://"},
	{name: "URI path", in: "quic:///A/%7eb/%2f", want: "quic:///A/~b/%2F"},
	{name: "URI path raw", in: "quic://h/a#b|c", want: "quic://h/a%23b%7Cc"},
	{name: "URI options", in: "quic://h?b&a=%3d", want: "quic://h?a=%3D&b="},
	{name: "URI host of its own", in: "http+unix://%2fRun%2fa.sock/v1", want: "http+unix://%2FRun%2Fa.sock/v1"},
	{name: "URI number for a host", in: "vsock://3:1024", want: "vsock://3:1024"},
	{name: "URI IPv6", in: "quic://[2001:DB8::0:1]:1", want: "quic://[2001:db8::1]:1"},
	{name: "URI mapped", in: "quic://[::ffff:10.0.0.1]", want: "quic://10.0.0.1"},
	{name: "scheme with dots", in: "net.tcp://host:808/service", want: "net.tcp://host:808/service"},
	{name: "longest scheme", in: strings.Repeat("s", 63) + "://", want: strings.Repeat("s", 63) + "://"},
}

func TestSyntax(t *testing.T) { runParseCases(t, syntaxCases) }

// errorCases go through all that can be wrong.
var errorCases = []parseCase{
	{name: "empty", in: "", kind: addr.ErrLength},
	{name: "long", in: strings.Repeat("a", 4097), kind: addr.ErrLength},
	{name: "long by one", in: "/" + strings.Repeat("a", 4077), kind: addr.ErrLength},
	{name: "long by one, URI", in: "zz://h/" + strings.Repeat("a", 4078), kind: addr.ErrLength},
	{name: "long when escaped", in: "/" + strings.Repeat(`\`, 1500), kind: addr.ErrLength},

	{name: "no scheme", in: "://h:80", kind: addr.ErrScheme},
	{name: "scheme with a digit first", in: "4tcp://h:80", kind: addr.ErrScheme, part: "4tcp"},
	{name: "scheme with an underscore", in: "my_net://h", kind: addr.ErrScheme, part: "my_net"},
	{name: "scheme of 64 letters", in: strings.Repeat("s", 64) + "://", kind: addr.ErrScheme, part: strings.Repeat("s", 64)},

	{name: "space in front", in: " :80", kind: addr.ErrHost, part: " "},
	{name: "leading hyphen", in: "-a:80", kind: addr.ErrHost, part: "-a"},
	{name: "trailing hyphen", in: "a-.b:80", kind: addr.ErrHost, part: "a-.b"},
	{name: "two dots", in: "a..b:80", kind: addr.ErrHost, part: "a..b"},
	{name: "label of 64", in: strings.Repeat("a", 64) + ":80", kind: addr.ErrHost, part: strings.Repeat("a", 64)},
	{name: "name of 255", in: strings.Repeat("a.", 127) + "a:80", kind: addr.ErrHost, part: strings.Repeat("a.", 127) + "a"},
	{name: "dot", in: ".:80", kind: addr.ErrHost, part: "."},
	{name: "not ASCII", in: "bücher.example:80", kind: addr.ErrHost, part: "bücher.example"},
	{name: "NUL", in: "a\x00b:80", kind: addr.ErrHost, part: "a\x00b"},
	{name: "IPv4 too large", in: "256.1.1.1:80", kind: addr.ErrHost, part: "256.1.1.1"},
	{name: "IPv4 octal", in: "127.0.0.01:80", kind: addr.ErrHost, part: "127.0.0.01"},
	{name: "IPv4 short", in: "127.1:80", kind: addr.ErrHost, part: "127.1"},
	{name: "IPv4 number", in: "2130706433:80", kind: addr.ErrHost, part: "2130706433"},
	{name: "IPv4 zone", in: "[10.0.0.1%eth0]:80", kind: addr.ErrHost, part: "10.0.0.1%eth0"},
	{name: "IPv6 bare", in: "2001:db8::1:80", kind: addr.ErrHost, part: "2001:db8::1:80"},
	{name: "IPv6 bare with letters", in: "abcd:ef01::1", kind: addr.ErrHost, part: "abcd:ef01::1"},
	{name: "IPv6 wrong", in: "[::g]:80", kind: addr.ErrHost, part: "::g"},
	{name: "IPv6 open", in: "[::1:80", kind: addr.ErrHost, part: "[::1:80"},
	{name: "IPv6 empty zone", in: "[fe80::1%]:80", kind: addr.ErrHost, part: "fe80::1%"},
	{name: "IPv6 zone with a slash", in: "[fe80::1%a/b]:80", kind: addr.ErrHost, part: "fe80::1%a/b"},
	{name: "IPv6 for tcp4", in: "tcp4://[::1]:80", kind: addr.ErrHost, part: "::1"},
	{name: "IPv4 for tcp6", in: "tcp6://127.0.0.1:80", kind: addr.ErrHost, part: "127.0.0.1"},
	{name: "mapped for tcp6", in: "tcp6://[::ffff:127.0.0.1]:80", kind: addr.ErrHost, part: "::ffff:127.0.0.1"},
	{name: "interface empty", in: "%:80", kind: addr.ErrHost, part: "%"},
	{name: "interface with a newline", in: "%eth0\n:80", kind: addr.ErrHost, part: "%eth0\n"},
	{name: "interface not UTF-8", in: "%\xff:80", kind: addr.ErrHost, part: "%\xff"},
	{name: "interface with a space in front", in: "% eth0:80", kind: addr.ErrHost, part: "% eth0"},
	{name: "interface with a space behind", in: "%eth0 :80", kind: addr.ErrHost, part: "%eth0 "},
	{name: "interface of 256", in: "%" + strings.Repeat("e", 256) + ":80", kind: addr.ErrHost, part: "%" + strings.Repeat("e", 256)},
	{name: "two colons", in: "localhost:80:80", kind: addr.ErrHost, part: "localhost:80:80"},
	{name: "URI credentials", in: "ftp://u:p@h/", kind: addr.ErrHost, part: "u"},
	{name: "URI two at signs", in: "quic://a@b@h", kind: addr.ErrHost, part: "a@b"},
	{name: "URI no user", in: "quic://@h", kind: addr.ErrHost},
	{name: "URI host escape", in: "quic://a%2", kind: addr.ErrHost, part: "a%2"},
	{name: "URI host space", in: "quic://a b", kind: addr.ErrHost, part: "a b"},
	{name: "URI IPv6 bare", in: "quic://%3A%3A1", kind: addr.ErrHost, part: "%3A%3A1"},
	{name: "URI two colons", in: "quic://a:b:80", kind: addr.ErrHost, part: "a:b:80"},
	{name: "URI IPv6 wrong", in: "quic://[::g]", kind: addr.ErrHost, part: "::g"},

	{name: "no port", in: "localhost", kind: addr.ErrPort},
	{name: "empty port", in: "localhost:", kind: addr.ErrPort},
	{name: "colon", in: ":", kind: addr.ErrPort},
	{name: "port alone", in: "8080", kind: addr.ErrPort, part: "8080"},
	{name: "port too large", in: ":65536", kind: addr.ErrPort, part: "65536"},
	{name: "port huge", in: ":99999999999999999999", kind: addr.ErrPort, part: "99999999999999999999"},
	{name: "port negative", in: ":-1", kind: addr.ErrPort, part: "-1"},
	{name: "port letters", in: "web:808O", kind: addr.ErrPort, part: "808O"},
	{name: "port space", in: ":80 ", kind: addr.ErrPort, part: "80 "},
	{name: "port newline", in: ":80\n", kind: addr.ErrPort, part: "80\n"},
	{name: "service unknown", in: ":htpp", kind: addr.ErrPort, part: "htpp"},
	{name: "service unknown on localhost", in: "localhost:htpp", kind: addr.ErrPort, part: "htpp"},
	{name: "service unknown on a domain", in: "example.com:htpp", kind: addr.ErrPort, part: "htpp"},
	{name: "service unknown on tcp", in: "tcp:htpp", kind: addr.ErrPort, part: "htpp"},
	{name: "service not ASCII", in: ":http\u212a", kind: addr.ErrPort, part: "http\u212a"},
	{name: "range reversed", in: ":8010-8000", kind: addr.ErrPort, part: "8010-8000"},
	{name: "range too far", in: ":65530-65536", kind: addr.ErrPort, part: "65530-65536"},
	{name: "range from zero", in: ":0-10", kind: addr.ErrPort, part: "0-10"},
	{name: "range of services", in: ":ftp-ssh", kind: addr.ErrPort, part: "ftp-ssh"},
	{name: "range open", in: ":8000-", kind: addr.ErrPort, part: "8000-"},
	{name: "range of three", in: ":1-2-3", kind: addr.ErrPort, part: "1-2-3"},
	{name: "range with a sign", in: ":1-+2", kind: addr.ErrPort, part: "1-+2"},
	{name: "after the bracket", in: "[::1]80", kind: addr.ErrPort, part: "80"},
	{name: "tcp only", in: "tcp://", kind: addr.ErrPort},
	{name: "URI port", in: "quic://h:x", kind: addr.ErrPort, part: "x"},
	{name: "URI empty port", in: "https://h:", kind: addr.ErrPort},

	{name: "after the port", in: "tcp://h:80/x", kind: addr.ErrPath, part: "/x"},
	{name: "Unix empty", in: "unix:", kind: addr.ErrPath},
	{name: "Unix slashes only", in: "unix://", kind: addr.ErrPath},
	{name: "Unix two slashes", in: "unix://run/x", kind: addr.ErrPath, part: "run/x"},
	{name: "Unix space", in: "/run/a b", kind: addr.ErrPath, part: "/run/a b"},
	{name: "Unix newline", in: "/run/a\n", kind: addr.ErrPath, part: "/run/a\n"},
	{name: "Unix escape cut short", in: "/run/a%2", kind: addr.ErrPath, part: "/run/a%2"},
	{name: "Unix escape wrong", in: "/run/%zz", kind: addr.ErrPath, part: "/run/%zz"},
	{name: "Unix escape with a colon", in: "/run/%:0", kind: addr.ErrPath, part: "/run/%:0"},
	{name: "Unix NUL first", in: "unix:%00a", kind: addr.ErrPath, part: "%00a"},
	{name: "Unix NUL", in: "/run/a%00", kind: addr.ErrPath, part: "/run/a%00"},
	{name: "URI path", in: "quic://h/a b", kind: addr.ErrPath, part: "/a b"},

	{name: "fd empty", in: "fd:", kind: addr.ErrName},
	{name: "fd name", in: "fd:web", kind: addr.ErrName, part: "web"},
	{name: "fd negative", in: "fd:-1", kind: addr.ErrName, part: "-1"},
	{name: "fd too large", in: "fd:2147483648", kind: addr.ErrName, part: "2147483648"},
	{name: "systemd empty", in: "systemd:", kind: addr.ErrName},
	{name: "systemd colon", in: "systemd:a:b", kind: addr.ErrName, part: "a:b"},
	{name: "systemd DEL", in: "systemd:a%7F", kind: addr.ErrName, part: "a%7F"},
	{name: "systemd not ASCII", in: "systemd:ü", kind: addr.ErrName, part: "ü"},
	{name: "systemd of 256", in: "systemd:" + strings.Repeat("n", 256), kind: addr.ErrName, part: strings.Repeat("n", 256)},
	{name: "mem empty", in: "mem:", kind: addr.ErrName},
	{name: "mem slashes only", in: "mem://", kind: addr.ErrName},
	{name: "mem tab", in: "mem:a\tb", kind: addr.ErrName, part: "a\tb"},
	{name: "unknown name with a space", in: "ts:a b", kind: addr.ErrName, part: "a b"},

	{name: "mem option escape", in: "mem:a?b=%g0", kind: addr.ErrQuery, part: "b=%g0"},
	{name: "after the port, option", in: ":80?x=1", kind: addr.ErrQuery, part: "?x=1"},
	{name: "Unix option unknown", in: "/a?perm=0600", kind: addr.ErrQuery, part: "perm"},
	{name: "Unix option in capitals", in: "/a?Mode=0600", kind: addr.ErrQuery, part: "Mode"},
	{name: "Unix option twice", in: "/a?mode=0600&mode=0600", kind: addr.ErrQuery, part: "mode"},
	{name: "Unix mode decimal", in: "/a?mode=0689", kind: addr.ErrQuery, part: "mode=0689"},
	{name: "Unix mode symbolic", in: "/a?mode=rw", kind: addr.ErrQuery, part: "mode=rw"},
	{name: "Unix mode setuid", in: "/a?mode=4755", kind: addr.ErrQuery, part: "mode=4755"},
	{name: "Unix mode empty", in: "/a?mode", kind: addr.ErrQuery, part: "mode="},
	{name: "Unix owner empty", in: "/a?owner=", kind: addr.ErrQuery, part: "owner="},
	{name: "Unix group NUL", in: "/a?group=%00", kind: addr.ErrQuery, part: "group=\x00"},
	{name: "Unix option without a key", in: "/a?=x", kind: addr.ErrQuery, part: "=x"},
	{name: "Unix option with a space", in: "/a?owner=a b", kind: addr.ErrQuery, part: "owner=a b"},
	{name: "abstract with a mode", in: "@a?mode=0600", kind: addr.ErrQuery, part: "mode"},
	{name: "mem option", in: "mem:a?b=c", kind: addr.ErrQuery, part: "b"},
	{name: "URI option escape", in: "quic://h?a=%", kind: addr.ErrQuery, part: "a=%"},
}

func TestErrors(t *testing.T) { runParseCases(t, errorCases) }

func TestErrorText(t *testing.T) {
	for in, want := range map[string]string{
		"":                  `addr: parse "": length: want 1 to 4096 bytes`,
		"localhost":         `addr: parse "localhost": port: want a port after the host, as in host:80`,
		":99999":            `addr: parse ":99999": port "99999": want a number from 0 to 65535, a range such as 8000-8010, or the name of a well-known service`,
		"/run/a?mod=0600":   `addr: parse "/run/a?mod=0600": query "mod": want mode, owner or group`,
		"unix://run/a.sock": `addr: parse "unix://run/a.sock": path "run/a.sock": want unix:///absolute/path, unix:relative/path or unix:@abstract`,
	} {
		_, err := addr.Parse(in)
		require.EqualError(t, err, want)
	}
	for _, in := range []string{
		"redis://:secret@localhost", "redis://u:secret@localhost/0", "redis://u:sec:ret@sec@localhost?x=/@", "http://u:secret@[::1", "SQL_X://u:secret@h",
		"tcp://u:secret@h:80", "tcp4://u:secret@h", "tcp://[u:%25secret@h]:80", "u:secret@h:80", "u:secret@h", "udp://u:secret@h:1/x@y",
	} {
		_, err := addr.Parse(in)
		require.NotContains(t, err.Error(), "sec", "a password must not reach the log")
		require.Contains(t, err.Error(), "…@")
	}
	_, err := addr.Parse("quic://u:secret@h/x")
	require.EqualError(t, err, `addr: parse "quic://u:…@h/x": host "u": want no user name or password`)
	_, err = addr.Parse("quic://h:x/a@b")
	require.ErrorContains(t, err, "quic://h:x/a@b", "no password, nothing to hide")
	_, err = addr.Parse("unix:a:b@c?mod=1")
	require.ErrorContains(t, err, "unix:a:b@c?mod=1", "a path, nothing to hide")
	_, err = addr.Parse("://u:secret@h")
	require.NotContains(t, err.Error(), "sec")
	_, err = addr.Parse(strings.Repeat("x", 1<<20))
	require.ErrorIs(t, err, addr.ErrLength)
	require.Less(t, len(err.Error()), 200, "a huge input must not make a huge message")
	require.EqualError(t, addr.ErrPort, "addr: wrong port")
	require.Equal(t, "address: want x", strings.TrimPrefix((&addr.ParseError{Want: "x"}).Error(), `addr: parse "": `))
}

func TestMustParsePanics(t *testing.T) {
	require.PanicsWithValue(t, `addr: parse "localhost": port: want a port after the host, as in host:80`, func() {
		addr.MustParse("localhost")
	})
}
