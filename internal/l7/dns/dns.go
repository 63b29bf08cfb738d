// Package dns reads DNS (RFC 1035) in datagrams and on streams, and multicast
// DNS (RFC 6762) as what nobody answers directly.
package dns

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is DNS.
var Protocol = &l7.Protocol{
	Name:      "dns",
	Transport: l7.UDP | l7.TCP,
	Ports:     []uint16{53, 5353, 5355},
	Pairing:   l7.ByStream,
	Keys:      keys,
	MaxWindow: 2 + 0xffff + 1,
	Detect:    detect,
	New:       func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

var keys = l7.Keys{
	Op:      "dns.question.type",
	Target:  "dns.question.name",
	Code:    "dns.response_code",
	CodeInt: true,
	Session: "hopscope.session.request_id",
}

// multicast is what its messages are reported as.
var multicast = &l7.Protocol{Name: "mdns", Transport: l7.UDP, Ports: []uint16{5353}, Pairing: l7.ByStream, Keys: keys}

const (
	headerLen = 12
	// maxListed is from which size on a message on a stream is not waited for:
	// its answers are left out. Larger ones are zone transfers.
	maxListed = 4 << 10
	// maxAnswers bounds dns.answers.
	maxAnswers = 8
	// maxRecords bounds the records that are walked: more do not fit into what is
	// listed.
	maxRecords = maxListed / 11
)

// framing of a connection.
type framing uint8

const (
	unknown framing = iota
	datagrams
	stream // each message has its length before it
)

type parser struct {
	opt     *l7.Options
	framing framing
}

// Resync implements l7.Resyncer: there is no state that a hole makes wrong.
func (p *parser) Resync(l7.Side) {}

// Parse implements l7.Parser.
func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if p.framing == unknown {
		switch {
		case header(b, false) >= l7.Request:
			p.framing = datagrams
		case len(b) >= 2+headerLen && header(b[2:], false) >= l7.Request:
			p.framing = stream
		case w.End:
			return 0, l7.ErrLost
		default:
			return 0, l7.ErrMore
		}
	}
	if p.framing == datagrams {
		return taken(len(b), p.message(side, b, m))
	}
	if len(b) < 2+headerLen {
		return 0, l7.ErrMore
	}
	n := int(b[0])<<8 | int(b[1])
	if n < headerLen {
		return 0, l7.ErrLost
	}
	body := b[2:min(len(b), 2+n)]
	if len(body) < n && !w.End && n <= maxListed {
		return 0, l7.ErrMore
	}
	if n > maxListed {
		// Only the question is read, so that the answer is the same wherever the
		// window ends.
		q, ok := question(body)
		if !ok && len(body) < n && len(body) < 512 && !w.End {
			return 0, l7.ErrMore
		}
		if ok {
			body = body[:q.end]
		}
	}
	return taken(2+n, p.message(side, body, m))
}

// taken is n, unless err says that nothing is.
func taken(n int, err error) (int, error) {
	if err == l7.ErrLost {
		return 0, err
	}
	return n, err
}

// Header fields.
const (
	flagResponse  = 0x8000
	flagTruncated = 0x0200
	flagReserved  = 0x0040
)

func u16(b []byte, i int) int { return int(b[i])<<8 | int(b[i+1]) }

// message reads what there is of one message.
func (p *parser) message(side l7.Side, b []byte, m *l7.Message) error {
	if len(b) < headerLen {
		return l7.ErrLost
	}
	id, flags := u16(b, 0), u16(b, 2)
	response := flags&flagResponse != 0
	if flags&flagReserved != 0 || flags>>11&15 > 6 {
		return l7.ErrLost
	}
	if response != (side == l7.Server) {
		return l7.ErrSkip // the other end asks, too, or tells everybody
	}
	m.Stream = uint64(id)
	m.Session = decimal(m.Text, id)
	q, ok := question(b)
	if ok && netbios(b, &q) {
		return l7.ErrLost
	}
	if ok {
		p.ask(b, &q, flags, m)
		// Resolvers ask for recursion; who asks everybody has no flags at all.
		if flags == 0 && p.framing == datagrams && (id == 0 || local(b, &q)) {
			m.As, m.Type = multicast, l7.TypeOneWay
			m.Session = ""
			return nil
		}
	} else if !response {
		return l7.ErrLost
	}
	if !response {
		return nil
	}
	m.Type = l7.TypeResponse
	code := flags & 15
	upper, whole := 0, u16(b, 4) == 0
	if ok {
		upper, whole = p.records(b, &q, m)
		code |= upper
	}
	if !whole && code == 0 && u16(b, 6) == 0 {
		return nil // the upper bits may say otherwise
	}
	m.Code = decimal(m.Text, code)
	switch code {
	case 0:
		m.Status = l7.StatusOK
	case 1, 3: // a malformed question, a name that does not exist
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusServerError
	}
	if code != 0 {
		m.Error = rcode(code)
	}
	return nil
}

// ask says what is asked.
func (p *parser) ask(b []byte, q *asked, flags int, m *l7.Message) {
	t := typeOf(q.typ)
	m.Op = t.name
	m.Name = t.span
	if t.name == "" {
		m.Op = m.Text.Join("TYPE", decimal(m.Text, q.typ))
		m.Name = "DNS"
	}
	switch flags >> 11 & 15 {
	case 4:
		m.Name = "DNS NOTIFY"
	case 5:
		m.Name = "DNS UPDATE"
	case 2:
		m.Name = "DNS STATUS"
	}
	m.Target = m.Text.Build(maxText, func(dst []byte) int {
		n, _ := name(dst, b, headerLen)
		return n
	})
}

// local: a name of multicast DNS.
func local(b []byte, q *asked) bool {
	const suffix = "\x05local\x00"
	end := q.end - 4
	return end-len(suffix) >= headerLen && string(b[end-len(suffix):end]) == suffix ||
		q.class&0x8000 != 0 // "answer me alone"
}

// detect implements Protocol.Detect.
func detect(head []byte) l7.Verdict {
	if v := header(head, true); v != l7.No {
		return v
	}
	if len(head) < 2 {
		return l7.More
	}
	n := u16(head, 0)
	if n < headerLen+5 {
		return l7.No
	}
	if len(head) >= 6 && !flagsOK(u16(head, 4)) || len(head) >= 8 && u16(head, 6) > 16 {
		return l7.No
	}
	if len(head) < 2+headerLen+5 {
		return l7.More
	}
	return header(head[2:min(len(head), 2+n)], n <= len(head)-2)
}

// header is the strict look at a message: flags and counts in their bounds, a
// question that is well-formed, and records as far as they are there. whole:
// b is all of the message.
func header(b []byte, whole bool) l7.Verdict {
	if len(b) < headerLen {
		return l7.No
	}
	flags := u16(b, 2)
	opcode, response := flags>>11&15, flags&flagResponse != 0
	qd, an, ns, ar := u16(b, 4), u16(b, 6), u16(b, 8), u16(b, 10)
	switch {
	case !flagsOK(flags), qd > 16, an > 1024, ns > 256, ar > 256:
		return l7.No
	case !response && opcode == 0 && (an > 256 || qd == 0):
		return l7.No
	case qd == 0 && (!response || an == 0):
		return l7.No
	}
	i := headerLen
	for k := range qd {
		q, ok := questionAt(b, i)
		if !ok {
			if !whole && len(b) < headerLen+255+4 && k == 0 {
				return l7.More
			}
			return l7.No
		}
		if !q.plausible() || k == 0 && netbios(b, &q) {
			return l7.No
		}
		i = q.end
	}
	for k := range min(an+ns+ar, maxRecords) {
		r, ok := recordAt(b, i)
		if !ok {
			// Cut by the capture, or not DNS: after a question that was right, and
			// enough of the rest, it is.
			if qd == 0 && k == 0 || whole && i == len(b) && flags&flagTruncated == 0 && k == 0 && !response && an+ns > 0 {
				return l7.No
			}
			break
		}
		i = r.end
	}
	if response {
		return l7.Response
	}
	return l7.Request
}

// flagsOK: an opcode that there is, the reserved bit clear, and in a question no
// result and no word on recursion.
func flagsOK(flags int) bool {
	opcode := flags >> 11 & 15
	return flags&flagReserved == 0 && opcode != 3 && opcode <= 6 &&
		(flags&flagResponse != 0 || flags&0x8f == 0 || opcode == 5)
}

// netbios: the names of NetBIOS, whose name service looks like DNS (RFC 1002).
// Of its two types DNS never had use for 32 (NIMLOC), while 33 is SRV here.
func netbios(b []byte, q *asked) bool {
	if q.typ != 32 && q.typ != 33 || headerLen+33 > len(b) || b[headerLen] != 32 {
		return false
	}
	if q.typ == 32 {
		return true
	}
	for _, c := range b[headerLen+1 : headerLen+33] {
		if c < 'A' || c > 'P' {
			return false
		}
	}
	return true
}
