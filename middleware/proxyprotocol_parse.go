package middleware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/listengroup/listengroup/lgrp"
)

// A ProxyHeader is what a proxy told by the PROXY protocol. It must not be
// changed.
type ProxyHeader struct {
	Version int  // 1 or 2
	Local   bool // the proxy speaks for itself (LOCAL), as to check health

	// Source is the client's address, and Destination the one that it
	// connected to. Both are nil if the header tells none; over TCP they are
	// *net.TCPAddr.
	Source, Destination net.Addr

	// TLVs are the extensions of version 2, in their order, as they came. With
	// LOCAL there are none if not all of them can be told.
	TLVs []ProxyTLV
}

// A ProxyTLV is an extension of a [ProxyHeader]: PP2_TYPE_ALPN is type 0x01,
// PP2_TYPE_AUTHORITY 0x02, PP2_TYPE_UNIQUE_ID 0x05, PP2_TYPE_SSL 0x20; section
// 2.2 of the specification has the others and what the values mean.
type ProxyTLV struct {
	// Type says what Value means.
	Type byte

	// Value is as it came; it may be empty. It must not be changed.
	Value []byte
}

// TLV returns the value of the first extension of a type.
func (h *ProxyHeader) TLV(typ byte) ([]byte, bool) {
	for _, t := range h.TLVs {
		if t.Type == typ {
			return t.Value, true
		}
	}
	return nil, false
}

const (
	proxyV1Prefix = "PROXY "
	proxyV2Prefix = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyV1    = 107 // with CRLF
	proxyV2Fixed  = 16
	maxProxyV2    = proxyV2Fixed + 1<<16 - 1

	tlvALPN      = 0x01
	tlvAuthority = 0x02
	tlvCRC32C    = 0x03
)

var (
	errNoProxyHeader  = errors.New("there is none")
	errProxyV1TooLong = fmt.Errorf("version 1: no end of line within %d bytes", maxProxyV1)
)

// proxyMeasure is what the first bytes of a stream tell of a header.
type proxyMeasure struct {
	length      int // of the header; 0: it cannot be told yet
	least, most int // bytes of the stream to wait for, and to read, next
}

// measureProxyHeader fails if head does not begin, or begin to be, a header.
func measureProxyHeader(head []byte) (m proxyMeasure, err error) {
	more := len(head) + 1
	switch {
	case bytes.HasPrefix(head, []byte(proxyV1Prefix)):
		if i := bytes.Index(head, []byte("\r\n")); i >= 0 {
			return proxyMeasure{length: i + 2}, nil
		}
		if len(head) >= maxProxyV1 {
			return m, errProxyV1TooLong
		}
		return proxyMeasure{least: more, most: maxProxyV1}, nil
	case bytes.HasPrefix(head, []byte(proxyV2Prefix)) && len(head) >= proxyV2Fixed:
		n := proxyV2Fixed + int(binary.BigEndian.Uint16(head[14:]))
		return proxyMeasure{length: n, least: n, most: n}, nil
	case hasPrefix(head, proxyV1Prefix), hasPrefix(head, proxyV2Prefix):
		return proxyMeasure{least: more, most: proxyV2Fixed}, nil
	}
	return m, errNoProxyHeader
}

// hasPrefix reports whether head begins with prefix, as far as it goes.
func hasPrefix(head []byte, prefix string) bool {
	n := min(len(head), len(prefix))
	return string(head[:n]) == prefix[:n]
}

// isProxyHeader reports whether head certainly begins a header.
func isProxyHeader(head []byte) bool {
	return bytes.HasPrefix(head, []byte(proxyV1Prefix)) || bytes.HasPrefix(head, []byte(proxyV2Prefix))
}

// parseProxyHeader parses a whole header.
func parseProxyHeader(b []byte) (*ProxyHeader, error) {
	if b[0] == proxyV1Prefix[0] {
		return parseProxyV1(string(b))
	}
	return parseProxyV2(b)
}

// parseProxyV1 is section 2.1.
func parseProxyV1(line string) (*ProxyHeader, error) {
	h := &ProxyHeader{Version: 1}
	if len(line) > maxProxyV1 {
		return nil, errProxyV1TooLong
	}
	f := strings.Split(strings.TrimSuffix(line, "\r\n"), " ")
	if f[1] == "UNKNOWN" {
		return h, nil // whatever follows is to be ignored
	}
	if len(f) != 6 {
		return nil, fmt.Errorf("version 1: %q", line)
	}
	var ap [2]netip.AddrPort
	for i := range ap {
		ip, err := netip.ParseAddr(f[2+i])
		if err != nil || ip.Zone() != "" || (f[1] == "TCP4") != ip.Is4() || f[1] != "TCP4" && f[1] != "TCP6" {
			return nil, fmt.Errorf("version 1: address of %s in %q", f[1], line)
		}
		port, err := strconv.ParseUint(f[4+i], 10, 16)
		if err != nil || f[4+i] != strconv.FormatUint(port, 10) {
			return nil, fmt.Errorf("version 1: port in %q", line)
		}
		ap[i] = netip.AddrPortFrom(ip, uint16(port))
	}
	h.Source, h.Destination = net.TCPAddrFromAddrPort(ap[0]), net.TCPAddrFromAddrPort(ap[1])
	return h, nil
}

// parseProxyV2 is section 2.2. What a LOCAL header holds is to be discarded,
// whatever it is. Only a checksum, if it has one, must be right, for that is
// about the command too.
func parseProxyV2(b []byte) (*ProxyHeader, error) {
	command, family, rest := b[12], b[13], b[proxyV2Fixed:]
	if command>>4 != 2 || command&0xf > 1 {
		return nil, fmt.Errorf("version and command %#02x", command)
	}
	h := &ProxyHeader{Version: 2, Local: command&0xf == 0}
	size, err := proxyV2Size(family)
	if err == nil && len(rest) < size {
		err = fmt.Errorf("version 2: %d bytes of addresses, want %d", len(rest), size)
	}
	if err == nil {
		err = h.parseTLVs(rest[size:])
	}
	switch {
	case h.Local && err != nil:
		h.TLVs = nil
		return h, nil
	case err != nil:
		return nil, err
	case !h.Local:
		h.Source, h.Destination = proxyV2Addrs(family, rest[:size])
	}
	if err := h.checkCRC(b, proxyV2Fixed+size); err != nil {
		return nil, err
	}
	return h, nil
}

// proxyV2Size returns the length of the two addresses.
func proxyV2Size(family byte) (int, error) {
	if family&0xf <= 2 {
		switch family >> 4 {
		case 0: // unspecified: the TLVs follow at once
			return 0, nil
		case 1:
			return 2*4 + 4, nil
		case 2:
			return 2*16 + 4, nil
		case 3:
			return 2 * 108, nil
		}
	}
	return 0, fmt.Errorf("version 2: address family and protocol %#02x", family)
}

func proxyV2Addrs(family byte, b []byte) (src, dst net.Addr) {
	stream := family&0xf == 1
	if family>>4 == 0 || family&0xf == 0 {
		return nil, nil
	}
	if family>>4 == 3 {
		network := map[bool]string{true: "unix", false: "unixgram"}[stream]
		name := func(b []byte) string {
			if b[0] == 0 && bytes.IndexFunc(b, func(r rune) bool { return r != 0 }) > 0 { // abstract
				return "@" + strings.TrimRight(string(b[1:]), "\x00")
			}
			path, _, _ := strings.Cut(string(b), "\x00")
			return path
		}
		return &net.UnixAddr{Name: name(b[:108]), Net: network}, &net.UnixAddr{Name: name(b[108:]), Net: network}
	}
	n := (len(b) - 4) / 2
	at := func(ip, port []byte) net.Addr {
		a, _ := netip.AddrFromSlice(ip)
		ap := netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
		if stream {
			return net.TCPAddrFromAddrPort(ap)
		}
		return net.UDPAddrFromAddrPort(ap)
	}
	return at(b[:n], b[2*n:]), at(b[n:2*n], b[2*n+2:])
}

// parseTLVs parses the extensions.
func (h *ProxyHeader) parseTLVs(b []byte) error {
	for len(b) > 0 {
		if len(b) < 3 {
			return errors.New("version 2: truncated extension")
		}
		n := int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < 3+n {
			return fmt.Errorf("version 2: extension %#02x: %d bytes of %d", b[0], len(b)-3, n)
		}
		h.TLVs = append(h.TLVs, ProxyTLV{Type: b[0], Value: b[3 : 3+n : 3+n]})
		b = b[3+n:]
	}
	return nil
}

// checkCRC verifies the checksums that there are among the extensions, which
// begin at i of the header all.
func (h *ProxyHeader) checkCRC(all []byte, i int) error {
	for _, t := range h.TLVs {
		i += 3
		if t.Type == tlvCRC32C {
			if err := checkProxyCRC(all, i, t.Value); err != nil {
				return err
			}
		}
		i += len(t.Value)
	}
	return nil
}

// checkProxyCRC computes the sum of all with the sum's own bytes, at i, zero.
func checkProxyCRC(all []byte, i int, sum []byte) error {
	if len(sum) != 4 {
		return fmt.Errorf("version 2: checksum of %d bytes", len(sum))
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	crc := crc32.Update(0, table, all[:i])
	crc = crc32.Update(crc, table, make([]byte, 4))
	crc = crc32.Update(crc, table, all[i+4:])
	if crc != binary.BigEndian.Uint32(sum) {
		return errors.New("version 2: wrong checksum")
	}
	return nil
}

// tell passes on to c what the rest of the program asks a connection for.
func (h *ProxyHeader) tell(c *lgrp.AnyConn) {
	if h.Source != nil {
		c.SetRemoteAddr(h.Source)
	}
	authority, _ := h.TLV(tlvAuthority)
	alpn, _ := h.TLV(tlvALPN)
	if len(authority) > 0 || len(alpn) > 0 {
		c.SetTLS(string(authority), string(alpn))
	}
}
