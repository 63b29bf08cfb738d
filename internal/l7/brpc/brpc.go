// Package brpc reads baidu_std, the protocol that bRPC speaks by default.
package brpc

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is bRPC's baidu_std.
var Protocol = &l7.Protocol{
	Name:      "brpc",
	Transport: l7.TCP,
	Ports:     []uint16{8000},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:   "rpc.method",
		Code: "rpc.response.status_code",
	},
	Attrs:  []l7.Attr{{Key: "rpc.system.name", Str: "brpc"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return parser{} },
}

const (
	headSize = 12
	maxBody  = 256 << 20 // bRPC's max_body_size is 64 MiB unless configured
	maxMeta  = 16 << 10  // names and ids
	maxText  = 512       // of an error
)

type parser struct{}

// read reads the head: magic, size of the body, size of the meta data that the
// body begins with.
func read(b []byte) (total, meta int, ok bool) {
	for i := range min(4, len(b)) {
		if b[i] != "PRPC"[i] && b[i] != "STRM"[i] || (b[i] == "STRM"[i]) != (b[0] == 'S') {
			return 0, 0, false
		}
	}
	c := l7.NewCursor(b)
	c.Skip(4)
	size, m := c.U32(), c.U32()
	if !c.Short() && (size > maxBody || m > size || m > maxMeta) {
		return 0, 0, false
	}
	return headSize + int(size), int(m), true
}

// meta is what RpcMeta says,
// https://github.com/apache/brpc/blob/master/src/brpc/policy/baidu_rpc_meta.proto.
type meta struct {
	request, response   bool
	service, method     []byte
	requestID           []byte
	logID, trace, span  uint64
	parent, correlation uint64
	code                int32
	text                []byte
}

func readMeta(b []byte) (m meta, ok bool) {
	inner := true
	ok = l7.ProtoFields(b, func(num int, v uint64, s []byte) {
		switch num {
		case 1:
			m.request = true
			inner = inner && l7.ProtoFields(s, func(num int, v uint64, s []byte) {
				switch num {
				case 1:
					m.service = s
				case 2:
					m.method = s
				case 3:
					m.logID = v
				case 4:
					m.trace = v
				case 5:
					m.span = v
				case 6:
					m.parent = v
				case 7:
					m.requestID = s
				}
			})
		case 2:
			m.response = true
			inner = inner && l7.ProtoFields(s, func(num int, v uint64, s []byte) {
				switch num {
				case 1:
					m.code = int32(v)
				case 2:
					m.text = s
				}
			})
		case 4:
			m.correlation = v
		}
	})
	return m, ok && inner && m.request != m.response
}

func detect(b []byte) l7.Verdict {
	total, size, ok := read(b)
	switch {
	case !ok:
		return l7.No
	case len(b) < headSize || len(b) < min(total, headSize+size, 1<<10):
		return l7.More
	case b[0] == 'S':
		return l7.No // a stream's frame says nothing about sides
	}
	m, ok := readMeta(b[headSize:min(len(b), headSize+size)])
	switch {
	case !ok:
		return l7.No
	case m.request:
		return l7.Request
	}
	return l7.Response
}

func (parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	total, size, ok := read(w.B)
	switch {
	case !ok:
		return 0, l7.ErrLost
	case len(w.B) < headSize:
		return 0, l7.ErrMore
	case w.B[0] == 'S':
		return total, l7.ErrSkip
	case len(w.B) < headSize+size:
		if w.End {
			return total, l7.ErrSkip
		}
		return 0, l7.ErrMore
	}
	x, ok := readMeta(w.B[headSize : headSize+size])
	if !ok || x.request != (side == l7.Client) {
		return total, l7.ErrSkip
	}
	m.Stream = x.correlation
	if x.response {
		m.Type = l7.TypeResponse
		m.Status, m.Code = l7.StatusOK, "0"
		if x.code != 0 {
			m.Status = l7.StatusServerError
			m.Code = m.Text.Copy(strconv.AppendInt(nil, int64(x.code), 10))
			m.Error = m.Text.Copy(x.text[:min(len(x.text), maxText)])
		}
		return total, nil
	}
	m.Op = m.Text.Join(l7.View(x.service), "/", l7.View(x.method))
	decimal := func(v uint64) string {
		var b [20]byte
		return m.Text.Copy(strconv.AppendUint(b[:0], v, 10))
	}
	m.Session = decimal(x.correlation)
	if x.trace != 0 {
		m.Trace.Format, m.Trace.TraceID = l7.FormatCustom, hex(m.Text, x.trace)
		m.Trace.SpanID = hex(m.Text, x.span)
		if x.parent != 0 {
			m.Trace.ParentSpanID = hex(m.Text, x.parent)
		}
	}
	switch {
	case len(x.requestID) > 0:
		m.Trace.RequestID = m.Text.Copy(x.requestID)
	case x.logID != 0:
		m.Trace.RequestID = decimal(x.logID)
	}
	return total, nil
}

// hex is how bRPC's rpcz prints ids.
func hex(t *l7.Text, v uint64) string {
	var b [16]byte
	return t.Copy(strconv.AppendUint(b[:0], v, 16))
}

// Resync keeps nothing, since nothing is kept.
func (parser) Resync(l7.Side) {}

// Find is where a message of side starts.
func (parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+headSize <= len(b); i++ {
		if b[i] != 'P' {
			continue
		}
		if v := detect(b[i:]); v == l7.Request && side == l7.Client || v == l7.Response && side == l7.Server || v == l7.More && i == 0 {
			return i
		}
	}
	return -1
}
