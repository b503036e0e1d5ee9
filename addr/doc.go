// Package addr has the addresses a server listens on and talks to as comparable
// values: host and port, Unix sockets, inherited descriptors, names in memory,
// and the schemes of others. It parses, prints and expands them and does no
// I/O; package netx opens sockets from them.
//
// # Usage
//
//	a, err := addr.Parse("tcp://localhost:http") // a.String() is "localhost:80"
//
// An [Addr] is one string with the places of its parts. It may be compared with
// ==, used as the key of a map, a field of a JSON document, a flag and a value
// in a log, and it is a [net.Addr].
//
// # Syntax
//
//	host:port                          TCP, over IPv4 and IPv6
//	:port, *:port                      every address of the machine
//	[2001:db8::1]:port                 IPv6 stands in brackets
//	[fe80::1%eth0]:port                an IPv6 address with its zone
//	%eth0:port                         the addresses of an interface
//	host:8000-8010                     a range of ports, see Addr.Expand
//	tcp://…, tcp4://…, tcp6://…        the same, over both, only IPv4, only IPv6
//	udp://…, udp4://…, udp6://…        the same for UDP
//	unix:///run/app.sock               a Unix socket; /run/app.sock is enough
//	unix:app.sock                      a Unix socket in the working directory
//	unix:///run/app.sock?mode=0660&owner=www&group=www
//	unix:@name, @name                  an abstract Unix socket (Linux)
//	unixgram:…, unixpacket:…           the same for these kinds of Unix socket
//	fd:3                               an inherited descriptor
//	systemd:name                       what FileDescriptorName= calls name
//	mem:name                           a listener in this process
//	scheme:name                        for whoever registers the scheme
//	scheme://host:port/path?key=value  likewise; every part is optional
//
// Hosts are names that package net would look up, and IP addresses. A host is
// never looked up here, nor is an interface, a user or a group.
//
// Ports are numbers from 0, which asks the kernel for a free port, to 65535, or
// names of well-known services: http, https, ssh, domain, postgresql, redis and
// some 300 more. Their table is built in, so that an address means the same on
// every machine; /etc/services is not read. A range has numbers only, begins at
// 1 or more and does not run backwards.
//
// The options of a Unix socket's file are mode, in octal and at most 0777,
// owner and group, each a name or a number. Any other key is an error.
//
// In paths, names, options and the hosts of unknown schemes %2F stands for the
// byte 0x2F, and so must a space, a control character, a question mark and the
// percent sign be written; a plus is a plus. In a zone or an interface nothing
// is escaped, except that after a scheme and two slashes %25eth0, as RFC 6874
// has it, is understood as %eth0. There is no user name and no password in an
// address, for addresses are logged.
//
// A text has at most 4,096 bytes.
//
// # What a colon means
//
// The text before the first colon is a scheme if two slashes follow, and if it
// is unix, unixgram, unixpacket, fd, systemd or mem. Otherwise what can be host
// and port is host and port: web:80 and web:http are TCP. What cannot is a name
// under an unknown scheme, as in tailscale:api, unless it looks like a mistyped
// port, as web:80x, localhost:htpp and example.com:htpp do, or a user and a
// password, with an @. After fd a service is a port: fd:http is a machine called
// fd.
//
// All that [net.SplitHostPort] takes apart is an address if its host is empty, a
// name or an IP address, and its port a number up to 65535 or a known service.
//
// # Canonical form
//
// [Addr.String] is the one way to write an address, whatever was parsed:
// schemes, host names and IP addresses in lower case, IPv6 compressed,
// IPv4-mapped IPv6 as IPv4 (package net makes no difference between them),
// ports as numbers, what need not be escaped plain and everything else as
// upper-case %XX, options sorted by key, modes as four digits. TCP has no
// scheme, so that net.Dial and SplitHostPort understand it; a host called as
// one of the schemes above stands in brackets, [fd]:80. An unknown scheme that
// is the name of a service gets its port when none is written:
// https://example.com is https://example.com:443.
//
// Nothing is made equal that may differ. /run/../x stays, for .. may pass
// through a symbolic link. So does %2F in the path of an unknown scheme, where a
// slash may mean something else. 0.0.0.0, [::] and the empty host are three
// addresses, for they may bind different sockets; example.com and example.com
// with a final dot are two.
//
// Parse(a.String()) == a for every Addr but the zero value, whose text is empty.
// Parse refuses that: a configuration in which the address was forgotten should
// not start. [Addr.UnmarshalText] and [Addr.Set] read it as the zero value.
//
// # Errors
//
// Every error is a [*ParseError] that has the input, the part of it that is
// wrong and what was expected. errors.Is tells the parts apart: [ErrLength],
// [ErrScheme], [ErrHost], [ErrPort], [ErrPath], [ErrName], [ErrQuery].
//
// # Addresses from package net
//
// [FromNet] makes an Addr of any net.Addr, such as listener.Addr() or
// conn.RemoteAddr(), for maps and logs. It never fails; what an unknown net.Addr
// says of itself is kept, escaped, under its network as the scheme.
package addr
