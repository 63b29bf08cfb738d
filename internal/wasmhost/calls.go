package wasmhost

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
)

// Call is one function that guests import.
type Call struct {
	Name   string // never renamed, never changes its meaning
	Params string // "key_ptr key_len": all i32, in order
	Result string // what the i32 says; empty: there is none
	fn     func(in *Instance, a []uint64) uint64
}

func (c Call) params() int { return len(strings.Fields(c.Params)) }

// bind makes the function of the runtime's shape: parameters and result share the
// stack.
func (c Call) bind() api.GoModuleFunc {
	n := c.params()
	result := c.Result != ""
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in := instanceOf(ctx)
		if in.mem == nil {
			in.mem = mod.Memory() // called from a start function
		}
		for i := range n {
			stack[i] = uint64(uint32(stack[i])) // the upper half is not promised
		}
		v := c.fn(in, stack[:n])
		if result {
			stack[0] = v
		}
	}
}

// bytes is a part of the guest's memory, or nil and the call is spoilt.
func (in *Instance) bytes(ptr, n uint64) []byte {
	if in.mem != nil {
		if b, ok := in.mem.Read(uint32(ptr), uint32(n)); ok {
			return b
		}
	}
	in.spoil(ErrPointer)
	return nil
}

// spoil makes the call fail when it returns; the first reason counts.
func (in *Instance) spoil(err error) {
	if in.bad == nil {
		in.bad = err
	}
}

// crossing is done at each call from a guest: a loop of calls to the host spends
// its time where no fuel counts.
func (in *Instance) crossing() {
	if in.calls++; in.calls%64 == 0 && in.late() {
		panic(ErrTimeout)
	}
}

// maxLog bounds a line that a plugin logs.
const maxLog = 1024

func (in *Instance) log(level int, b []byte) {
	if in.plugin.cfg.Log == nil {
		return
	}
	b = b[:min(len(b), maxLog)]
	for len(b) > 0 && !utf8.Valid(b[max(0, len(b)-utf8.UTFMax):]) && len(b) == maxLog {
		b = b[:len(b)-1]
	}
	in.plugin.cfg.Log(level, text(b))
}

// i32 is v as a result.
func i32(v int) uint64 { return uint64(uint32(int32(v))) }

// deepflowCalls is the module "deepflow".
func deepflowCalls() []Call {
	return []Call{
		{"wasm_log", "ptr len level", "", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			if b := in.bytes(a[0], a[1]); b != nil {
				in.log(int(a[2]), b)
			}
			return 0
		}},
		{"vm_read_ctx_base", "ptr len", "bytes written, 0 for failure", into(func(m *Message, b []byte) int { return m.Ctx.write(b) })},
		{"vm_read_payload", "ptr len", "bytes written, -1 for failure", readPayload},
		{"vm_read_http_req_info", "ptr len", "bytes written, 0 for failure", into(func(m *Message, b []byte) int {
			if m.Req == nil {
				return 0
			}
			return m.Req.write(b)
		})},
		{"vm_read_http_resp_info", "ptr len", "bytes written, 0 for failure", into(func(m *Message, b []byte) int {
			if m.Resp == nil {
				return 0
			}
			return m.Resp.write(b)
		})},
		{"vm_read_custom_message_info", "ptr len", "bytes written, 0 for failure", into(func(m *Message, b []byte) int {
			if m.Custom == nil {
				return 0
			}
			return m.Custom.write(b)
		})},
		{"host_read_l7_protocol_info", "ptr len", "1 if it was taken", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			if in.call == nil || a[1] > maxResult {
				in.spoil(ErrResult)
				return 0
			}
			b := in.bytes(a[0], a[1])
			if b == nil {
				return 0
			}
			infos, err := Decode(b, in.call.Ctx.Direction)
			if err != nil || len(in.call.Infos)+len(infos) > maxRecords {
				in.spoil(ErrResult)
				return 0
			}
			in.call.Infos = append(in.call.Infos, infos...)
			return 1
		}},
		{"host_read_http_result", "ptr len", "1 if it was taken", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			if in.call == nil || a[1] > maxResult || len(in.call.Infos) >= maxRecords {
				in.spoil(ErrResult)
				return 0
			}
			b := in.bytes(a[0], a[1])
			if b == nil {
				return 0
			}
			info, err := DecodeHTTPResult(b)
			if err != nil {
				in.spoil(ErrResult)
				return 0
			}
			in.call.Infos = append(in.call.Infos, info)
			return 1
		}},
		{"host_read_str_result", "ptr len", "1 if it was taken", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			b := in.bytes(a[0], min(a[1], 2+maxName))
			if b == nil || in.call == nil {
				return 0
			}
			r := fields{b: b}
			s := r.str()
			if r.bad || len(s) > maxName {
				in.spoil(ErrResult)
				return 0
			}
			in.call.Name = s
			return 1
		}},
	}
}

// maxName bounds a protocol's name. DeepFlow's SDK cuts at 16 bytes.
const maxName = 64

// into makes a call that writes a structure into the guest's buffer.
func into(write func(*Message, []byte) int) func(*Instance, []uint64) uint64 {
	return func(in *Instance, a []uint64) uint64 {
		in.crossing()
		b := in.bytes(a[0], a[1])
		if b == nil || in.call == nil {
			return 0
		}
		return i32(write(in.call, b))
	}
}

func readPayload(in *Instance, a []uint64) uint64 {
	in.crossing()
	b := in.bytes(a[0], a[1])
	if b == nil || in.call == nil || len(b) < len(in.call.Payload) {
		return i32(-1)
	}
	return i32(copy(b, in.call.Payload))
}
