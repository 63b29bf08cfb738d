package hop

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Key is a 64-bit exchange key or span id. Zero means none.
type Key uint64

// Bytes is k as an OTLP span id.
func (k Key) Bytes() (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], uint64(k))
	return b
}

// Hex is k as 16 lower-case hex digits, written into dst.
func (k Key) Hex(dst []byte) []byte {
	const digits = "0123456789abcdef"
	for s := 60; s >= 0; s -= 4 {
		dst = append(dst, digits[k>>s&15])
	}
	return dst
}

// What a key is made of is tagged, so that keys of different makes never meet
// by accident.
const (
	tagXID byte = 1 + iota
	tagLID
	tagUDP
	tagSpan
	tagWire
	tagTrace
	tagPrivate
	tagForeign
)

// XID is the key of an exchange from the TCP sequence numbers of the first byte
// of its request and of its response: the same at every capture point, known
// when the response is seen.
func XID(request, response uint32) Key {
	var b [9]byte
	b[0] = tagXID
	binary.BigEndian.PutUint32(b[1:], request)
	binary.BigEndian.PutUint32(b[5:], response)
	return sum(b[:])
}

// ConnKey is a TCP connection by the sequence numbers of the first byte of each
// direction (the SYN counts one and is not a byte).
type ConnKey struct {
	Client, Server uint32
	Known          bool
}

// LID is the key of an exchange from its connection and its request's 64-bit
// offset in the client's stream: known when the request is seen, and unique for
// pipelined and multiplexed protocols. stream tells requests apart that begin
// in one byte position range (0 for most).
func LID(c ConnKey, offset uint64) Key {
	if !c.Known {
		return 0
	}
	var b [17]byte
	b[0] = tagLID
	binary.BigEndian.PutUint32(b[1:], c.Client)
	binary.BigEndian.PutUint32(b[5:], c.Server)
	binary.BigEndian.PutUint64(b[9:], offset)
	return sum(b[:])
}

// DNS is the key of a DNS exchange over UDP, which has no sequence numbers. It
// holds for 10 seconds: ids are reused.
func DNS(id uint16, question string, clientPort uint16) Key {
	var d xxhash.Digest
	d.Reset()
	var b [5]byte
	b[0] = tagUDP
	binary.BigEndian.PutUint16(b[1:], id)
	binary.BigEndian.PutUint16(b[3:], clientPort)
	d.Write(b[:])
	d.WriteString(question)
	return nonzero(d.Sum64())
}

// Private is the key of an exchange that no other capture point can recognise:
// on a unix socket, or on a connection of which neither the beginning nor the
// answer was seen. conn is the host's number of the connection, used again after
// a restart, so the time of the request is part of it.
func Private(conn, offset uint64, time int64) Key {
	var b [25]byte
	b[0] = tagPrivate
	binary.BigEndian.PutUint64(b[1:], conn)
	binary.BigEndian.PutUint64(b[9:], offset)
	binary.BigEndian.PutUint64(b[17:], uint64(time))
	return sum(b[:])
}

// SpanID names one hop: the exchange, where it was seen, by which host, on
// which interface ("" at processes). Two taps of one place write one span.
func SpanID(exchange Key, p Point, host, iface string) Key {
	var d xxhash.Digest
	d.Reset()
	var b [10]byte
	b[0] = tagSpan
	binary.BigEndian.PutUint64(b[1:], uint64(exchange))
	b[9] = byte(p)
	d.Write(b[:])
	d.WriteString(host)
	d.Write(b[:1])
	d.WriteString(iface)
	return nonzero(d.Sum64())
}

// Wire is the reserved span id of the client host's outermost hop.
func Wire(lid Key) Key {
	var b [9]byte
	b[0] = tagWire
	binary.BigEndian.PutUint64(b[1:], uint64(lid))
	return sum(b[:])
}

// TraceID is the trace id of a component without one: from its topmost root.
func TraceID(root Key) (id [16]byte) {
	var b [10]byte
	b[0] = tagTrace
	binary.BigEndian.PutUint64(b[1:], uint64(root))
	binary.BigEndian.PutUint64(id[:8], xxhash.Sum64(b[:]))
	b[9] = 1
	binary.BigEndian.PutUint64(id[8:], uint64(sum(b[:])))
	return id
}

func sum(b []byte) Key { return nonzero(xxhash.Sum64(b)) }

// nonzero: an all-zero id is invalid in OTLP.
func nonzero(h uint64) Key {
	if h == 0 {
		h = 1
	}
	return Key(h)
}
