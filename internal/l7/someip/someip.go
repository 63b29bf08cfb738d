// Package someip reads SOME/IP, over UDP and TCP: service and method by number.
package someip

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is SOME/IP.
var Protocol = &l7.Protocol{
	Name:      "someip",
	Transport: l7.TCP | l7.UDP,
	Ports:     []uint16{30490},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:   "rpc.method",
		Code: "rpc.response.status_code",
	},
	Attrs:  []l7.Attr{{Key: "rpc.system.name", Str: "someip"}},
	Detect: detect,
	New:    func(*l7.Options) l7.Parser { return parser{} },
}

const (
	headSize = 16
	// maxLength bounds what is believed of a length.
	maxLength = 16 << 20
)

// Message types, https://www.autosar.org/fileadmin/standards/R22-11/FO/AUTOSAR_PRS_SOMEIPProtocol.pdf 4.1.2.
const (
	request      = 0x00
	noReturn     = 0x01
	notification = 0x02
	response     = 0x80
	failure      = 0x81
	segment      = 0x20 // SOME/IP-TP: a part of a message
)

type parser struct{}

type head struct {
	service, method, client, session uint16
	version, typ, code               byte
	total                            int
}

func read(b []byte) (h head, ok bool) {
	c := l7.NewCursor(b)
	h.service, h.method = c.U16(), c.U16()
	size := c.U32()
	h.client, h.session = c.U16(), c.U16()
	proto := c.U8()
	h.version, h.typ, h.code = c.U8(), c.U8(), c.U8()
	if len(b) >= 8 && (size < 8 || size > maxLength) {
		return h, false
	}
	h.total = 8 + int(size)
	if len(b) >= 13 && proto != 1 {
		return h, false
	}
	if len(b) >= headSize {
		switch h.typ &^ segment {
		case request, noReturn, notification:
			ok = h.code == 0
		case response, failure:
			ok = h.code <= 0x5e
		}
		return h, ok
	}
	return h, true
}

func detect(b []byte) l7.Verdict {
	h, ok := read(b)
	switch {
	case !ok:
		return l7.No
	case len(b) < headSize:
		return l7.More
	case h.total > len(b): // only whole messages are believed: there is no magic
		if h.total <= 2<<10 {
			return l7.More
		}
		return l7.No
	case h.service == 0 || h.session == 0 && h.typ&^segment != notification || h.total < len(b) && !follows(b[h.total:]):
		return l7.No
	}
	switch h.typ &^ segment {
	case request, noReturn:
		return l7.Request
	}
	return l7.Response // notifications come from the server of the event
}

func follows(b []byte) bool {
	_, ok := read(b)
	return ok
}

func (parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	h, ok := read(w.B)
	switch {
	case !ok:
		return 0, l7.ErrLost
	case len(w.B) < headSize:
		return 0, l7.ErrMore
	}
	if h.typ&segment != 0 && len(w.B) >= headSize+4 && w.B[headSize]|w.B[headSize+1]|w.B[headSize+2]|w.B[headSize+3]&0xf0 != 0 {
		return h.total, l7.ErrSkip // not the first part
	}
	m.Stream = uint64(h.service)<<48 | uint64(h.method)<<32 | uint64(h.client)<<16 | uint64(h.session)
	switch typ := h.typ &^ segment; {
	case typ == notification || h.service == 0xffff: // an event, or service discovery
		m.Type = l7.TypeOneWay
		m.Op = name(m.Text, &h)
		if typ == notification && h.service != 0xffff {
			m.Flow = l7.FlowDeliver
		}
	case (typ == request || typ == noReturn) != (side == l7.Client):
		return h.total, l7.ErrSkip
	case typ == request || typ == noReturn:
		if typ == noReturn {
			m.Type = l7.TypeOneWay
		}
		m.Op = name(m.Text, &h)
		var b [5]byte
		m.Session = m.Text.Copy(strconv.AppendUint(b[:0], uint64(h.session), 10))
	default:
		m.Type = l7.TypeResponse
		status(m, &h)
	}
	return h.total, nil
}

// name is service/method in hex, as their specifications have them.
func name(t *l7.Text, h *head) string {
	if h.service == 0xffff && h.method == 0x8100 {
		return "SD"
	}
	const hex = "0123456789abcdef"
	return t.Build(13, func(d []byte) int {
		copy(d, "0x0000/0x0000")
		for i, v := range [...]uint16{h.service, h.method} {
			for k := range 4 {
				d[7*i+5-k] = hex[v>>(4*k)&15]
			}
		}
		return 13
	})
}

// status is the return code, 4.2.6.1.
func status(m *l7.Message, h *head) {
	var b [3]byte
	m.Code = m.Text.Copy(strconv.AppendUint(b[:0], uint64(h.code), 10))
	codes := [...]string{"E_OK", "E_NOT_OK", "E_UNKNOWN_SERVICE", "E_UNKNOWN_METHOD", "E_NOT_READY", "E_NOT_REACHABLE", "E_TIMEOUT",
		"E_WRONG_PROTOCOL_VERSION", "E_WRONG_INTERFACE_VERSION", "E_MALFORMED_MESSAGE", "E_WRONG_MESSAGE_TYPE"}
	switch {
	case h.code == 0 && h.typ&^segment == response:
		m.Status = l7.StatusOK
		return
	case h.code == 2, h.code == 3, h.code >= 7 && h.code <= 10:
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusServerError
	}
	if int(h.code) < len(codes) {
		m.Error = codes[h.code]
	}
}

// Resync keeps nothing, since nothing is kept.
func (parser) Resync(l7.Side) {}
