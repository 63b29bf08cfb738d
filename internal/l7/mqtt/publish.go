package mqtt

import (
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// publish is a message, of either side.
func (p *parser) publish(side l7.Side, k *packet, c *l7.Cursor, m *l7.Message) error {
	n := int(c.U16())
	name := c.Take(n)
	qos := k.flags >> 1 & 3
	var id uint16
	if qos > 0 {
		id = c.U16()
	}
	if c.Short() || (k.flags&8 != 0 && p.open(side, id)) {
		return l7.ErrSkip // cut; or sent again, to a packet id that is open
	}
	p.version(m)
	topic := m.Text.Copy(name)
	body := k.size - 2 - n
	if qos > 0 {
		body -= 2
	}
	if p.level == 5 {
		before := c.Len()
		size := int(c.Uvarint())
		body -= before - c.Len() + size
		props := l7.NewCursor(c.Rest()[:min(max(size, 0), c.Len())])
		alias := p.properties(&props, m, side)
		topic = p.alias(side, alias, topic)
	}
	m.Op = names[publish]
	if topic != "" {
		p.topic(m, topic)
	}
	m.AddInt("hopscope.messaging.qos", int64(qos))
	if body >= 0 && p.level != 0 {
		m.AddInt("messaging.message.body.size", int64(body))
	}
	if k.flags&8 != 0 {
		m.AddBool("hopscope.messaging.redelivered", true)
	}
	if qos > 0 {
		m.Session = decimal(m.Text, id)
	}
	if side == l7.Client {
		m.Flow = l7.FlowPublish
		m.Add("messaging.operation.type", "send")
		m.Stream = uint64(id)
		if qos == 0 {
			m.Type = l7.TypeOneWay
			return nil
		}
		if p.published == nil || len(p.published) >= maxOpen {
			p.published = map[uint16]struct{}{}
		}
		p.published[id] = struct{}{}
		return nil
	}
	m.Flow = l7.FlowDeliver
	m.Add("messaging.operation.type", "process")
	m.Type = l7.TypeOneWay
	if qos > 0 {
		if p.delivered == nil || len(p.delivered) >= maxOpen {
			p.delivered = map[uint16]uint64{}
		}
		p.serial++
		m.Stream, m.More = streamDeliver|p.serial, true
		p.delivered[id] = m.Stream
	}
	return nil
}

// open reports whether the message of that packet id waits for its
// acknowledgement.
func (p *parser) open(side l7.Side, id uint16) (ok bool) {
	if side == l7.Client {
		_, ok = p.published[id]
	} else {
		_, ok = p.delivered[id]
	}
	return ok
}

// alias is the topic of a message that names it by number.
func (p *parser) alias(side l7.Side, alias uint16, topic string) string {
	if alias == 0 || alias > maxAliases {
		return topic
	}
	a := p.aliases[side]
	if topic == "" {
		if int(alias) < len(a) {
			return a[alias]
		}
		return ""
	}
	if int(alias) >= len(a) {
		a = append(a, make([]string, int(alias)+1-len(a))...)
		p.aliases[side] = a
	}
	if a[alias] != topic {
		a[alias] = strings.Clone(topic)
	}
	return topic
}

// acknowledged is the client's word on what was delivered.
func (p *parser) acknowledged(k *packet, c *l7.Cursor, m *l7.Message) error {
	id := c.U16()
	stream, ok := p.delivered[id]
	if !ok || c.Short() {
		return l7.ErrSkip
	}
	code, known := k.code(c)
	m.Type, m.Stream = l7.TypeOneWay, stream
	m.Flow = l7.FlowDeliver
	m.More = k.kind == pubrec && code < 0x80
	if !m.More {
		delete(p.delivered, id)
		p.reason(m, code, known)
	}
	return nil
}
