package wasmhost

import (
	"encoding/binary"
	"net/netip"
)

// ParseCtx is what a plugin may know of the connection and the message.
type ParseCtx struct {
	Src, Dst  netip.AddrPort
	Transport uint8 // IP protocol number: 6 TCP, 17 UDP
	L7        uint8 // DeepFlow's number of the protocol; 0: not known yet
	Source    uint8 // 0 system call, 1 TLS, 8 Unix socket, 255 packet
	Time      uint64
	Direction Direction
	Process   string
	FlowID    uint64
	Payload   uint16 // the limit of the payload's length
}

// The values of ParseCtx.Source.
const (
	SourceSyscall = 0
	SourceTLS     = 1
	SourceUnix    = 8
	SourcePacket  = 255
)

// HTTPRequest is what the HTTP hook of requests may read.
type HTTPRequest struct{ Path, Host, UserAgent, Referer string }

// HTTPResponse is what the HTTP hook of responses may read.
type HTTPResponse struct {
	Code     uint16
	Status   Status
	Endpoint string
}

// CustomMessage is what the hook of custom messages may read.
type CustomMessage struct {
	Point    uint16 // 0: while a protocol is parsed
	TypeCode uint32 // the protocol's number
	Proto    []byte
}

// writer fills a buffer in a guest. What does not fit makes the whole fail.
type writer struct {
	b   []byte
	n   int
	bad bool
}

func (w *writer) room(n int) []byte {
	if w.bad || n > len(w.b)-w.n {
		w.bad = true
		return nil
	}
	p := w.b[w.n : w.n+n]
	w.n += n
	return p
}

func (w *writer) u8(v uint8) {
	if p := w.room(1); p != nil {
		p[0] = v
	}
}

func (w *writer) u16(v uint16) {
	if p := w.room(2); p != nil {
		binary.BigEndian.PutUint16(p, v)
	}
}

func (w *writer) u32(v uint32) {
	if p := w.room(4); p != nil {
		binary.BigEndian.PutUint32(p, v)
	}
}

func (w *writer) u64(v uint64) {
	if p := w.room(8); p != nil {
		binary.BigEndian.PutUint64(p, v)
	}
}

func (w *writer) text(s string) {
	copy(w.room(len(s)), s)
}

// str writes a string after its two-byte length, cut at 65,535 bytes.
func (w *writer) str(s string) {
	s = s[:min(len(s), 1<<16-1)]
	w.u16(uint16(len(s)))
	w.text(s)
}

// done is the number of bytes written, 0 for none.
func (w *writer) done() int {
	if w.bad {
		return 0
	}
	return w.n
}

func (w *writer) addr(a netip.Addr, v6 bool) {
	if v6 {
		b := a.As16()
		copy(w.room(16), b[:])
		return
	}
	b := a.As4()
	copy(w.room(4), b[:])
}

func (c *ParseCtx) write(b []byte) int {
	w := writer{b: b}
	src, dst := known(c.Src.Addr()), known(c.Dst.Addr())
	v6 := src.Is6() || dst.Is6()
	if v6 {
		w.u8(6)
	} else {
		w.u8(4)
	}
	w.addr(src, v6)
	w.addr(dst, v6)
	w.u16(c.Src.Port())
	w.u16(c.Dst.Port())
	w.u8(c.Transport)
	w.u8(c.L7)
	w.u8(c.Source)
	w.u64(c.Time)
	w.u8(uint8(c.Direction))
	name := c.Process[:min(len(c.Process), 255)]
	w.u8(uint8(len(name)))
	w.text(name)
	w.u64(c.FlowID)
	w.u16(c.Payload)
	return w.done()
}

// known is a, or 0.0.0.0 where no address is known (Unix sockets).
func known(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv4Unspecified()
	}
	return a.Unmap()
}

func (q *HTTPRequest) write(b []byte) int {
	w := writer{b: b}
	for _, s := range [...]string{q.Path, q.Host, q.UserAgent, q.Referer} {
		w.str(s)
	}
	return w.done()
}

// write gives what the buffer has room for: a plugin of 2023-04 asks with two
// bytes, one before 2026 with three.
func (q *HTTPResponse) write(b []byte) int {
	w := writer{b: b}
	w.u16(q.Code)
	if len(b) >= 3 {
		w.u8(uint8(q.Status))
	}
	if len(b) >= 5+len(q.Endpoint) {
		w.str(q.Endpoint)
	}
	return w.done()
}

func (q *CustomMessage) write(b []byte) int {
	w := writer{b: b}
	w.u16(q.Point)
	w.u32(q.TypeCode)
	w.u32(uint32(len(q.Proto)))
	copy(w.room(len(q.Proto)), q.Proto)
	return w.done()
}
