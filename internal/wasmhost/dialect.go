package wasmhost

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Limits of one result, each far above what plugins write.
const (
	maxResult  = 64 << 10 // bytes per hand-over: the buffer of DeepFlow's SDK
	maxRecords = 64       // records per hand-over
	maxAttrs   = 256      // attributes per record
	maxTraces  = 64       // further trace ids per record
)

// Errors of results.
var (
	errRecord  = errors.New("result record is cut off")
	errDialect = errors.New("result is in no known dialect")
	errMany    = errors.New("result has too many parts")
)

// Decode reads a hand-over: records with a two-byte length before each. A partial
// record makes the whole wrong.
func Decode(b []byte, dir Direction) ([]Info, error) {
	if len(b) > maxResult {
		return nil, errMany
	}
	var out []Info
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, errRecord
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > len(b)-2 {
			return nil, errRecord
		}
		if len(out) == maxRecords {
			return nil, errMany
		}
		info, err := decodeRecord(b[2:2+n], dir)
		if err != nil {
			return nil, err
		}
		out = append(out, info)
		b = b[2+n:]
	}
	if out == nil {
		return nil, errRecord
	}
	return out, nil
}

// layout is which of the later parts a legacy record has.
type layout struct {
	dialect              Dialect
	protocol, merge, biz bool
}

func decodeRecord(b []byte, dir Direction) (Info, error) {
	if len(b) >= 2 && b[0] == 'P' && b[1] == 'B' {
		return decodeProto(b[2:])
	}
	// The newest first. A record that two layouts could read whole is as good as
	// unheard of: flags are 0 or 1, and every length has to fit.
	for _, l := range [...]layout{{L3, true, true, true}, {L2, false, true, true}, {L1, false, true, false}, {L0, false, false, false}} {
		if info, ok := decodeLegacy(b, dir, l); ok {
			return info, nil
		}
	}
	return Info{}, errDialect
}

func decodeLegacy(b []byte, dir Direction, l layout) (info Info, ok bool) {
	r := fields{b: b}
	info.Dialect = l.dialect
	info.ReqLen, info.RespLen = r.optLen(), r.optLen()
	if r.flag() {
		id := r.u32()
		info.RequestID = &id
	}
	if dir == ToServer {
		info.Req = &Request{Type: r.str(), Endpoint: r.str(), Domain: r.str(), Resource: r.str()}
	} else {
		s := Status(r.u8())
		info.Resp = &Response{Status: &s}
		if r.flag() {
			c := int32(r.u32())
			info.Resp.Code = &c
		}
		info.Resp.Result, info.Resp.Exception = r.str(), r.str()
	}
	if l.protocol {
		info.Protocol = r.str()
	}
	if l.merge {
		m := r.u8()
		r.bad = r.bad || m&^0x81 != 0
		if m&0x80 != 0 {
			end := m&1 != 0
			info.IsEnd = &end
		}
	}
	tail := 0
	if l.biz {
		tail = 1
	}
	info.Trace = r.trace()
	if r.flag() {
		info.Attrs = r.pairs(tail)
	}
	if l.biz {
		info.BizType = uint32(r.u8())
	}
	return info, !r.bad && len(r.b) == 0
}

// DecodeHTTPResult reads what plugins of 2023-04 hand over for HTTP: ids, then
// attributes to the end.
func DecodeHTTPResult(b []byte) (Info, error) {
	if len(b) > maxResult {
		return Info{}, errMany
	}
	for _, flagged := range [...]bool{true, false} {
		r := fields{b: b}
		info := Info{Dialect: L0, Trace: r.trace()}
		if !flagged || r.flag() {
			info.Attrs = r.pairs(0)
		}
		if !r.bad && len(r.b) == 0 {
			return info, nil
		}
	}
	return Info{}, errDialect
}

// fields reads big-endian fields. After a read past the end, or of a flag that is
// neither 0 nor 1, bad is set and all is zero.
type fields struct {
	b   []byte
	bad bool
}

func (r *fields) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *fields) u8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *fields) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *fields) flag() bool {
	f := r.u8()
	r.bad = r.bad || f > 1
	return f == 1 && !r.bad
}

// optLen reads a length whose highest bit says that it is there.
func (r *fields) optLen() *uint32 {
	v := r.u32()
	if v&(1<<31) == 0 {
		r.bad = r.bad || v != 0
		return nil
	}
	v &^= 1 << 31
	return &v
}

func (r *fields) str() string {
	n := 0
	if p := r.take(2); p != nil {
		n = int(binary.BigEndian.Uint16(p))
	}
	return text(r.take(n))
}

func (r *fields) trace() *Trace {
	if !r.flag() {
		return nil
	}
	return &Trace{TraceID: r.str(), SpanID: r.str(), ParentSpanID: r.str()}
}

// pairs reads attributes until tail bytes are left.
func (r *fields) pairs(tail int) (out []KeyVal) {
	for len(r.b) > tail && !r.bad {
		if len(out) == maxAttrs {
			r.bad = true
			return nil
		}
		out = append(out, KeyVal{r.str(), r.str()})
	}
	return out
}

// text copies bytes of a guest; what is not UTF-8 is replaced.
func text(b []byte) string {
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
