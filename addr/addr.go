package addr

import (
	"net"
	"strconv"
)

// Addr is the address of something to listen on or to talk to: a TCP host and
// port, a Unix socket, an inherited descriptor, a name in memory, or whatever
// a scheme of others means by it.
//
// The zero value is no address: its String is empty and IsZero reports true.
// Addr is a small immutable value. It may be copied, compared with == and used
// as a map key; two addresses are equal exactly when their texts are. All
// methods with a value receiver may be called by several goroutines at once.
// Addr implements [net.Addr].
type Addr struct {
	// The canonical text is the whole address; everything below says where in
	// it the parts lie and follows from it, so that == compares texts. Keeping
	// the text makes String free and leaves one place that can be wrong, the
	// parser, where a struct of parts would need a printer to agree with it.
	text string

	form    form
	scheme  uint8  // length of the scheme in text; 0: tcp, which has none
	hostEnd uint16 // where the host ends, brackets included
	first   uint16 // port, or the first of a range
	last    uint16
}

var _ net.Addr = Addr{}

// form is the shape of an address's text.
type form uint8

const (
	formNone form = iota
	formHost      // host:port, scheme://host:port
	formUnix      // unix:///path, unix:path, unix:@name
	formName      // scheme:name
	formURI       // scheme://host:port/path?key=value, all but the scheme optional
)

// IsZero reports whether a is the zero value, which is no address.
func (a Addr) IsZero() bool { return a == Addr{} }

// String returns the canonical text of a: host:port for tcp, so that
// [net.SplitHostPort] and [net.Dial] understand it, and a text with a scheme
// for all else. Parse(a.String()) is a again. It does not allocate.
// The zero value's text is empty.
func (a Addr) String() string { return a.text }

// GoString returns what makes the same address in Go, for messages of tests.
func (a Addr) GoString() string {
	if a == (Addr{}) {
		return "addr.Addr{}"
	}
	return "addr.MustParse(" + strconv.Quote(a.text) + ")"
}

// Network returns the scheme, which for tcp and unix is the network's name as
// [net.Listen] wants it. It makes Addr a [net.Addr].
func (a Addr) Network() string { return a.Scheme() }

// Scheme returns the scheme in lower case: "tcp", "tcp4", "tcp6", "unix",
// "fd", "systemd", "mem" or another. The zero value's is empty.
func (a Addr) Scheme() string {
	if a.scheme == 0 && a.form == formHost {
		return "tcp"
	}
	return a.text[:a.scheme]
}
