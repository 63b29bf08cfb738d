// Package amqp reads AMQP 0-9-1, as RabbitMQ speaks it.
//
// A message is a method frame, a header frame and body frames, between which
// other channels' frames may lie: it is reported as one exchange, one-way, or
// answered by the broker's confirmation where the channel asked for them. Calls
// on a channel are answered in order.
package amqp

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is AMQP 0-9-1.
var Protocol = &l7.Protocol{
	Name:      "amqp",
	Transport: l7.TCP,
	Ports:     []uint16{5672},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Code:   "hopscope.response.code",
		Domain: "hopscope.session.target",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "rabbitmq"}},
	Detect: detect,
	New: func(o *l7.Options) l7.Parser {
		return &parser{opts: o, channels: map[uint16]*channel{}}
	},
}

const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
	frameHead      = 7

	// maxFrame bounds what is believed of a frame's size. RabbitMQ's frame_max
	// is 128 KiB unless configured.
	maxFrame = 16 << 20
	// look is how much of a method or header frame is waited for; header tables
	// beyond it are not read.
	look = 16 << 10
	// maxChannels is RabbitMQ's default channel_max. A channel takes 200 bytes
	// while it has nothing open.
	maxChannels = 2047
	// maxAsks bounds the calls open on one channel: libraries make one at a time.
	maxAsks = 16
	// maxConsumers bounds the consumers whose queue is remembered.
	maxConsumers = 256
)

// channel is one channel of a connection.
type channel struct {
	content [2]content // by side: the message whose frames are being read
	asks    []asked
	confirm bool   // publishes are confirmed, and counted
	tag     uint64 // of the last publish
	acked   uint64 // all up to this one are confirmed
}

type asked struct {
	method method
	stream uint64
	queue  string // basic.consume
}

// content is a message of which not all frames were read.
type content struct {
	kind   method
	stream uint64
	header bool // the header frame is what comes next
	left   uint64
}

type parser struct {
	opts      *l7.Options
	channels  map[uint16]*channel
	consumers map[string]string // consumer tag → queue
	serial    uint64
	// doubt: calls may have been lost. Until the server has spoken and the
	// client begins again, an answer may belong to a lost one, and calls are not
	// reported.
	doubt, heard bool
}

func detect(b []byte) l7.Verdict {
	const hello = "AMQP\x00\x00\x09\x01"
	if n := min(len(b), len(hello)); string(b[:n]) == hello[:n] {
		if n < len(hello) {
			return l7.More
		}
		return l7.Request
	}
	f, ok := readFrame(b)
	switch {
	case !ok || f.kind != frameMethod:
		return l7.No
	case len(b) < frameHead+4:
		return l7.More
	}
	i := f.method().info()
	switch {
	case i.role == unknown || i.from == both:
		return l7.No
	case len(b) < f.total && f.total <= 1<<10:
		return l7.More
	case len(b) < f.total || b[f.total-1] != frameEnd:
		return l7.No
	case i.from == client:
		return l7.Request
	}
	return l7.Response
}

type frame struct {
	kind    byte
	channel uint16
	total   int
	b       []byte // what there is of the payload
}

// readFrame reads the frame at the front of b; ok is false if there is none.
func readFrame(b []byte) (f frame, ok bool) {
	c := l7.NewCursor(b)
	f.kind = c.U8()
	f.channel = c.U16()
	size := c.U32()
	if len(b) > 0 && f.kind != frameMethod && f.kind != frameHeader && f.kind != frameBody && f.kind != frameHeartbeat {
		return f, false
	}
	if size > maxFrame || f.kind == frameHeartbeat && (size != 0 || f.channel != 0) || f.kind == frameMethod && !c.Short() && size < 4 || f.kind == frameHeader && !c.Short() && size < 14 {
		return f, false
	}
	f.total = frameHead + int(size) + 1
	if len(b) > frameHead {
		f.b = b[frameHead:min(len(b), frameHead+int(size))]
	}
	if len(b) >= f.total && b[f.total-1] != frameEnd {
		return f, false
	}
	return f, true
}

func (f *frame) method() method {
	c := l7.NewCursor(f.b)
	return method(c.U32())
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) < frameHead {
		return 0, l7.ErrMore
	}
	if side == l7.Client && string(w.B[:4]) == "AMQP" {
		if len(w.B) < 8 {
			return 0, l7.ErrMore
		}
		return 8, l7.ErrSkip
	}
	f, ok := readFrame(w.B)
	if !ok {
		return 0, l7.ErrLost
	}
	if f.kind != frameBody && len(w.B) < min(f.total, look) && !w.End {
		return 0, l7.ErrMore
	}
	if len(f.b) > look {
		f.b = f.b[:look]
	}
	err := l7.ErrSkip
	switch f.kind {
	case frameMethod:
		if len(f.b) < 4 {
			return 0, l7.ErrMore
		}
		err = p.method(side, &f, m)
	case frameHeader:
		err = p.header(side, &f, m)
	case frameBody:
		err = p.body(side, &f, m)
	}
	return f.total, err
}

// at is the state of a channel, made when it is first seen.
func (p *parser) at(id uint16) *channel {
	c := p.channels[id]
	if c == nil {
		if len(p.channels) >= maxChannels {
			clear(p.channels)
		}
		c = &channel{}
		p.channels[id] = c
	}
	return c
}

// begin opens a message of side, which continues until its body is complete.
func (p *parser) begin(c *channel, side l7.Side, kind method, stream uint64) {
	c.content[side] = content{kind: kind, stream: stream, header: true}
}

// next is a stream of its own. Confirmed publishes have theirs (confirmKey).
func (p *parser) next() uint64 {
	p.serial++
	return p.serial
}

// confirmKey is the stream of a confirmed publish: tags are consecutive in it,
// and so are streams.
func confirmKey(id uint16, tag uint64) uint64 {
	return 1<<63 | uint64(id)<<46 | tag&(1<<46-1)
}

// header is the header frame: the size of the body, and the properties.
func (p *parser) header(side l7.Side, f *frame, m *l7.Message) error {
	c := p.channels[f.channel]
	if c == nil || !c.content[side].header {
		return l7.ErrSkip
	}
	t := &c.content[side]
	t.header = false
	b := l7.NewCursor(f.b)
	b.Skip(4) // class, weight
	t.left = b.U64()
	if b.Short() {
		return l7.ErrSkip
	}
	t.begin(m)
	m.More = t.left > 0
	m.AddInt("messaging.message.body.size", int64(t.left))
	properties(&b, p.opts, m)
	return nil
}

// body is a body frame.
func (p *parser) body(side l7.Side, f *frame, m *l7.Message) error {
	c := p.channels[f.channel]
	if c == nil || c.content[side].header || c.content[side].left == 0 {
		return l7.ErrSkip
	}
	t := &c.content[side]
	size := uint64(f.total - frameHead - 1)
	if size > t.left {
		*t = content{}
		return l7.ErrLost
	}
	t.left -= size
	t.begin(m)
	m.More = t.left > 0
	return nil
}

// begin says which message m continues.
func (t *content) begin(m *l7.Message) {
	m.Stream = t.stream
	switch {
	case t.kind == basicGetOk:
		m.Type = l7.TypeResponse
	case t.kind == basicPublish && t.stream>>63 == 1:
		m.Type = l7.TypeRequest
	default:
		m.Type = l7.TypeOneWay
	}
}

// Resync forgets what the hole may have made wrong: a message half read, the
// count of confirmed publishes if some were lost, whose answer comes next if
// answers were. Calls that were open when others were lost are answered first.
func (p *parser) Resync(side l7.Side) {
	for _, c := range p.channels {
		c.content[side] = content{}
		if side == l7.Client {
			c.confirm = false
		} else {
			c.asks = c.asks[:0]
			c.acked = c.tag // or may be: from here on each confirmation speaks for itself
		}
	}
	if side == l7.Client {
		p.doubt, p.heard = true, false
	}
}

// Find is the first offset where a frame starts and is followed by another, or
// ends b.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+8 <= len(b); i++ {
		if k := b[i]; k > frameHeartbeat || k == 0 || b[i+3] > maxFrame>>24 {
			continue
		}
		f, ok := readFrame(b[i:])
		if !ok || f.kind == frameMethod && (len(f.b) < 4 || f.method().info().from&(client<<side) == 0) {
			continue
		}
		switch end := i + f.total; {
		case end > len(b) && (i > 0 || f.kind != frameMethod):
			continue // its last byte is not there to tell
		case end < len(b):
			if _, ok := readFrame(b[end:]); !ok {
				continue
			}
		}
		return i
	}
	return -1
}
