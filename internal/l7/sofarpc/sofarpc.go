// Package sofarpc reads Bolt, the protocol of SOFARPC: the service and the method
// stand in its header map, whatever the serialisation; where the method does not,
// it is read from the request.
package sofarpc

import (
	"bytes"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Bolt, versions 1 and 2.
var Protocol = &l7.Protocol{
	Name:      "sofarpc",
	Transport: l7.TCP,
	Ports:     []uint16{12200},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:   "rpc.method",
		Code: "rpc.response.status_code",
	},
	Attrs:  []l7.Attr{{Key: "rpc.system.name", Str: "sofarpc"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	// maxBody bounds what is believed of a length.
	maxBody = 256 << 20
	// look is how much of class name and headers is looked at.
	look = 16 << 10
)

type parser struct{ opts *l7.Options }

// head is a header, https://github.com/sofastack/sofa-bolt/blob/master/src/main/java/com/alipay/remoting/rpc/protocol/RpcProtocolV2.java
type head struct {
	typ     byte // 0 answer, 1 request, 2 one-way
	command uint16
	id      uint32
	codec   byte
	status  uint16
	class   int
	headers int
	size    int
	total   int
}

// Commands.
const (
	heartbeat = 0
	request   = 1
	response  = 2
)

// codecs by number.
const hessian = 1

var codecs = map[byte]string{hessian: "hessian2", 11: "protobuf", 12: "json", 13: "xml"}

func readHead(b []byte) (h head, ok, more bool) {
	c := l7.NewCursor(b)
	v := c.U8()
	if len(b) > 0 && v != 1 && v != 2 {
		return h, false, false
	}
	if v == 2 {
		if one := c.U8(); one != 1 && one != 2 && !c.Short() {
			return h, false, false
		}
	}
	h.typ, h.command = c.U8(), c.U16()
	ver := c.U8()
	if !c.Short() && (h.typ > 2 || h.command > response || ver != 1 || h.command != heartbeat && (h.command == response) != (h.typ == 0)) {
		return h, false, false
	}
	h.id, h.codec = c.U32(), c.U8()
	crc := 0
	if v == 2 {
		crc = int(c.U8())
		if crc > 1 {
			return h, false, false
		}
	}
	if h.typ == 0 {
		h.status = c.U16()
	} else {
		c.Skip(4) // time-out
	}
	h.class, h.headers = int(c.U16()), int(c.U16())
	body := int(c.U32())
	if c.Short() {
		return h, false, true
	}
	if _, known := codecs[h.codec]; !known || body > maxBody || h.command == request && h.class == 0 || h.status > 18 {
		return h, false, false
	}
	h.size = len(b) - c.Len()
	h.total = h.size + h.class + h.headers + body + 4*crc
	return h, true, false
}

func detect(b []byte) l7.Verdict {
	h, ok, more := readHead(b)
	switch {
	case more && len(b) > 0:
		return l7.More
	case len(b) == 0:
		return l7.More
	case !ok:
		return l7.No
	case h.command == heartbeat:
		return l7.Either
	}
	// The class is a name.
	name := b[h.size:min(len(b), h.size+min(h.class, 128))]
	if len(name) < min(h.class, 8) {
		return l7.More
	}
	for _, x := range name {
		if x <= 0x20 || x >= 0x7f {
			return l7.No
		}
	}
	if h.typ == 0 {
		return l7.Response
	}
	return l7.Request
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	h, ok, more := readHead(w.B)
	switch {
	case more:
		return 0, l7.ErrMore
	case !ok:
		return 0, l7.ErrLost
	case h.command == heartbeat, (h.typ == 0) != (side == l7.Server):
		return h.total, l7.ErrSkip // or a callback
	}
	front := h.size + h.class + h.headers
	if len(w.B) < min(h.total, front+bodyLook, look) && !w.End {
		return 0, l7.ErrMore
	}
	var body []byte
	if front < len(w.B) && h.codec == hessian {
		body = w.B[front:min(len(w.B), h.total, front+bodyLook)]
	}
	m.Stream = uint64(h.id)
	if h.typ == 0 {
		m.Type = l7.TypeResponse
		status(m, h.status)
		if c, ok := firstField(body, "com.alipay.sofa.rpc.core.response.SofaResponse", "isError"); ok && h.status == 0 && c.U8() == 'T' {
			m.Status, m.Error = l7.StatusServerError, "RPC_ERROR"
		}
		return h.total, nil
	}
	if h.typ == 2 {
		m.Type = l7.TypeOneWay
	}
	var b [10]byte
	m.Session = m.Text.Copy(strconv.AppendUint(b[:0], uint64(h.id), 10))
	m.Add("hopscope.rpc.serialization", codecs[h.codec])
	if start := h.size + h.class; start < len(w.B) {
		p.headers(w.B[start:min(len(w.B), front, look)], body, m)
	}
	return h.total, nil
}

// headers reads the map: lengths of four bytes, names, values. Where it does not
// name the method the body does.
func (p *parser) headers(b, body []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	var service, method []byte
	var sofa l7.Trace
	for c.Len() > 0 {
		k := c.Take(int(c.U32()))
		v := c.Take(int(c.U32()))
		if c.Short() {
			break
		}
		switch l7.View(k) {
		case "sofa_head_target_service", "service": // the latter is how SOFARPC for Node.js says it
			service = v
		case "sofa_head_method_name":
			method = v
		case "new_rpc_trace_context": // tcid=<trace>&spid=<span>&...
			for _, kv := range bytes.Split(v, []byte("&")) {
				switch n, id, _ := bytes.Cut(kv, []byte("=")); l7.View(n) {
				case "tcid":
					sofa.TraceID = m.Text.Copy(id)
				case "spid":
					sofa.SpanID = m.Text.Copy(id)
				}
			}
		case "rpc_trace_context.sofaTraceId":
			sofa.TraceID = m.Text.Copy(v)
		case "rpc_trace_context.sofaRpcId":
			sofa.SpanID = m.Text.Copy(v)
		default:
			p.opts.Header(m, k, v)
		}
	}
	if len(method) == 0 {
		if c, ok := firstField(body, "com.alipay.sofa.rpc.core.request.SofaRequest", "methodName"); ok {
			if method = text(&c); c.Short() {
				method = nil
			}
		}
	}
	if len(service) > 0 && len(method) > 0 {
		m.Op = m.Text.Join(l7.View(service), "/", l7.View(method))
	}
	if m.Trace.TraceID == "" && sofa.TraceID != "" {
		m.Trace.Format, m.Trace.TraceID, m.Trace.SpanID = l7.FormatCustom, sofa.TraceID, sofa.SpanID
	}
}

// status is com.alipay.remoting.ResponseStatus.
func status(m *l7.Message, s uint16) {
	m.Code = m.Text.Copy(strconv.AppendUint(nil, uint64(s), 10))
	m.Status = l7.StatusServerError
	switch s {
	case 0:
		m.Status = l7.StatusOK
	case 1:
		m.Error = "ERROR"
	case 2:
		m.Error = "SERVER_EXCEPTION"
	case 4:
		m.Error = "SERVER_THREADPOOL_BUSY"
	case 5:
		m.Error = "ERROR_COMM"
	case 6:
		m.Error = "NO_PROCESSOR"
	case 7:
		m.Error = "TIMEOUT"
	case 8:
		m.Status, m.Error = l7.StatusClientError, "CLIENT_SEND_ERROR"
	case 9:
		m.Error = "CODEC_EXCEPTION"
	case 16:
		m.Error = "CONNECTION_CLOSED"
	case 17:
		m.Error = "SERVER_SERIAL_EXCEPTION"
	case 18:
		m.Error = "SERVER_DESERIAL_EXCEPTION"
	default:
		m.Error = "UNKNOWN"
	}
}

// Resync keeps nothing, since nothing is kept.
func (p *parser) Resync(l7.Side) {}

// Find is where a header of side starts.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i < len(b); i++ {
		if b[i] != 1 && b[i] != 2 {
			continue
		}
		if v := detect(b[i:]); v == l7.Either && i == 0 || v == l7.Request && side == l7.Client || v == l7.Response && side == l7.Server {
			return i
		}
	}
	return -1
}
