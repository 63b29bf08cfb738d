package amqp

import (
	"strconv"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

func shortstr(c *l7.Cursor) []byte { return c.Take(int(c.U8())) }

// method is a method frame.
func (p *parser) method(side l7.Side, f *frame, m *l7.Message) error {
	b := l7.NewCursor(f.b)
	k := method(b.U32())
	i := k.info()
	if i.role == unknown || i.from&(client<<side) == 0 {
		if i.role != unknown {
			return l7.ErrLost
		}
		return l7.ErrSkip
	}
	if i.role == quiet {
		return l7.ErrSkip
	}
	if side == l7.Client && p.doubt && p.heard {
		p.doubt = false
	}
	c := p.at(f.channel)
	if side == l7.Client {
		return p.fromClient(c, f, k, i, &b, m)
	}
	p.heard = true
	return p.fromServer(c, f, k, i, &b, m)
}

func (p *parser) fromClient(c *channel, f *frame, k method, i info, b *l7.Cursor, m *l7.Message) error {
	switch k {
	case basicPublish:
		return p.publish(c, f, b, m)
	case basicAck, basicNack, basicReject:
		m.Type = l7.TypeOneWay
		m.Op = i.name
		m.Add("messaging.operation.type", "settle")
		if tag := b.U64(); !b.Short() {
			m.AddInt("messaging.rabbitmq.message.delivery_tag", int64(tag))
		}
		return nil
	case connectionCloseOk, channelCloseOk, of(60, 31):
		return l7.ErrSkip // they answer the broker, which has been reported
	}
	m.Op = i.name
	if i.role == alone {
		m.Type = l7.TypeOneWay
		return nil
	}
	a := asked{method: k, stream: p.next()}
	nowait := p.ask(k, b, m, &a)
	m.Stream = a.stream
	if b.Short() {
		return l7.ErrSkip // cut before it says whether it wants an answer
	}
	if nowait {
		m.Type = l7.TypeOneWay
		if k == confirmSelect && !p.doubt {
			c.confirm, c.tag, c.acked = true, 0, 0
		}
		return nil
	}
	if p.doubt {
		return l7.ErrSkip
	}
	if len(c.asks) >= maxAsks {
		c.asks = c.asks[:0]
	}
	c.asks = append(c.asks, a)
	return nil
}

// ask reads the arguments of a call; it reports whether no answer is wanted.
func (p *parser) ask(k method, b *l7.Cursor, m *l7.Message, a *asked) (nowait bool) {
	switch k {
	case connectionOpen:
		if v := shortstr(b); !b.Short() {
			m.Domain = m.Text.Copy(v)
		}
	case connectionClose, channelClose:
		b.Skip(2)
		shortstr(b)
	case exchangeDeclare, exchangeDelete:
		b.Skip(2)
		p.name(m, shortstr(b), nil)
		if k == exchangeDelete {
			return b.U8()&2 != 0
		}
		shortstr(b) // type
		return b.U8()&16 != 0
	case exchangeBind, exchangeUnbind:
		b.Skip(2)
		to := shortstr(b)
		p.name(m, shortstr(b), to)
		shortstr(b)
		return b.U8()&1 != 0
	case queueDeclare:
		b.Skip(2)
		p.name(m, nil, shortstr(b))
		return b.U8()&16 != 0
	case queueBind, queueUnbind:
		b.Skip(2)
		queue := shortstr(b)
		p.name(m, shortstr(b), queue)
		shortstr(b)
		if k == queueBind {
			return b.U8()&1 != 0
		}
	case queuePurge, queueDelete:
		b.Skip(2)
		p.name(m, nil, shortstr(b))
		if k == queueDelete {
			return b.U8()&4 != 0
		}
		return b.U8()&1 != 0
	case basicConsume:
		b.Skip(2)
		p.name(m, nil, shortstr(b))
		a.queue = m.Target
		tag := shortstr(b)
		nowait = b.U8()&8 != 0
		if nowait && !b.Short() {
			p.consumer(tag, a.queue)
		}
	case basicCancel:
		delete(p.consumers, l7.View(shortstr(b)))
		return b.U8()&1 != 0
	case basicGet:
		b.Skip(2)
		p.name(m, nil, shortstr(b))
		b.Skip(1)
		m.Add("messaging.operation.type", "receive")
	case confirmSelect:
		nowait = b.U8()&1 != 0
	}
	return nowait
}

// consumer remembers the queue of a consumer tag.
func (p *parser) consumer(tag []byte, queue string) {
	if len(tag) == 0 || queue == "" {
		return
	}
	if p.consumers == nil || len(p.consumers) >= maxConsumers {
		p.consumers = map[string]string{}
	}
	p.consumers[string(tag)] = strings.Clone(queue)
}

// publish is basic.publish: the message follows in further frames.
func (p *parser) publish(c *channel, f *frame, b *l7.Cursor, m *l7.Message) error {
	b.Skip(2)
	exchange, key := shortstr(b), shortstr(b)
	b.Skip(1)
	if b.Short() {
		c.content[l7.Client] = content{}
		if c.confirm { // counted all the same
			c.tag++
		}
		return l7.ErrSkip
	}
	m.Type = l7.TypeOneWay
	m.Op = "basic.publish"
	m.Flow = l7.FlowPublish
	m.More = true
	stream := p.next()
	if c.confirm {
		c.tag++
		stream = confirmKey(f.channel, c.tag)
		m.Type = l7.TypeRequest
	}
	m.Stream = stream
	p.begin(c, l7.Client, basicPublish, stream)
	m.Add("messaging.operation.type", "send")
	p.name(m, exchange, key)
	if len(key) > 0 {
		m.Add("messaging.rabbitmq.destination.routing_key", m.Text.Copy(key))
	}
	return nil
}

func (p *parser) fromServer(c *channel, f *frame, k method, i info, b *l7.Cursor, m *l7.Message) error {
	switch k {
	case basicDeliver:
		tag := shortstr(b)
		n, again := b.U64(), b.U8()
		exchange, key := shortstr(b), shortstr(b)
		if b.Short() {
			c.content[l7.Server] = content{}
			return l7.ErrSkip
		}
		m.Type, m.Op, m.Flow, m.More = l7.TypeOneWay, i.name, l7.FlowDeliver, true
		m.Stream = p.next()
		p.begin(c, l7.Server, k, m.Stream)
		m.Add("messaging.operation.type", "process")
		p.delivered(m, n, again, exchange, key, p.consumers[l7.View(tag)])
		return nil
	case basicReturn:
		code, text := b.U16(), shortstr(b)
		exchange, key := shortstr(b), shortstr(b)
		if b.Short() {
			c.content[l7.Server] = content{}
			return l7.ErrSkip
		}
		m.Type, m.Op, m.More = l7.TypeOneWay, i.name, true
		m.Stream = p.next()
		p.begin(c, l7.Server, k, m.Stream)
		p.name(m, exchange, key)
		failure(m, code, text)
		return nil
	case basicAck, basicNack:
		return p.confirmed(c, f, k, b, m)
	case channelClose, connectionClose:
		return p.closed(c, f, k, i, b, m)
	case basicCancel: // the queue is gone
		tag := shortstr(b)
		m.Type, m.Op = l7.TypeOneWay, i.name
		if q := p.consumers[l7.View(tag)]; q != "" && !b.Short() {
			p.name(m, nil, []byte(q))
			delete(p.consumers, q)
		}
		return nil
	}
	if i.role == alone {
		m.Type, m.Op = l7.TypeOneWay, i.name
		if k == connectionBlocked {
			m.Error = m.Text.Copy(shortstr(b))
		}
		return nil
	}
	// An answer: to the first call on the channel that waits for it.
	for n, a := range c.asks {
		if !k.answers(a.method) {
			continue
		}
		c.asks = c.asks[:copy(c.asks, c.asks[n+1:])]
		m.Type, m.Stream, m.Status, m.Code = l7.TypeResponse, a.stream, l7.StatusOK, k.info().name
		switch k {
		case basicConsumeOk:
			p.consumer(shortstr(b), a.queue)
		case confirmSelectOk:
			c.confirm, c.tag, c.acked = true, 0, 0
		case queueDeclareOk:
			if v := shortstr(b); !b.Short() {
				p.name(m, nil, v) // the name that the broker gave
			}
		case basicGetOk:
			n, again := b.U64(), b.U8()
			exchange, key := shortstr(b), shortstr(b)
			if b.Short() {
				break
			}
			m.More = true
			p.begin(c, l7.Server, k, a.stream)
			p.delivered(m, n, again, exchange, key, "")
		case channelCloseOk:
			delete(p.channels, f.channel)
		}
		return nil
	}
	return l7.ErrSkip
}

// delivered says where a message came from.
func (p *parser) delivered(m *l7.Message, tag uint64, again byte, exchange, key []byte, queue string) {
	p.name(m, exchange, key)
	if queue != "" {
		if queue != l7.View(key) {
			m.Target = m.Text.Join(m.Target, ":", queue)
		}
		m.Route = m.Text.Copy(few([]byte(queue)))
	}
	if len(key) > 0 {
		m.Add("messaging.rabbitmq.destination.routing_key", m.Text.Copy(key))
	}
	m.AddInt("messaging.rabbitmq.message.delivery_tag", int64(tag))
	if again&1 != 0 {
		m.AddBool("hopscope.messaging.redelivered", true)
	}
}

// confirmed is the broker's word on publishes.
func (p *parser) confirmed(c *channel, f *frame, k method, b *l7.Cursor, m *l7.Message) error {
	tag, flags := b.U64(), b.U8()
	if b.Short() || !c.confirm || tag == 0 || tag > c.tag {
		return l7.ErrSkip
	}
	m.Type, m.Status, m.Code = l7.TypeResponse, l7.StatusOK, k.info().name
	if k == basicNack {
		m.Status, m.Error = l7.StatusServerError, "nack"
	}
	m.Stream = confirmKey(f.channel, tag)
	if flags&1 != 0 {
		first := c.acked + 1
		if first < tag {
			m.Stream, m.Through = confirmKey(f.channel, first), confirmKey(f.channel, tag)
		}
		c.acked = max(c.acked, tag)
	} else if tag == c.acked+1 {
		c.acked = tag
	}
	return nil
}

// closed is a channel or a connection that the broker closes: the answer to what
// was asked last, if that was it, else an event of its own.
func (p *parser) closed(c *channel, f *frame, k method, i info, b *l7.Cursor, m *l7.Message) error {
	code, text := b.U16(), shortstr(b)
	why := method(b.U32())
	if b.Short() {
		return l7.ErrSkip
	}
	if c.confirm && why == basicPublish && c.acked < c.tag {
		// The publishes that wait for their confirmation hear this instead.
		m.Type, m.Stream, m.Through = l7.TypeResponse, confirmKey(f.channel, c.acked+1), confirmKey(f.channel, c.tag)
		failure(m, code, text)
		*c = channel{}
		return nil
	}
	c.confirm = false
	c.content = [2]content{}
	m.Type, m.Op = l7.TypeOneWay, i.name
	for n, a := range c.asks {
		if a.method == why || (why == 0 && k == connectionClose && a.method == connectionOpen) {
			m.Type, m.Op, m.Stream = l7.TypeResponse, "", a.stream
			c.asks = c.asks[:copy(c.asks, c.asks[n+1:])]
			break
		}
	}
	if m.Type == l7.TypeOneWay && why.info().role == ask {
		return l7.ErrSkip // the answer to a call that was not seen
	}
	failure(m, code, text)
	return nil
}

// failure of a reply code, https://www.rabbitmq.com/amqp-0-9-1-reference.html#constants:
// 3xx and 4xx are what the client did, but for the broker being told to close.
func failure(m *l7.Message, code uint16, text []byte) {
	m.Code = m.Text.Copy(strconv.AppendUint(nil, uint64(code), 10))
	m.Error = m.Text.Copy(text)
	switch {
	case code == 200:
		m.Status, m.Error = l7.StatusOK, ""
	case code < 500 && code != 320 || code == 530:
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusServerError
	}
}

// name is messaging.destination.name as the conventions of RabbitMQ have it:
// exchange and routing key (or queue), of which the default exchange is not
// named. Routing keys may be many, exchanges are few.
func (p *parser) name(m *l7.Message, exchange, key []byte) {
	switch {
	case len(exchange) == 0 && len(key) == 0:
	case len(exchange) == 0:
		m.Target = m.Text.Copy(key)
		m.Route = m.Target
		if s := few(key); len(s) != len(key) {
			m.Route = m.Text.Copy(s)
		}
	case len(key) == 0:
		m.Target = m.Text.Copy(exchange)
		m.Route = m.Target
	default:
		m.Target = m.Text.Join(l7.View(exchange), ":", l7.View(key))
		m.Route = m.Target[:len(exchange)]
	}
}

// few cuts the names that brokers make up for temporary queues.
func few(key []byte) []byte {
	for _, prefix := range [...]string{"amq.gen", "amq.ctag", "amq.rabbitmq.reply-to", "spring.gen"} {
		if len(key) > len(prefix) && string(key[:len(prefix)]) == prefix {
			return key[:len(prefix)]
		}
	}
	return key
}
