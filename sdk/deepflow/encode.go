package deepflow

import "encoding/binary"

// record writes the message after its two-byte length, in protobuf (AppInfo).
func (i *L7ProtocolInfo) record(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 'P', 'B')
	if i.ReqLen != nil {
		b = number(b, 1, uint64(uint32(*i.ReqLen)))
	}
	if i.RespLen != nil {
		b = number(b, 2, uint64(uint32(*i.RespLen)))
	}
	if i.RequestID != nil {
		b = number(b, 3, uint64(*i.RequestID))
	}
	switch {
	case i.Req != nil:
		r := i.Req
		b = message(b, 10, strings(nil, r.Version, r.ReqType, r.Domain, r.Resource, r.Endpoint))
	case i.Resp != nil:
		r := i.Resp
		m := number(nil, 1, uint64(r.Status))
		if r.Code != nil {
			m = number(m, 2, uint64(int64(*r.Code)))
		}
		b = message(b, 11, strings(m, "", "", r.Exception, r.Result, r.ReqType, r.Endpoint))
	}
	if t := i.Trace; t != nil {
		m := strings(nil, t.TraceID, t.SpanID, t.ParentSpanID, t.XRequestID, t.HttpProxyClient)
		for _, id := range t.TraceIDs {
			m = text(m, 6, id)
		}
		b = message(b, 12, m)
	}
	b = text(b, 13, i.L7ProtocolStr)
	for _, f := range [...]struct {
		field uint64
		v, is bool
	}{{21, i.IsEnd, i.ProtocolMerge}, {22, true, i.IsAsync}, {23, true, i.IsReversed}} {
		if f.is {
			v := uint64(0)
			if f.v {
				v = 1
			}
			b = number(b, f.field, v)
		}
	}
	for _, kv := range i.Kv {
		b = message(b, 31, strings(nil, kv.Key, kv.Val))
	}
	if i.BizType != 0 {
		b = number(b, 32, uint64(i.BizType))
	}
	b = text(text(text(b, 33, i.BizCode), 34, i.BizScenario), 35, i.BizResponseCode)
	n := len(b) - start - 2
	if n > 1<<16-1 {
		return b[:start] // the host would refuse it
	}
	binary.BigEndian.PutUint16(b[start:], uint16(n))
	return b
}

func number(b []byte, field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, field<<3), v)
}

func message(b []byte, field uint64, m []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, field<<3|2), uint64(len(m)))
	return append(b, m...)
}

// text leaves out what is empty.
func text(b []byte, field uint64, s string) []byte {
	if s == "" {
		return b
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, field<<3|2), uint64(len(s)))
	return append(b, s...)
}

// strings writes the fields from 1 on.
func strings(b []byte, list ...string) []byte {
	for i, s := range list {
		b = text(b, uint64(i+1), s)
	}
	return b
}
