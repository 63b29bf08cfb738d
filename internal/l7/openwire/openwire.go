// Package openwire reads the wire format of ActiveMQ Classic, tight and loose,
// with and without caches.
package openwire

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is OpenWire.
var Protocol = &l7.Protocol{
	Name:      "openwire",
	Transport: l7.TCP,
	Ports:     []uint16{61616},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:      "messaging.operation.name",
		Target:  "messaging.destination.name",
		Code:    "hopscope.response.code",
		Domain:  "hopscope.session.target",
		Session: "hopscope.session.request_id",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "activemq"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	lenLen = 4
	magic  = "ActiveMQ"
	// maxFrame bounds what is believed of a length: brokers take 100 MiB.
	maxFrame = 256 << 20
	// look is how much of a command is looked at.
	look = 8 << 10
	// maxVersion bounds what is believed of a version: 12 is the newest.
	maxVersion = 32
	// maxCache bounds what is remembered of the other side's cache: it has 1024
	// places unless both sides are told otherwise.
	maxCache = 1024
)

// parser knows one connection. Both sides say in their first command what they
// can, and what both can is what is spoken.
type parser struct {
	opts   *l7.Options
	sides  [2]format
	broker string
	client string
}

// format is what one side offers, and the cache that it fills.
type format struct {
	known               bool
	version             uint32
	tight, cache, trace bool     // trace: exceptions carry their stack
	bare                bool     // no length before commands
	cached              []string // destinations and ids, by their places
}

func detect(b []byte) l7.Verdict {
	const n = lenLen + 1 + len(magic)
	if len(b) < n {
		if len(b) > lenLen && b[lenLen] != wireFormatInfo || len(b) > lenLen+1 && string(b[lenLen+1:]) != magic[:len(b)-lenLen-1] {
			return l7.No
		}
		if len(b) > 0 && b[0] != 0 {
			return l7.No
		}
		return l7.More
	}
	size := binary.BigEndian.Uint32(b)
	if b[lenLen] != wireFormatInfo || string(b[lenLen+1:n]) != magic || size > look || size < 13 {
		return l7.No
	}
	return l7.Either
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	f := &p.sides[side]
	if p.sides[0].bare && p.sides[1].bare {
		return 0, l7.ErrLost
	}
	if len(w.B) < lenLen+1 {
		return 0, l7.ErrMore
	}
	size := binary.BigEndian.Uint32(w.B)
	kind := w.B[lenLen]
	if size == 0 || size > maxFrame || commands[kind] == "" {
		return 0, l7.ErrLost
	}
	n := lenLen + int(size)
	if len(w.B) < min(n, look) && !w.End {
		return 0, l7.ErrMore
	}
	b := w.B[lenLen+1 : min(len(w.B), n)]
	if kind == wireFormatInfo {
		if len(w.B) < n {
			*f = format{} // cut: what it says is not known
		} else if !p.offer(f, b) {
			return 0, l7.ErrLost
		}
		return n, l7.ErrSkip
	}
	return n, p.command(side, kind, b, m)
}

// offer reads what a side can. It is always in the loose form.
func (p *parser) offer(f *format, b []byte) bool {
	c := l7.NewCursor(b)
	if string(c.Take(len(magic))) != magic {
		return false
	}
	v := c.U32()
	if c.Short() || v == 0 || v > maxVersion {
		return false
	}
	*f = format{known: true, version: v}
	if c.U8() == 0 {
		return true
	}
	c = l7.NewCursor(c.Take(int(c.U32())))
	properties(&c, func(key []byte, v value) {
		on := v.number != 0
		switch string(key) {
		case "TightEncodingEnabled":
			f.tight = on
		case "CacheEnabled":
			f.cache = on
		case "StackTraceEnabled":
			f.trace = on
		case "SizePrefixDisabled":
			f.bare = on
		}
	})
	return true
}

// spoken is what both sides can.
func (p *parser) spoken() format {
	a, b := &p.sides[0], &p.sides[1]
	if !a.known || !b.known {
		return format{}
	}
	return format{known: true, version: min(a.version, b.version), tight: a.tight && b.tight, cache: a.cache && b.cache,
		trace: a.trace && b.trace}
}

// command reads everything but the first.
func (p *parser) command(side l7.Side, kind byte, b []byte, m *l7.Message) error {
	s := p.spoken()
	if !s.known {
		return l7.ErrSkip
	}
	r := reader{c: l7.NewCursor(b), format: s, side: &p.sides[side], text: m.Text}
	if s.tight {
		r.bits = bits(&r.c)
	}
	id := uint32(r.int32())
	needed := r.bool()
	if r.c.Short() {
		return l7.ErrSkip
	}
	m.Op, m.Type = commands[kind], l7.TypeOneWay
	if p.client != "" {
		m.Add("messaging.client.id", p.client)
	}
	m.Domain = p.broker
	if side == l7.Client && needed {
		m.Type, m.Stream = l7.TypeRequest, uint64(id)
		m.Session = m.Text.Uint(uint64(id))
	}
	switch kind {
	case response, dataResponse, dataArrayResponse, integerResponse, exceptionResponse:
		return p.answer(side, kind, &r, m)
	case keepAlive:
		return l7.ErrSkip
	default:
		p.fields(kind, &r, m)
	}
	return nil
}

// answer reads the answer to a command.
func (p *parser) answer(side l7.Side, kind byte, r *reader, m *l7.Message) error {
	m.Attrs = m.Attrs[:0]
	m.Op, m.Domain = "", ""
	id := uint32(r.int32())
	if r.c.Short() || side == l7.Client {
		return l7.ErrSkip
	}
	m.Type, m.Stream, m.Status = l7.TypeResponse, uint64(id), l7.StatusOK
	if kind == exceptionResponse {
		p.exception(r, m)
	}
	return nil
}

// exception reads a Java exception: its class is the code.
func (p *parser) exception(r *reader, m *l7.Message) {
	m.Status = l7.StatusServerError
	if !r.bool() {
		return
	}
	m.Code = m.Text.Word(r.string())
	if v := r.string(); p.opts.KeepLiterals {
		m.Error = m.Text.Copy(v[:min(len(v), p.opts.MaxText)])
	} else if len(v) > 0 {
		m.Error = m.Code
	}
}

// Resync: what the side has put into its cache since is not known.
func (p *parser) Resync(side l7.Side) {
	clear(p.sides[side].cached)
}

// Find is the first command in b that another follows, or nothing.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+lenLen+1 <= len(b); i++ {
		if b[i] != 0 && b[i] > maxFrame>>24 {
			continue
		}
		n := int(binary.BigEndian.Uint32(b[i:]))
		if n < 6 || n > maxFrame || commands[b[i+lenLen]] == "" {
			continue
		}
		next := i + lenLen + n
		if next == len(b) || i == 0 && next > len(b) && n < 1<<20 {
			return i
		}
		if next+lenLen < len(b) && commands[b[next+lenLen]] != "" && binary.BigEndian.Uint32(b[next:]) < 1<<20 {
			return i
		}
	}
	return -1
}
