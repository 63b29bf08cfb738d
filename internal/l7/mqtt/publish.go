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
	var at topic
	if len(name) > 0 {
		at.name, at.route = m.Text.Routed(p.opts.Paths, name)
	}
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
		at = p.alias(side, alias, at)
	}
	m.Op, m.Target, m.Route = names[publish], at.name, at.route
	m.AddInt("hopscope.messaging.qos", int64(qos))
	if body >= 0 && p.level != 0 {
		m.AddInt("messaging.message.body.size", int64(body))
	}
	if k.flags&8 != 0 {
		m.AddBool("hopscope.messaging.redelivered", true)
	}
	if qos > 0 {
		m.Session = m.Text.Uint(uint64(id))
	}
	if side == l7.Client {
		m.Flow = l7.FlowPublish
		m.Add("messaging.operation.type", "send")
		m.Stream = uint64(id)
		if qos == 0 {
			m.Type = l7.TypeOneWay
			return nil
		}
		p.published.Put(uint64(id), struct{}{})
		return nil
	}
	m.Flow = l7.FlowDeliver
	m.Add("messaging.operation.type", "process")
	m.Type = l7.TypeOneWay
	if qos > 0 {
		p.serial++
		m.Stream, m.More = streamDeliver|p.serial, true
		p.delivered.Put(uint64(id), m.Stream)
	}
	return nil
}

// open reports whether the message of that packet id waits for its
// acknowledgement.
func (p *parser) open(side l7.Side, id uint16) bool {
	if side == l7.Client {
		return p.published.Get(uint64(id)) != nil
	}
	return p.delivered.Get(uint64(id)) != nil
}

// alias is the topic of a message that names it by number.
func (p *parser) alias(side l7.Side, alias uint16, at topic) topic {
	if alias == 0 || alias > maxAliases {
		return at
	}
	a := p.aliases[side]
	if at.name == "" {
		if int(alias) < len(a) {
			return a[alias]
		}
		return at
	}
	if int(alias) >= len(a) {
		a = append(a, make([]topic, int(alias)+1-len(a))...)
		p.aliases[side] = a
	}
	if a[alias].name != at.name {
		kept := topic{name: strings.Clone(at.name)}
		if kept.route = kept.name; at.route != at.name {
			kept.route = strings.Clone(at.route)
		}
		a[alias] = kept
	}
	return at
}

// acknowledged is the client's word on what was delivered.
func (p *parser) acknowledged(k *packet, c *l7.Cursor, m *l7.Message) error {
	id := c.U16()
	stream := p.delivered.Get(uint64(id))
	if stream == nil || c.Short() {
		return l7.ErrSkip
	}
	code, known := k.code(c)
	m.Type, m.Stream = l7.TypeOneWay, *stream
	m.Flow = l7.FlowDeliver
	m.More = k.kind == pubrec && code < 0x80
	if !m.More {
		p.delivered.Take(uint64(id))
		p.reason(m, code, known)
	}
	return nil
}
