//go:build wasip1

package deepflow

import (
	"encoding/binary"
	"net/netip"
	"unsafe"
)

//go:wasmimport deepflow wasm_log
func hostLog(p unsafe.Pointer, n, level uint32)

//go:wasmimport deepflow vm_read_ctx_base
func hostCtx(p unsafe.Pointer, n uint32) int32

//go:wasmimport deepflow vm_read_payload
func hostPayload(p unsafe.Pointer, n uint32) int32

//go:wasmimport deepflow vm_read_http_req_info
func hostRequest(p unsafe.Pointer, n uint32) int32

//go:wasmimport deepflow vm_read_http_resp_info
func hostResponse(p unsafe.Pointer, n uint32) int32

//go:wasmimport deepflow vm_read_custom_message_info
func hostCustom(p unsafe.Pointer, n uint32) int32

//go:wasmimport deepflow host_read_l7_protocol_info
func hostInfo(p unsafe.Pointer, n uint32) int32

//go:wasmimport deepflow host_read_str_result
func hostString(p unsafe.Pointer, n uint32) int32

var (
	parser Parser = DefaultParser{}
	// One call runs at a time.
	small  [64 << 10]byte
	out    []byte
	bitmap [16]byte
	custom [8]byte
)

// SetParser registers the plugin; call it in an init function.
func SetParser(p Parser) { parser = p }

// Error, Warn and Info write to the host's log.
func Error(s string) { log(s, 2) }
func Warn(s string)  { log(s, 1) }
func Info(s string)  { log(s, 0) }

func log(s string, level uint32) {
	hostLog(unsafe.Pointer(unsafe.StringData(s)), uint32(len(s)), level)
}

// readPayload asks the host for the message; below 0: there is none.
func readPayload(b []byte) int32 {
	return hostPayload(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
}

// reader reads big-endian fields; past the end all is zero.
type reader struct{ b []byte }

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b = nil
		return make([]byte, n)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) str() string { return string(r.take(int(r.u16()))) }

func (r *reader) addr(v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte(r.take(16)))
	}
	return netip.AddrFrom4([4]byte(r.take(4)))
}

func read(f func(unsafe.Pointer, uint32) int32) *reader {
	n := f(unsafe.Pointer(&small), uint32(len(small)))
	return &reader{small[:max(0, int(n))]}
}

func ctx() (c ParseCtx) {
	r := read(hostCtx)
	v6 := r.u8() == 6
	c.SrcIP, c.DstIP = r.addr(v6), r.addr(v6)
	c.SrcPort, c.DstPort = r.u16(), r.u16()
	c.L4, c.L7, c.EbpfType = Protocol(r.u8()), r.u8(), r.u8()
	c.Time, c.Direction = r.u64(), Direction(r.u8())
	c.ProcName = string(r.take(int(r.u8())))
	c.FlowID, c.BufSize = r.u64(), r.u16()
	return c
}

//go:wasmexport get_hook_bitmap
func hookBitmap() int32 {
	for _, h := range parser.HookIn() {
		bitmap[(h-1)/8] |= 0x80 >> ((h - 1) % 8)
	}
	return int32(uintptr(unsafe.Pointer(&bitmap)))
}

//go:wasmexport get_custom_message_hook
func customHook() int32 {
	binary.BigEndian.PutUint64(custom[:], parser.CustomMessageHookIn())
	return int32(uintptr(unsafe.Pointer(&custom)))
}

// give hands the result over; the number says how it ended.
func give(a Action) int32 {
	if a.err != nil {
		Error(a.err.Error())
		return 2
	}
	if !a.abort {
		return 0
	}
	out = out[:0]
	for _, i := range a.infos {
		out = i.record(out)
	}
	if len(out) > 0 {
		hostInfo(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
	}
	return 1
}

//go:wasmexport on_http_req
func onHTTPReq() int32 {
	c := HttpReqCtx{BaseCtx: ctx()}
	r := read(hostRequest)
	c.Path, c.Host, c.UserAgent, c.Referer = r.str(), r.str(), r.str(), r.str()
	return give(parser.OnHttpReq(&c))
}

//go:wasmexport on_http_resp
func onHTTPResp() int32 {
	c := HttpRespCtx{BaseCtx: ctx()}
	r := read(hostResponse)
	c.Code, c.Status, c.Endpoint = r.u16(), RespStatus(r.u8()), r.str()
	return give(parser.OnHttpResp(&c))
}

//go:wasmexport on_custom_message
func onCustomMessage() int32 {
	c := CustomMessageCtx{BaseCtx: ctx()}
	r := read(hostCustom)
	c.HookPoint, c.TypeCode = r.u16(), r.u32()
	c.Proto = append([]byte(nil), r.take(int(r.u32()))...)
	return give(parser.OnCustomMessage(&c))
}

//go:wasmexport check_payload
func checkPayload() int32 {
	c := ctx()
	number, name, direction := parser.OnCheckPayload(&c)
	if number == 0 {
		return 0
	}
	name = name[:min(len(name), 16)]
	b := append([]byte{0, byte(len(name))}, name...)
	hostString(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	return int32(number) | int32(direction)<<8
}

//go:wasmexport parse_payload
func parsePayload() int32 {
	c := ctx()
	return give(parser.OnParsePayload(&c))
}
