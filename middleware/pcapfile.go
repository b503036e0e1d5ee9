package middleware

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"
	"unicode/utf8"
)

// pcapFile writes blocks of a pcapng file. Numbers are in little-endian order.
type pcapFile struct {
	onError func(error)

	mu    sync.Mutex // makes blocks, and the numbers in them, come one after the other
	w     io.Writer
	err   error
	talks uint32
}

// Block types, options and values of draft-ietf-opsawg-pcapng.
const (
	pcapSection   = 0x0A0D0D0A
	pcapInterface = 1
	pcapPacket    = 6

	pcapComment     = 1 // option of every block
	pcapPacketFlags = 2 // of a packet; bits 0 and 1 are the direction
	pcapTimeUnit    = 9 // of an interface; 9: nanoseconds

	pcapLinkRaw = 101 // packets begin with the IP header
	pcapSnapLen = 1 << 18
)

var le = binary.LittleEndian

// begin writes the head of the file.
func (f *pcapFile) begin() {
	b := le.AppendUint32(nil, 0x1A2B3C4D) // byte order
	b = le.AppendUint16(b, 1)             // version 1.0
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, ^uint64(0)) // section length: not told
	head := pcapBlock(nil, pcapSection, b)

	b = le.AppendUint16(nil, pcapLinkRaw)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, pcapSnapLen)
	b = pcapOption(b, pcapTimeUnit, []byte{9})
	b = pcapOption(b, 0, nil)
	f.write(pcapBlock(head, pcapInterface, b))
}

// packet writes an enhanced packet block. f.mu is held.
func (f *pcapFile) packet(packet []byte, sent bool, comment string) {
	now := uint64(time.Now().UnixNano())
	b := le.AppendUint32(nil, 0) // interface
	b = le.AppendUint32(b, uint32(now>>32))
	b = le.AppendUint32(b, uint32(now))
	b = le.AppendUint32(b, uint32(len(packet)))
	b = le.AppendUint32(b, uint32(len(packet)))
	b = pcapPad(append(b, packet...))
	direction := []byte{1, 0, 0, 0}
	if sent {
		direction[0] = 2
	}
	b = pcapOption(b, pcapPacketFlags, direction)
	if comment != "" {
		b = pcapOption(b, pcapComment, []byte(comment))
	}
	b = pcapOption(b, 0, nil)
	f.write(pcapBlock(nil, pcapPacket, b))
}

func (f *pcapFile) write(b []byte) {
	if f.err != nil {
		return
	}
	if _, f.err = f.w.Write(b); f.err != nil && f.onError != nil {
		f.onError(f.err)
	}
}

func pcapBlock(to []byte, typ uint32, body []byte) []byte {
	n := uint32(len(body) + 12)
	to = le.AppendUint32(to, typ)
	to = le.AppendUint32(to, n)
	to = append(to, body...)
	return le.AppendUint32(to, n)
}

// pcapOption cuts what is longer than its length can tell, between characters.
func pcapOption(to []byte, code uint16, value []byte) []byte {
	if n := math.MaxUint16; len(value) > n {
		for i := range utf8.UTFMax {
			if utf8.RuneStart(value[n-i]) {
				n -= i
				break
			}
		}
		value = value[:n]
	}
	to = le.AppendUint16(to, code)
	to = le.AppendUint16(to, uint16(len(value)))
	return pcapPad(append(to, value...))
}

func pcapPad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// pcapTalk is the TCP conversation made up for one connection.
type pcapTalk struct {
	f              *pcapFile
	client, server netip.AddrPort // of one family
	next           [2]uint32      // sequence numbers of client and server; guarded by f.mu
}

const (
	tcpFIN = 1 << iota
	tcpSYN
	_
	tcpPSH
	tcpACK
)

// maxSegment leaves room for the headers in an IP packet.
const maxSegment = 32 << 10

func newPcapTalk(f *pcapFile, remote, local net.Addr, id uint64) *pcapTalk {
	client, ok := pcapAddr(remote)
	server, ok2 := pcapAddr(local)
	if !ok || !ok2 || client.Addr().Is4() != server.Addr().Is4() {
		client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 2}), uint16(1+id%65535))
		server = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1)
	}
	return &pcapTalk{f: f, client: client, server: server}
}

func pcapAddr(a net.Addr) (netip.AddrPort, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp == nil {
		return netip.AddrPort{}, false
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), ap.IsValid()
}

func (t *pcapTalk) open(comment string) {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	// Where a port is used again, tshark tells by the first sequence numbers that
	// it is.
	t.f.talks++
	t.next = [2]uint32{t.f.talks, t.f.talks}
	t.segment(false, tcpSYN, nil, comment)
	t.segment(true, tcpSYN|tcpACK, nil, "")
	t.segment(false, tcpACK, nil, "")
}

func (t *pcapTalk) close() {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	t.segment(true, tcpFIN|tcpACK, nil, "")
	t.segment(false, tcpFIN|tcpACK, nil, "")
	t.segment(true, tcpACK, nil, "")
}

// data is told of bytes that have been sent to the client, or read from it.
func (t *pcapTalk) data(sent bool, p []byte) {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	for len(p) > 0 {
		n := min(len(p), maxSegment)
		t.segment(sent, tcpPSH|tcpACK, p[:n], "")
		p = p[n:]
	}
}

// segment writes one packet and counts its bytes.
func (t *pcapTalk) segment(sent bool, flags byte, p []byte, comment string) {
	src, dst, me := t.client, t.server, 0
	if sent {
		src, dst, me = t.server, t.client, 1
	}
	ack := t.next[1-me]
	if flags&tcpACK == 0 {
		ack = 0
	}
	tcp := be.AppendUint16(nil, src.Port())
	tcp = be.AppendUint16(tcp, dst.Port())
	tcp = be.AppendUint32(tcp, t.next[me])
	tcp = be.AppendUint32(tcp, ack)
	tcp = append(tcp, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0) // header length, window, checksum, urgent
	tcp = append(tcp, p...)
	pseudo := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	pseudo = be.AppendUint32(pseudo, uint32(len(tcp)))
	pseudo = be.AppendUint32(pseudo, 6)
	be.PutUint16(tcp[16:], ipChecksum(pseudo, tcp))
	t.f.packet(ipPacket(src.Addr(), dst.Addr(), tcp), sent, comment)

	t.next[me] += uint32(len(p))
	if flags&(tcpSYN|tcpFIN) != 0 {
		t.next[me]++
	}
}

var be = binary.BigEndian

// ipPacket puts the header of RFC 791 or RFC 8200 in front of a TCP segment.
func ipPacket(src, dst netip.Addr, tcp []byte) []byte {
	var b []byte
	if src.Is4() {
		b = append(b, 0x45, 0)
		b = be.AppendUint16(b, uint16(20+len(tcp)))
		b = append(b, 0, 0, 0x40, 0, 64, 6, 0, 0) // do not fragment, TTL 64, TCP, checksum
	} else {
		b = append(b, 0x60, 0, 0, 0)
		b = be.AppendUint16(b, uint16(len(tcp)))
		b = append(b, 6, 64) // TCP, hop limit 64
	}
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	if src.Is4() {
		be.PutUint16(b[10:], ipChecksum(b))
	}
	return append(b, tcp...)
}

// ipChecksum is that of RFC 1071; all parts but the last are of even length.
func ipChecksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for i, b := range p {
			if i%2 == 0 {
				sum += uint32(b) << 8
			} else {
				sum += uint32(b)
			}
			sum = sum&0xffff + sum>>16
		}
	}
	return ^uint16(sum)
}
