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

//go:wasmexport abi_version
func abiVersion() int32 { return 1 }

//go:wasmexport on_span
func onSpan() int32 {
	if handler == nil {
		return int32(Next)
	}
	return int32(handler(Span{}))
}

var (
	handler func(Span) Action
	buffer  [16 << 10]byte // a module runs one call at a time
)

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
