//go:build wasip1

package sdk

import (
	"encoding/binary"
	"unsafe"
)

//go:wasmimport hopscope log
func hostLog(level uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport hopscope setting_get
func hostSetting(key unsafe.Pointer, keyLen uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport hopscope attr_get
func hostGet(key unsafe.Pointer, keyLen uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport hopscope attr_set
func hostSet(key unsafe.Pointer, keyLen, typ uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport hopscope payload
func hostPayload(side, offset uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport hopscope side
func hostSide() int32

//go:wasmimport hopscope message
func hostMessage(kind, length uint32, id unsafe.Pointer, idLen uint32) int32

//go:wasmexport abi_version
func abiVersion() int32 { return 1 }

// hooks says which of the exports are meant: all are always there.
//
//go:wasmexport hooks
func hooks() int32 {
	n := int32(0)
	if handler != nil {
		n |= 1
	}
	if protocol.Parse != nil {
		n |= 2
	}
	return n
}

//go:wasmexport on_span
func onSpan() int32 {
	if handler == nil {
		return int32(Next)
	}
	return int32(handler(Span{}))
}

var (
	handler  func(Span) Action
	protocol Protocol
	buffer   [16 << 10]byte // a module runs one call at a time
)

// Speak registers a protocol that the plugin reads.
func Speak(p Protocol) { protocol = p }

//go:wasmexport check_payload
func checkPayload() int32 {
	side := Side(hostSide())
	if protocol.Check == nil || !protocol.Check(side, (Span{}).Payload(side)) {
		return 0
	}
	(Span{}).SetString("network.protocol.name", protocol.Name)
	return 1
}

//go:wasmexport parse_payload
func parsePayload() int32 {
	side := Side(hostSide())
	b := (Span{}).Payload(side)
	for len(b) > 0 {
		m := Message{Kind: Kind(side)}
		n := protocol.Parse(side, b, &m)
		if n < 0 {
			return int32(Next)
		}
		if n == 0 || hostMessage(uint32(m.Kind), uint32(n), text(m.ID), uint32(len(m.ID))) != 0 {
			break
		}
		m.tell(Span{})
		b = b[min(n, len(b)):]
	}
	return int32(Stop)
}

// tell sets what the message says.
func (m *Message) tell(s Span) {
	set := func(key, v string) {
		if v != "" {
			s.SetString(key, v)
		}
	}
	set("hopscope.session.operation", m.Operation)
	set("hopscope.session.target", m.Target)
	set("hopscope.propagation.trace_id", m.TraceID)
	set("hopscope.response.code", m.Code)
	set("hopscope.response.status", m.Status)
	if m.Status == ServerError || m.Status == ClientError {
		set("error.type", m.Code)
		set("span.status_message", m.Error)
	}
	for _, a := range m.Attrs {
		s.SetString(a[0], a[1])
	}
}

//go:wasmimport hopscope state_get
func hostStateGet(p unsafe.Pointer, n uint32) int32

//go:wasmimport hopscope state_set
func hostStateSet(p unsafe.Pointer, n uint32) int32

// State is what the plugin remembers of the connection of this call, at most
// 4,096 bytes.
func State() []byte {
	s, _ := value(hostStateGet(unsafe.Pointer(&buffer), uint32(len(buffer))))
	return []byte(s)
}

// SetState remembers b of the connection of this call. False: it can't be.
func SetState(b []byte) bool {
	return hostStateSet(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) == 0
}

// OnSpan registers what is asked about each span that the configuration matches.
func OnSpan(f func(Span) Action) { handler = f }

// Log writes a line to the collector's log at its level debug.
func Log(s string) { hostLog(0, text(s), uint32(len(s))) }

// Setting is a value of `settings:` in the configuration.
func Setting(key string) (string, bool) {
	return value(hostSetting(text(key), uint32(len(key)), unsafe.Pointer(&buffer), uint32(len(buffer))))
}

// Span is the exchange that the call is about.
type Span struct{}

// Get is an attribute, or span.name, span.kind, span.status, span.status_message.
func (Span) Get(key string) (string, bool) {
	return value(hostGet(text(key), uint32(len(key)), unsafe.Pointer(&buffer), uint32(len(buffer))))
}

// SetString sets an attribute, or span.name, span.status, span.status_message.
// False: it may not be set.
func (Span) SetString(key, v string) bool {
	return hostSet(text(key), uint32(len(key)), 0, text(v), uint32(len(v))) == 0
}

// SetInt sets an attribute.
func (Span) SetInt(key string, v int64) bool {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(v))
	return hostSet(text(key), uint32(len(key)), 1, unsafe.Pointer(&b), 8) == 0
}

// Fail makes the span an error and says why.
func (s Span) Fail(why string) {
	s.SetString("span.status", "error")
	s.SetString("span.status_message", why)
}

// Payload is the head of a message, good until the next call of the SDK.
func (Span) Payload(side Side) []byte {
	n := hostPayload(uint32(side), 0, unsafe.Pointer(&buffer), uint32(len(buffer)))
	return buffer[:max(n, 0)]
}

func text(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func value(n int32) (string, bool) {
	if n < 0 || int(n) > len(buffer) {
		return "", false
	}
	return string(buffer[:n]), true
}
