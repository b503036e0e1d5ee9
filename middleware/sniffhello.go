package middleware

import "encoding/binary"

// clientHello is what is routed by of a TLS ClientHello.
type clientHello struct {
	serverName string   // SNI, RFC 6066 section 3
	protocols  []string // ALPN, RFC 7301 section 3.1
}

// maxHelloRecords bounds the work of looking at a ClientHello in pieces: each
// look walks through the records again.
const maxHelloRecords = 32

// parseClientHello parses the ClientHello of RFC 8446 section 4.1.2 that head
// begins with, which may be spread over several records.
func parseClientHello(head []byte) (*clientHello, SniffResult) {
	msg, result := helloMessage(head)
	if result != SniffYes {
		return nil, result
	}
	h := &clientHello{}
	r := reader{msg[4:], true}
	r.skip(2 + 32)    // legacy_version, random
	r.skip(r.uint8()) // legacy_session_id
	r.skip(r.uint16())
	r.skip(r.uint8()) // legacy_compression_methods
	if !r.ok {
		return nil, SniffNo
	}
	if len(r.b) == 0 { // no extensions, as TLS 1.0 allows
		return h, SniffYes
	}
	ext := r.sub(r.uint16())
	for ext.ok && len(ext.b) > 0 {
		typ := ext.uint16()
		body := ext.sub(ext.uint16())
		switch typ {
		case 0: // server_name
			list := body.sub(body.uint16())
			for list.ok && len(list.b) > 0 {
				kind := list.uint8()
				if name := list.sub(list.uint16()); kind == 0 && h.serverName == "" {
					h.serverName = string(name.b)
				}
			}
			ext.ok = ext.ok && list.ok && body.ok
		case 16: // application_layer_protocol_negotiation
			list := body.sub(body.uint16())
			for list.ok && len(list.b) > 0 {
				h.protocols = append(h.protocols, string(list.sub(list.uint8()).b))
			}
			ext.ok = ext.ok && list.ok && body.ok
		}
	}
	if !r.ok || !ext.ok {
		return nil, SniffNo
	}
	return h, SniffYes
}

// helloMessage returns the handshake message that the first records hold. It
// copies only if there are several, and not before all of it is there.
func helloMessage(head []byte) (msg []byte, result SniffResult) {
	if v := matchTLS(head); v != SniffYes {
		return nil, v
	}
	var (
		start [4]byte // of the message: type and length
		have  int     // bytes of the message
		rest  = head
	)
	for n := 1; ; n++ {
		if n > maxHelloRecords {
			return nil, SniffNo
		}
		if len(rest) < recordHeader {
			return nil, SniffMore
		}
		size := int(binary.BigEndian.Uint16(rest[3:]))
		if rest[0] != 0x16 || rest[1] != 3 || size == 0 || size > 1<<14 {
			return nil, SniffNo
		}
		piece := rest[recordHeader:min(len(rest), recordHeader+size)]
		if have < len(start) {
			copy(start[have:], piece)
		}
		have += len(piece)
		if total := len(start) + int(binary.BigEndian.Uint32(start[:])&0xffffff); have >= len(start) && have >= total {
			if n == 1 {
				return piece[:total], SniffYes
			}
			return joinRecords(head, total), SniffYes
		}
		if len(piece) < size {
			return nil, SniffMore
		}
		rest = rest[recordHeader+size:]
	}
}

// recordHeader is the length of type, version and length of a TLS record.
const recordHeader = 5

// joinRecords returns the first total bytes of what the records hold.
func joinRecords(records []byte, total int) []byte {
	msg := make([]byte, 0, total)
	for len(msg) < total {
		size := int(binary.BigEndian.Uint16(records[3:]))
		piece := records[recordHeader:min(len(records), recordHeader+size)]
		msg = append(msg, piece[:min(len(piece), total-len(msg))]...)
		records = records[recordHeader+len(piece):]
	}
	return msg
}

// reader takes numbers and pieces off b; when there is too little, ok becomes
// false and stays so.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) take(n int) []byte {
	if !r.ok || len(r.b) < n {
		r.ok = false
		r.b = nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) uint8() int {
	if p := r.take(1); p != nil {
		return int(p[0])
	}
	return 0
}

func (r *reader) uint16() int {
	if p := r.take(2); p != nil {
		return int(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) sub(n int) reader {
	p := r.take(n)
	return reader{p, r.ok}
}
