package hop

import (
	"encoding/binary"
	"math/bits"

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
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hexDigits(uint32(k>>32)))
	binary.BigEndian.PutUint64(b[8:], hexDigits(uint32(k)))
	return append(dst, b[:]...)
}

// hexDigits are the digits of n, the first in the highest byte: all at once,
// since every span has two such texts.
func hexDigits(n uint32) uint64 {
	x := uint64(n)
	x = (x | x<<16) & 0x0000ffff0000ffff // each digit into a byte of its own
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	const ones = 0x0101010101010101
	letters := (x + 6*ones) >> 4 & ones // 1 where the digit is 10 or more
	return x + '0'*ones + letters*('a'-'0'-10)
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
func XID(request, response uint32) Key { return tagged(tagXID, uint64(request)<<32|uint64(response)) }

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
	// tag, client, server, offset, the most significant byte of each first.
	client, server, at := uint64(bits.ReverseBytes32(c.Client)), uint64(bits.ReverseBytes32(c.Server)), bits.ReverseBytes64(offset)
	h := hashOf(17).word(uint64(tagLID) | client<<8 | server<<40)
	return nonzero(h.word(server>>24 | at<<8).byte(byte(at >> 56)).sum())
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
	var room [96]byte // more than a host's id and an interface's name take
	b := room[:10]
	put(b, tagSpan, uint64(exchange))
	b[9] = byte(p)
	b = append(b, host...)
	b = append(b, tagSpan)
	b = append(b, iface...)
	return sum(b)
}

// Wire is the reserved span id of the client host's outermost hop.
func Wire(lid Key) Key {
	return tagged(tagWire, uint64(lid))
}

// TraceID is the trace id of a component without one: from its topmost root. Its
// halves are the hashes of tag, root and 0, and of tag, root and 1.
func TraceID(root Key) (id [16]byte) {
	n := bits.ReverseBytes64(uint64(root))
	h := hashOf(10).word(uint64(tagTrace) | n<<8).byte(byte(n >> 56))
	binary.BigEndian.PutUint64(id[:8], h.byte(0).sum())
	binary.BigEndian.PutUint64(id[8:], uint64(nonzero(h.byte(1).sum())))
	return id
}

// put writes tag and n, most significant byte first, into the first nine of b.
func put(b []byte, tag byte, n uint64) {
	n = bits.ReverseBytes64(n)
	binary.LittleEndian.PutUint64(b, uint64(tag)|n<<8)
	b[8] = byte(n >> 56)
}

func tagged(tag byte, n uint64) Key {
	n = bits.ReverseBytes64(n)
	return nonzero(hashOf(9).word(uint64(tag) | n<<8).byte(byte(n >> 56)).sum())
}

func sum(b []byte) Key { return nonzero(xxhash.Sum64(b)) }

// nonzero: an all-zero id is invalid in OTLP.
func nonzero(h uint64) Key {
	if h == 0 {
		h = 1
	}
	return Key(h)
}
