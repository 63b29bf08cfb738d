// Package rocketmq reads the remoting protocol of RocketMQ, with headers in JSON
// and in RocketMQ's own form.
//
// Sending a message publishes; pulling is a call of the consumer, as with Kafka:
// what comes back is many messages or none.
package rocketmq

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is RocketMQ's remoting protocol.
var Protocol = &l7.Protocol{
	Name:      "rocketmq",
	Transport: l7.TCP,
	Ports:     []uint16{10911, 9876},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Code:   "hopscope.response.code",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "rocketmq"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	// maxFrame bounds what is believed of a length: the broker's limit is 16 MiB.
	maxFrame = 64 << 20
	// maxHeader bounds a header, and so what is waited for: properties are in it.
	maxHeader = 48 << 10
	maxText   = 512
)

type parser struct {
	opts  *l7.Options
	says  [2]release // by side
	plain []byte     // texts without their escapes, for one call
	ext   []field    // likewise
}

const (
	flagResponse = 1
	flagOneWay   = 2
)

// message is where it goes, and what came with it.
type message struct {
	topic, group, queue, properties []byte
}

// short is the field that version 2 of the header of a message has under a name of
// one letter; nil for others.
func (f *message) short(k []byte) *[]byte {
	if len(k) == 1 {
		switch k[0] {
		case 'a':
			return &f.group
		case 'b':
			return &f.topic
		case 'e':
			return &f.queue
		case 'i':
			return &f.properties
		}
	}
	return nil
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	total, header, kind, ok := readHead(w.B)
	switch {
	case !ok:
		return 0, l7.ErrLost
	case len(w.B) < 8, len(w.B) < 8+header && !w.End:
		return 0, l7.ErrMore
	case len(w.B) < 8+header:
		return total, l7.ErrSkip
	}
	x := command{fields: p.ext}
	ok = x.read(kind, w.B[8:8+header])
	if cap(x.fields) > cap(p.ext) {
		p.ext = x.fields[:0]
	}
	if !ok {
		return 0, l7.ErrLost
	}
	answer := x.flag&flagResponse != 0
	m.Stream = uint64(uint32(x.opaque))
	if side == l7.Server && !answer {
		// The broker asks too (rebalance, transaction checks); few of its requests
		// are answered.
		if x.flag&flagOneWay == 0 {
			return total, l7.ErrSkip
		}
		m.Type, m.Op = l7.TypeOneWay, operation(m.Text, x.code)
		return total, nil
	}
	if answer != (side == l7.Server) {
		return total, l7.ErrSkip
	}
	p.plain = p.plain[:0]
	if answer {
		m.Type = l7.TypeResponse
		pulled := false
		for i := range x.fields {
			k, v := x.fields[i].in(x.b)
			switch string(k) {
			case "nextBeginOffset":
				pulled = x.code == 0
			case "queueOffset":
				if n, ok := number(trim(v)); ok {
					m.AddInt("hopscope.messaging.offset", n)
				}
			}
		}
		if pulled {
			if len(w.B) < min(total, 8+header+maxStored) && !w.End {
				m.Attrs = m.Attrs[:0]
				return 0, l7.ErrMore
			}
			p.stored(w.B[8+header:min(total, len(w.B))], m)
		}
		p.status(m, &x)
		m.Version = p.says[side].version(x.version)
		return total, nil
	}
	p.request(&x, m)
	m.Version = p.says[side].version(x.version)
	return total, nil
}

// release is the version that a side says with every command.
type release struct {
	n    int64
	text string
}

// version is what a number of MQVersion stands for: from 4.0.0 on each release
// takes two, the first of which is its snapshot.
func (r *release) version(n int64) string {
	if r.n == n {
		return r.text
	}
	const first = 213 // 4.0.0
	*r = release{n: n}
	if n -= first; n >= 0 && n < 1200 && n%2 == 0 {
		n /= 2
		r.text = string([]byte{byte('4' + n/100), '.', byte('0' + n/10%10), '.', byte('0' + n%10)})
	}
	return r.text
}

// maxStored is how much of what a pull brings is looked at, for the properties
// of its first message.
const maxStored = 2 << 10

// stored reads the first of the messages that a pull brings, in the form that
// the broker stores them in (MessageDecoder).
func (p *parser) stored(b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	size, magic := c.U32(), c.U32()
	if c.Short() || size < 91 || magic != 0xdaa320a7 && magic != 0xdaa320ab {
		return
	}
	c.Skip(4)     // checksum
	c.Skip(4 + 4) // queue, flag
	offset := c.U64()
	c.Skip(8) // in the log
	system := c.U32()
	host := func(v6 bool) {
		if c.Skip(8); v6 {
			c.Skip(12)
		}
	}
	c.Skip(8) // born
	host(system&(1<<4) != 0)
	c.Skip(8) // stored
	host(system&(1<<5) != 0)
	c.Skip(4 + 8) // tries, transaction
	c.Skip(int(c.U32()))
	n := int(c.U8())
	if magic == 0xdaa320ab { // topics with long names
		n = n<<8 | int(c.U8())
	}
	topic := c.Take(n)
	properties := c.Take(int(c.U16()))
	if c.Short() {
		return
	}
	m.Target = m.Text.Word(topic)
	m.AddInt("hopscope.messaging.offset", int64(offset))
	p.properties(properties, m)
}

func (p *parser) request(x *command, m *l7.Message) {
	var f message
	if x.flag&flagOneWay != 0 {
		m.Type = l7.TypeOneWay
	}
	m.Op = operation(m.Text, x.code)
	m.Session = decimal(m.Text, x.opaque)
	v2 := x.code == 310 || x.code == 320
	for i := range x.fields {
		k, v := x.fields[i].in(x.b)
		if len(k) <= 1 {
			if to := f.short(k); to != nil && v2 {
				*to = p.text(x, v)
			}
			continue
		}
		switch string(k) {
		case "producerGroup", "consumerGroup", "group":
			f.group = p.text(x, v)
		case "topic":
			f.topic = p.text(x, v)
		case "queueId":
			f.queue = p.text(x, v)
		case "properties":
			f.properties = p.text(x, v)
		default:
			p.opts.Header(m, k, trim(v))
		}
	}
	switch x.code {
	case 10, 310, 320, 325:
		m.Flow = l7.FlowPublish
		m.Add("messaging.operation.type", "send")
	case 11, 361, 200050:
		m.Add("messaging.operation.type", "receive")
	}
	if len(f.topic) > 0 {
		m.Target = m.Text.Word(f.topic)
		m.Route = m.Target
	}
	word(m, "messaging.destination.partition.id", f.queue)
	word(m, "messaging.consumer.group.name", f.group)
	p.properties(f.properties, m)
}

func add(m *l7.Message, key string, v []byte) {
	if len(v) > 0 {
		m.Add(key, m.Text.Copy(v))
	}
}

// word is add of what is the same in many messages.
func word(m *l7.Message, key string, v []byte) {
	if len(v) > 0 {
		m.Add(key, m.Text.Word(v))
	}
}

// properties are name 1 value 2 name 1 value 2.
func (p *parser) properties(b []byte, m *l7.Message) {
	for len(b) > 0 {
		kv := b
		if i := bytes.IndexByte(b, 2); i >= 0 {
			kv, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		i := bytes.IndexByte(kv, 1)
		if i < 0 {
			continue
		}
		k, v := kv[:i], kv[i+1:]
		switch l7.View(k) {
		case "UNIQ_KEY":
			add(m, "messaging.message.id", v)
		case "TAGS":
			word(m, "messaging.rocketmq.message.tag", v)
		default:
			p.opts.Header(m, k, v)
		}
	}
}

func (p *parser) status(m *l7.Message, x *command) {
	m.Code = decimal(m.Text, x.code)
	switch x.code {
	case 0, 10, 11, 12: // done; flushing or copying was late; no copy
		m.Status = l7.StatusOK
		return
	case 19, 20, 21: // nothing new, ask again, offset moved: how a pull goes on
		m.Status = l7.StatusOK
		return
	case 3, 13, 15, 16, 17, 18, 22, 23, 24, 25, 26, 206, 207:
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusServerError
	}
	remark := p.text(x, x.remark)
	m.Error = m.Text.Copy(remark[:min(len(remark), maxText)])
}

// text is a value as text.
func (p *parser) text(x *command, v []byte) []byte {
	if !x.json {
		return v
	}
	if v = trim(v); bytes.IndexByte(v, '\\') < 0 {
		return v
	}
	if need := len(p.plain) + len(v); need > cap(p.plain) {
		// What was handed out of the old one stays as it is.
		p.plain = append(make([]byte, 0, 2*need), p.plain...)
	}
	at := len(p.plain)
	p.plain = unescape(p.plain, v)
	return p.plain[at:len(p.plain):len(p.plain)]
}

// Resync keeps nothing, since nothing is kept.
func (p *parser) Resync(l7.Side) {}
