package wasmhost

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errProto = errors.New("protobuf of the result is malformed")

// message calls f with each field. A varint is given as v, bytes as b; other wire
// types are passed over.
func message(b []byte, f func(num protowire.Number, v uint64, b []byte) bool) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errProto
		}
		b = b[n:]
		var v uint64
		var p []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			p, n = protowire.ConsumeBytes(b)
			if p == nil && n > 0 {
				p = []byte{}
			}
		default:
			if n = protowire.ConsumeFieldValue(num, typ, b); n >= 0 {
				b = b[n:]
				continue
			}
		}
		if n < 0 || !f(num, v, p) {
			return errProto
		}
		b = b[n:]
	}
	return nil
}

func decodeProto(b []byte) (Info, error) {
	info := Info{Dialect: PB}
	var inner error
	sub := func(b []byte, f func(protowire.Number, uint64, []byte) bool) bool {
		if b == nil {
			return false
		}
		inner = message(b, f)
		return inner == nil
	}
	err := message(b, func(num protowire.Number, v uint64, p []byte) bool {
		switch num {
		case 1, 2, 3:
			if p != nil {
				return false
			}
			n := uint32(v)
			*[...]**uint32{&info.ReqLen, &info.RespLen, &info.RequestID}[num-1] = &n
		case 10:
			q := &Request{}
			info.Req, info.Resp = q, nil // one of the two: the last
			return sub(p, strings5(&q.Version, &q.Type, &q.Domain, &q.Resource, &q.Endpoint))
		case 11:
			q := &Response{}
			info.Resp, info.Req = q, nil
			return sub(p, q.field)
		case 12:
			q := &Trace{}
			info.Trace = q
			return sub(p, q.field)
		case 13:
			return str(&info.Protocol, p)
		case 21:
			end := v != 0
			info.IsEnd = &end
			return p == nil
		case 22:
			info.IsAsync = v != 0
			return p == nil
		case 23:
			info.IsReversed = v != 0
			return p == nil
		case 31:
			if len(info.Attrs) == maxAttrs {
				return false
			}
			var kv KeyVal
			if !sub(p, strings5(&kv.Key, &kv.Val, nil, nil, nil)) {
				return false
			}
			info.Attrs = append(info.Attrs, kv)
		case 32:
			info.BizType = uint32(v)
			return p == nil
		case 33:
			return str(&info.BizCode, p)
		case 34:
			return str(&info.BizScenario, p)
		case 35:
			return str(&info.BizRespCode, p)
		}
		return true
	})
	return info, err
}

func (q *Response) field(num protowire.Number, v uint64, p []byte) bool {
	switch num {
	case 1:
		s := Status(min(v, 255))
		q.Status = &s
		return p == nil
	case 2:
		c := int32(v)
		q.Code = &c
		return p == nil
	case 3:
		return str(&q.Exception, p)
	case 4:
		return str(&q.Result, p)
	case 5:
		return str(&q.Type, p)
	case 6:
		return str(&q.Endpoint, p)
	}
	return true
}

func (q *Trace) field(num protowire.Number, v uint64, p []byte) bool {
	if num == 6 {
		if p == nil || len(q.TraceIDs) == maxTraces {
			return false
		}
		q.TraceIDs = append(q.TraceIDs, text(p))
		return true
	}
	return strings5(&q.TraceID, &q.SpanID, &q.ParentSpanID, &q.RequestID, &q.ProxyClient)(num, v, p)
}

// strings5 reads the string fields 1 to 5.
func strings5(to ...*string) func(protowire.Number, uint64, []byte) bool {
	return func(num protowire.Number, _ uint64, p []byte) bool {
		if i := int(num) - 1; i < len(to) && to[i] != nil {
			return str(to[i], p)
		}
		return true
	}
}

func str(to *string, p []byte) bool {
	if p == nil {
		return false
	}
	*to = text(p)
	return true
}
