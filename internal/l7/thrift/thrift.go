// Package thrift reads Apache Thrift calls: the binary and the compact protocol,
// unframed, framed, and with the header transport.
package thrift

import (
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Thrift.
var Protocol = &l7.Protocol{
	Name:      "thrift",
	Transport: l7.TCP,
	Ports:     []uint16{9090},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:   "rpc.method",
		Code: "rpc.response.status_code",
	},
	Attrs:  []l7.Attr{{Key: "rpc.system.name", Str: "thrift"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

// Message types.
const (
	call      = 1
	reply     = 2
	exception = 3
	oneway    = 4
)

const (
	// maxFrame is the limit that Thrift's own servers have by default grown to.
	maxFrame = 256 << 20
	// maxName bounds a method's name.
	maxName = 256
	// look is how much of a frame is looked at: name, headers, the first field.
	look = 4 << 10
	// piece is from where on an unframed message is taken in parts, so that its
	// size has no limit.
	piece = 16 << 10
)

// envelope is how messages are wrapped; a connection has one.
type envelope uint8

const (
	bare envelope = iota
	framed
	headed // the header transport
)

type parser struct {
	opts *l7.Options
	open [2]rest
}

// rest is an unframed message of which the end was not seen yet.
type rest struct {
	on     bool
	skip   skipper
	typ    l7.Type
	stream uint64
}

// message is what stands before the arguments.
type message struct {
	env     envelope
	compact bool
	kind    byte
	name    []byte
	seq     uint32
	total   int    // of the frame, envelope and all; 0: not known
	args    []byte // what there is of the arguments
	info    []byte // key-value headers
	hidden  bool   // the payload is transformed
	size    int    // bytes before the arguments
}

// read reads the beginning of a message into m, which is empty. more: b is too
// short to tell.
func (m *message) read(b []byte) (ok, more bool) {
	if len(b) < 4 {
		return false, len(b) == 0 || b[0] == 0 || b[0] == 0x80 || b[0] == 0x82
	}
	c := l7.NewCursor(b)
	switch {
	case b[0] == 0x80, b[0] == 0x82:
	default:
		size := c.U32()
		if size < 8 || size > maxFrame {
			return false, false
		}
		m.env, m.total = framed, int(size)+4
		c.Keep(int(size))
		if c.Len() < 2 {
			return false, true
		}
		if b[4] == 0x0f && b[5] == 0xff {
			return m.header(&c, len(b))
		}
		if b[4] != 0x80 && b[4] != 0x82 {
			return false, false
		}
	}
	return m.begin(&c, len(b))
}

// header reads the header transport, https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md
func (m *message) header(c *l7.Cursor, all int) (ok, more bool) {
	m.env = headed
	whole := c.Len() == m.total-4
	c.Skip(4) // magic, flags
	m.seq = c.U32()
	words := int(c.U16())
	if c.Short() {
		return false, !whole
	}
	if 4*words > m.total-14 {
		return false, false
	}
	if 4*words > c.Len() {
		return false, !whole
	}
	h := l7.NewCursor(c.Take(4 * words))
	id := h.Uvarint()
	transforms := h.Uvarint()
	if id != 0 && id != 2 || transforms > 8 {
		return false, false
	}
	for range transforms {
		m.hidden = m.hidden || h.Uvarint() != 0
	}
	m.info = h.Rest()
	m.hidden = m.hidden || transforms > 0
	if m.hidden {
		return true, false
	}
	return m.begin(c, all)
}

// begin reads the message's own beginning.
func (m *message) begin(c *l7.Cursor, all int) (ok, more bool) {
	seq := m.seq
	switch c.U8() {
	case 0x80: // strict binary
		v, kind := c.U16(), c.U8()
		n := int(c.U32())
		if !c.Short() && (v != 0x0100 || kind < call || kind > oneway || n < 1 || n > maxName) {
			return false, false
		}
		if c.Short() && v != 0x0100 && v != 0 {
			return false, false
		}
		m.kind, m.name = kind, c.Take(n)
		m.seq = c.U32()
	case 0x82:
		m.compact = true
		v := c.U8()
		if v&0x1f != 1 || v>>5 < call || v>>5 > oneway {
			return false, c.Short()
		}
		m.kind = v >> 5
		m.seq = uint32(c.Uvarint())
		n := c.Uvarint()
		if !c.Short() && (n < 1 || n > maxName) {
			return false, false
		}
		m.name = c.Take(int(n))
	default:
		return false, c.Short()
	}
	if c.Short() {
		return false, true
	}
	for _, x := range m.name {
		if x <= 0x20 || x >= 0x7f {
			return false, false
		}
	}
	if m.env == headed {
		m.seq = seq
	}
	m.args = c.Rest()
	m.size = all - c.Len()
	if m.env != bare {
		m.size = min(all, m.total) - c.Len()
	}
	return true, false
}

func detect(b []byte) l7.Verdict {
	var m message
	ok, more := m.read(b)
	switch {
	case more:
		return l7.More
	case !ok:
		return l7.No
	case m.hidden:
		return l7.No // which side it is from is not to be seen
	case m.kind == call || m.kind == oneway:
		return l7.Request
	}
	return l7.Response
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if r := &p.open[side]; r.on {
		return p.more(r, w, m)
	}
	var h message
	ok, more := h.read(w.B)
	switch {
	case more:
		return 0, l7.ErrMore
	case !ok:
		return 0, l7.ErrLost
	case h.total > 0 && len(w.B) < min(h.total, look) && !w.End:
		return 0, l7.ErrMore
	case !h.hidden && (side == l7.Client) != (h.kind == call || h.kind == oneway):
		return 0, l7.ErrLost
	}
	p.fill(&h, side, m)
	if h.total > 0 {
		if !h.hidden {
			p.result(&h, m)
		}
		return h.total, nil
	}
	r := &p.open[side]
	r.skip.begin(h.compact)
	n, done, bad := r.skip.run(h.args)
	switch {
	case bad:
		return 0, l7.ErrLost
	case done:
	case n >= piece:
		// What has been walked is taken, the rest follows.
		r.on, r.typ, r.stream = true, m.Type, m.Stream
		m.More = true
	case w.End:
		n = len(w.B) - h.size
	default:
		return 0, l7.ErrMore
	}
	p.result(&h, m)
	return h.size + n, nil
}

// more goes on with an unframed message.
func (p *parser) more(r *rest, w l7.Window, m *l7.Message) (int, error) {
	before := r.skip
	n, done, bad := r.skip.run(w.B)
	switch {
	case bad:
		r.on = false
		return 0, l7.ErrLost
	case done, n >= piece:
	case w.End:
		r.on = false
		return len(w.B), l7.ErrSkip
	default:
		r.skip = before
		return 0, l7.ErrMore
	}
	m.Type, m.Stream, m.More = r.typ, r.stream, !done
	r.on = !done
	return n, nil
}

// fill says what the message is.
func (p *parser) fill(h *message, side l7.Side, m *l7.Message) {
	m.Stream = uint64(h.seq)
	if h.env != headed {
		// Some clients number all their calls 0: the name tells them apart.
		m.Stream |= uint64(fnv(h.name)) << 32
	}
	p.headers(h.info, m)
	if side == l7.Server {
		m.Type = l7.TypeResponse
		return
	}
	if h.kind == oneway {
		m.Type = l7.TypeOneWay
	}
	m.Op = method(m.Text, h.name)
	var b [10]byte
	m.Session = m.Text.Copy(strconv.AppendUint(b[:0], uint64(h.seq), 10))
}

// method is Service/method: multiplexed services put "Service:" in front.
func method(t *l7.Text, name []byte) string {
	for i, c := range name {
		if c == ':' && i > 0 && i < len(name)-1 {
			return t.Join(l7.View(name[:i]), "/", l7.View(name[i+1:]))
		}
	}
	return t.Copy(name)
}

// result is what an answer says: the field of the result that is set, or the
// exception in its place.
func (p *parser) result(h *message, m *l7.Message) {
	switch h.kind {
	case reply:
		id, ok := firstField(h.args, h.compact)
		if !ok {
			return
		}
		m.Status, m.Code = l7.StatusOK, "REPLY"
		if id > 0 {
			m.Code = "declared_exception"
		}
	case exception:
		m.Status, m.Code = l7.StatusServerError, "EXCEPTION"
		m.Error = applicationException(m.Text, h.args, h.compact)
	}
}

// headers reads the key-value headers of the header transport.
func (p *parser) headers(b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	if len(b) == 0 || c.Uvarint() != 1 {
		return
	}
	for n := c.Uvarint(); n > 0 && !c.Short(); n-- {
		k := c.Take(int(c.Uvarint()))
		v := c.Take(int(c.Uvarint()))
		if !c.Short() {
			p.opts.Header(m, k, v)
		}
	}
}

// Resync drops a message half read; calls pair by number and name.
func (p *parser) Resync(side l7.Side) { p.open[side].on = false }

// Find is where a message of side starts.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+8 <= len(b); i++ {
		if b[i] != 0x80 && b[i] != 0x82 && b[i] > maxFrame>>24 {
			continue
		}
		var m message
		if ok, _ := m.read(b[i:]); !ok || m.hidden && i > 0 || m.compact && m.env == bare && i > 0 {
			continue
		}
		if !m.hidden && (side == l7.Client) != (m.kind == call || m.kind == oneway) {
			continue
		}
		if end := i + m.total; i > 0 && m.total > 0 && end+8 <= len(b) && binary.BigEndian.Uint32(b[end:]) > maxFrame {
			continue
		}
		return i
	}
	return -1
}

func fnv(b []byte) uint32 {
	h := uint32(2166136261)
	for _, x := range b {
		h = (h ^ uint32(x)) * 16777619
	}
	return h
}
