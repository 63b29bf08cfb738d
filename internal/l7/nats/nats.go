// Package nats reads the NATS client protocol.
//
// A publish is one-way, unless it names an inbox to answer to: then the message
// that comes back on that inbox is its answer. Deliveries are one-way.
package nats

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is NATS.
var Protocol = &l7.Protocol{
	Name:      "nats",
	Transport: l7.TCP,
	Ports:     []uint16{4222},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Route:  "messaging.destination.template",
		Code:   "hopscope.response.code",
		Domain: "hopscope.session.target",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "nats"}},
	Detect: detect,
	New: func(o *l7.Options) l7.Parser {
		return &parser{opts: o, seed: maphash.MakeSeed(), open: map[uint64]struct{}{}}
	},
}

const (
	// maxLine bounds a protocol line: the server's max_control_line is 4 KiB, an
	// INFO of a large cluster is longer.
	maxLine = 16 << 10
	// maxPayload bounds what is believed of a size: the server's limit is 64 MiB.
	maxPayload = 64 << 20
	// look is how much of a message's headers is looked at.
	look = 8 << 10
	// maxOpen bounds the requests that are remembered until their answer.
	maxOpen = 1024
	// maxName bounds what is kept of a connection's names.
	maxName = 128
)

type op uint8

const (
	none op = iota
	info
	connect
	pub
	hpub
	sub
	unsub
	msg
	hmsg
	ping
	pong
	okay
	errr
)

// ops by what a line starts with, the side that sends it, and whether arguments
// follow.
var ops = [...]struct {
	word string
	op   op
	from uint8 // 1 client, 2 server, 3 both
	args bool
}{
	{"PUB", pub, 1, true}, {"HPUB", hpub, 1, true}, {"MSG", msg, 2, true}, {"HMSG", hmsg, 2, true},
	{"SUB", sub, 1, true}, {"UNSUB", unsub, 1, true}, {"PING", ping, 3, false}, {"PONG", pong, 3, false},
	{"+OK", okay, 2, false}, {"-ERR", errr, 2, true}, {"INFO", info, 2, true}, {"CONNECT", connect, 1, true},
}

type parser struct {
	opts    *l7.Options
	seed    maphash.Seed
	open    map[uint64]struct{} // inboxes that an answer is expected on
	version string
	server  string
	client  string
	pings   uint64 // sent by the client
	pongs   uint64
	noPings bool // some may have been lost: which PONG answers which is not known
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) >= 2 && w.B[0] == '\r' && w.B[1] == '\n' {
		return 2, l7.ErrSkip
	}
	l, ok, more := read(w.B)
	switch {
	case more || len(w.B) < 2:
		return 0, l7.ErrMore
	case !ok || l.from>>side&1 == 0:
		return 0, l7.ErrLost
	}
	total := l.n
	var head []byte
	switch l.op {
	case pub, hpub, msg, hmsg:
		total += l.size + 2
		if need := l.n + min(l.header, look); len(w.B) < need && !w.End {
			return 0, l7.ErrMore
		} else {
			head = w.B[l.n:min(len(w.B), need)]
		}
		if end := l.n + l.size; len(w.B) >= total && (w.B[end] != '\r' || w.B[end+1] != '\n') {
			return 0, l7.ErrLost
		}
	}
	return total, p.message(&l, side, head, m)
}

func (p *parser) message(l *line, side l7.Side, head []byte, m *l7.Message) error {
	m.Type = l7.TypeOneWay
	m.Version, m.Domain = p.version, p.server
	if p.client != "" {
		m.Add("messaging.client.id", p.client)
	}
	switch l.op {
	case pub, hpub:
		p.publish(l, head, m)
	case msg, hmsg:
		return p.deliver(l, head, m)
	case sub, unsub:
		m.Op = "SUB"
		if l.op == unsub {
			m.Op = "UNSUB"
			break
		}
		p.subject(m, l.args[0])
		if l.nargs == 3 {
			m.Add("messaging.consumer.group.name", m.Text.Word(l.args[1]))
		}
	case connect:
		m.Op = "CONNECT"
		m.Attrs = m.Attrs[:0]
		if p.client = field(l.rest, `"name":"`); p.client != "" {
			m.Add("messaging.client.id", p.client)
		}
	case info:
		p.version, p.server = field(l.rest, `"version":"`), field(l.rest, `"server_name":"`)
		return l7.ErrSkip
	case ping:
		if side == l7.Server || p.noPings {
			return l7.ErrSkip
		}
		m.Type, m.Op = l7.TypeRequest, "PING"
		m.Stream = p.pings
		p.pings++
	case pong:
		if side == l7.Client || p.noPings || p.pongs == p.pings {
			return l7.ErrSkip
		}
		m.Attrs = m.Attrs[:0]
		m.Type, m.Status, m.Code = l7.TypeResponse, l7.StatusOK, "PONG"
		m.Stream = p.pongs
		p.pongs++
	case errr:
		m.Op = "-ERR"
		m.Error = m.Text.Copy(bytes.Trim(l.rest, "'"))
		m.Status = l7.StatusClientError
		if hasPrefix(l.rest, "'Slow Consumer") || hasPrefix(l.rest, "'Stale Connection") || hasPrefix(l.rest, "'Server") {
			m.Status = l7.StatusServerError
		}
	default:
		return l7.ErrSkip
	}
	return nil
}

func hasPrefix(b []byte, s string) bool {
	return len(b) >= len(s) && strings.EqualFold(l7.View(b[:len(s)]), s)
}

func (p *parser) publish(l *line, head []byte, m *l7.Message) {
	m.Op, m.Flow = "PUB", l7.FlowPublish
	if l.op == hpub {
		m.Op = "HPUB"
	}
	m.Add("messaging.operation.type", "send")
	p.subject(m, l.args[0])
	m.AddInt("messaging.message.body.size", int64(l.size-l.header))
	p.headers(head, m)
	if inbox(l.args[0]) {
		m.Add("messaging.message.conversation_id", m.Target)
	}
	if reply := l.reply(); len(reply) > 0 {
		m.Add("messaging.message.conversation_id", m.Text.Copy(reply))
		if inbox(reply) {
			m.Type = l7.TypeRequest
			m.Stream = p.key(reply)
			if len(p.open) >= maxOpen {
				clear(p.open)
			}
			p.open[m.Stream] = struct{}{}
		}
	}
}

func (p *parser) deliver(l *line, head []byte, m *l7.Message) error {
	subject := l.args[0]
	if inbox(subject) {
		key := p.key(subject)
		if _, ok := p.open[key]; !ok {
			return l7.ErrSkip // a second answer, or one to a request that was not seen
		}
		delete(p.open, key)
		m.Attrs = m.Attrs[:0]
		m.Type, m.Stream, m.Status = l7.TypeResponse, key, l7.StatusOK
		p.headers(head, m)
		return nil
	}
	m.Op, m.Flow = "MSG", l7.FlowDeliver
	if l.op == hmsg {
		m.Op = "HMSG"
	}
	m.Add("messaging.operation.type", "process")
	p.subject(m, subject)
	m.AddInt("messaging.message.body.size", int64(l.size-l.header))
	p.headers(head, m)
	if reply := l.reply(); len(reply) > 0 {
		m.Add("messaging.message.conversation_id", m.Text.Copy(reply))
	}
	return nil
}

// inbox reports whether a subject was made for one answer, as all clients make
// them.
func inbox(subject []byte) bool { return bytes.HasPrefix(subject, []byte("_INBOX.")) }

// key is the stream of an inbox; pings have small numbers.
func (p *parser) key(subject []byte) uint64 { return maphash.Bytes(p.seed, subject) | 1<<63 }

// headers looks for ids and for the server's status.
func (p *parser) headers(b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	if v := c.Line(); bytes.HasPrefix(v, []byte("NATS/1.0 ")) {
		code, text, _ := bytes.Cut(v[9:], []byte(" "))
		p.status(m, code, text)
	}
	for c.Len() > 0 {
		k, v, ok := bytes.Cut(c.Line(), []byte(":"))
		if !ok {
			return
		}
		v = bytes.TrimSpace(v)
		switch {
		case p.opts.Header(m, k, v):
		case strings.EqualFold(l7.View(k), "Nats-Msg-Id"):
			m.Add("messaging.message.id", m.Text.Copy(v))
		case strings.EqualFold(l7.View(k), "Nats-Service-Error-Code"):
			m.Code, m.Status = m.Text.Copy(v), l7.StatusServerError
		case strings.EqualFold(l7.View(k), "Nats-Service-Error"):
			m.Error = m.Text.Copy(v)
		}
	}
}

// status is the server's own answer: 503 when nobody listens.
func (p *parser) status(m *l7.Message, code, text []byte) {
	if len(code) < 3 {
		return
	}
	m.Code, m.Error = m.Text.Copy(code), m.Text.Copy(bytes.TrimSpace(text))
	switch code[0] {
	case '4':
		m.Status = l7.StatusClientError
	case '5':
		m.Status = l7.StatusServerError
		if m.Error == "" && m.Code == "503" {
			m.Error = "no responders"
		}
	default:
		m.Error = ""
	}
}

// subject is the destination; tokens that are ids are left out of the template.
func (p *parser) subject(m *l7.Message, s []byte) {
	if inbox(s) {
		m.Target, m.Route = m.Text.Copy(s), "_INBOX"
		return
	}
	m.Target = m.Text.Word(s)
	m.Route = m.Target
	if !slices.ContainsFunc(s, digit) {
		return // no token is an id
	}
	n, digits, changed := 0, 0, false
	var out [256]byte
	if len(s) > len(out)/2 {
		return
	}
	token := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if digit(s[i]) {
				digits++
			}
			out[n] = s[i]
			n++
			continue
		}
		// A token that is half digits, or long with digits in it, is an id.
		if size := n - token; digits*2 > size || (size > 20 && digits > 0) {
			n = token + copy(out[token:], "{id}")
			changed = true
		}
		if i < len(s) {
			out[n] = '.'
			n++
		}
		token, digits = n, 0
	}
	if changed {
		m.Route = m.Text.Copy(out[:n])
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// field is the text of a JSON field, if it is short and has no escapes.
func field(b []byte, key string) string {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return ""
	}
	v, _, ok := bytes.Cut(b[i+len(key):], []byte(`"`))
	if !ok || len(v) > maxName || bytes.IndexByte(v, '\\') >= 0 {
		return ""
	}
	return string(v)
}

// Resync keeps what is open: inboxes are used once.
func (p *parser) Resync(l7.Side) { p.noPings = true }
