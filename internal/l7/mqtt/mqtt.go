// Package mqtt reads MQTT 3.1, 3.1.1 and 5.
//
// What a client publishes with QoS 1 or 2 is answered by the acknowledgement of
// its packet id. What a broker delivers is one-way, and lasts until the client
// has acknowledged it.
package mqtt

import (
	"strconv"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is MQTT.
var Protocol = &l7.Protocol{
	Name:      "mqtt",
	Transport: l7.TCP,
	Ports:     []uint16{1883},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Route:  "messaging.destination.template",
		Code:   "hopscope.response.code",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "mqtt"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

// Packet types, https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901022.
const (
	connect     = 1
	connack     = 2
	publish     = 3
	puback      = 4
	pubrec      = 5
	pubrel      = 6
	pubcomp     = 7
	subscribe   = 8
	suback      = 9
	unsubscribe = 10
	unsuback    = 11
	pingreq     = 12
	pingresp    = 13
	disconnect  = 14
	auth        = 15
)

var names = [...]string{connect: "CONNECT", connack: "CONNACK", publish: "PUBLISH", puback: "PUBACK", pubrec: "PUBREC",
	pubrel: "PUBREL", pubcomp: "PUBCOMP", subscribe: "SUBSCRIBE", suback: "SUBACK", unsubscribe: "UNSUBSCRIBE",
	unsuback: "UNSUBACK", pingreq: "PINGREQ", pingresp: "PINGRESP", disconnect: "DISCONNECT", auth: "AUTH"}

// sent has bit t set where the side sends packets of type t.
var sent = [2]uint16{
	l7.Client: 1<<connect | 1<<publish | 1<<puback | 1<<pubrec | 1<<pubrel | 1<<pubcomp | 1<<subscribe | 1<<unsubscribe | 1<<pingreq | 1<<disconnect | 1<<auth,
	l7.Server: 1<<connack | 1<<publish | 1<<puback | 1<<pubrec | 1<<pubrel | 1<<pubcomp | 1<<suback | 1<<unsuback | 1<<pingresp | 1<<disconnect | 1<<auth,
}

const (
	// look is how much of a packet is looked at: topics and properties are in
	// front, and short.
	look = 8 << 10
	// maxOpen bounds the messages of each direction whose acknowledgement is
	// waited for.
	maxOpen = 1024
	// maxAliases bounds the topic aliases remembered of each side.
	maxAliases = 256
	// maxTopics bounds the list of topics of a subscription: no more are added to
	// one that is as long.
	maxTopics = 512
	// maxClientID bounds the client id that is kept for the connection.
	maxClientID = 256
)

// Streams that are not packet ids.
const (
	streamConnect = 1 << 32
	streamPing    = 1 << 33
	streamDeliver = 1 << 48 // plus a serial number
)

type parser struct {
	opts      *l7.Options
	level     byte // protocol level; 0: the connection began unseen
	client    string
	delivered map[uint16]uint64   // deliveries not acknowledged yet: their streams
	published map[uint16]struct{} // publishes not acknowledged yet
	serial    uint64
	aliases   [2]map[uint16]string
}

// packet is a fixed header and what there is of the rest.
type packet struct {
	kind  byte
	flags byte
	total int
	size  int // of what follows the fixed header
	b     []byte
}

// read reads the packet at the front of b. ok is false if none starts there,
// short if b is too short to tell how long it is.
func read(b []byte) (p packet, ok, short bool) {
	if len(b) == 0 {
		return p, true, true
	}
	p.kind, p.flags = b[0]>>4, b[0]&15
	switch p.kind {
	case 0:
		return p, false, false
	case publish:
		if p.flags&6 == 6 || p.flags&8 != 0 && p.flags&6 == 0 {
			return p, false, false
		}
	case pubrel, subscribe, unsubscribe:
		if p.flags != 2 {
			return p, false, false
		}
	default:
		if p.flags != 0 {
			return p, false, false
		}
	}
	size, shift := 0, 0
	for i := 1; ; i++ {
		if i > 4 {
			return p, false, false
		}
		if i >= len(b) {
			return p, true, true
		}
		size |= int(b[i]&0x7f) << shift
		shift += 7
		if b[i] < 0x80 {
			if i > 1 && b[i] == 0 {
				return p, false, false // not the shortest form
			}
			p.size, p.total = size, i+1+size
			p.b = b[i+1 : min(len(b), p.total)]
			break
		}
	}
	switch p.kind {
	case pingreq, pingresp:
		ok = size == 0
	case puback, pubrec, pubrel, pubcomp, unsuback:
		ok = size >= 2
	case connect:
		ok = size >= 12
	case connack, suback:
		ok = size >= 2
	case publish, subscribe, unsubscribe:
		ok = size >= 3
	default:
		ok = true
	}
	return p, ok, false
}

func detect(b []byte) l7.Verdict {
	p, ok, short := read(b)
	switch {
	case !ok:
		return l7.No
	case short:
		if len(b) == 0 || p.kind == connect || p.kind == publish || p.kind == subscribe {
			return l7.More
		}
		return l7.No
	}
	switch p.kind {
	case connect:
		return hello(p.b)
	case connack:
		// Session present or not, a code, and nothing else before the broker's
		// next packet; version 5 adds properties.
		if len(p.b) >= 2 && p.b[0] <= 1 && (p.total == 4 && p.b[1] <= 5 || p.total > 4 && len(b) >= p.total && len(p.b) >= 3 && int(p.b[2])+3 == p.total-2 && (p.b[1] == 0 || p.b[1] >= 0x80)) && follows(b, p.total, l7.Server) {
			return l7.Response
		}
	case publish:
		if !topical(p) {
			return l7.No
		}
		if len(b) < p.total && p.total <= 1<<10 {
			return l7.More
		}
		if len(b) >= p.total && (follows(b, p.total, l7.Client) || follows(b, p.total, l7.Server)) {
			return l7.Either
		}
	case pingreq:
		if len(b) == 2 { // nothing else is a chunk of these two bytes
			return l7.Request
		}
	case pingresp:
		if len(b) == 2 {
			return l7.Response
		}
	case subscribe:
		if len(b) < p.total {
			return l7.More
		}
		if filters(p) && follows(b, p.total, l7.Client) {
			return l7.Request
		}
	}
	return l7.No
}

// hello is the variable header of CONNECT.
func hello(b []byte) l7.Verdict {
	for _, h := range [...]string{"\x00\x04MQTT\x04", "\x00\x04MQTT\x05", "\x00\x06MQIsdp\x03"} {
		if n := min(len(b), len(h)); string(b[:n]) == h[:n] {
			if n < len(h) {
				return l7.More
			}
			return l7.Request
		}
	}
	return l7.No
}

// follows reports whether at b[at:] a packet of side starts, or nothing.
func follows(b []byte, at int, side l7.Side) bool {
	if at >= len(b) {
		return at == len(b)
	}
	p, ok, short := read(b[at:])
	return ok && (short || sent[side]>>p.kind&1 == 1)
}

// topical reports whether a PUBLISH names a legal topic.
func topical(p packet) bool {
	c := l7.Cursor{B: p.b}
	n := int(c.U16())
	size := p.size
	if c.Short() {
		return true // too early to tell
	}
	if n == 0 || n+2 > size || (p.flags&6 != 0 && n+4 > size) {
		return false
	}
	t := c.B[:min(n, len(c.B))]
	for _, x := range t {
		if x < 0x20 || x == '+' || x == '#' || x == 0x7f {
			return false
		}
	}
	c.Take(n)
	return p.flags&6 == 0 || c.Short() || c.U16() != 0 || c.Short()
}

// filters reports whether a SUBSCRIBE of version 3 is exactly its filters.
func filters(p packet) bool {
	c := l7.Cursor{B: p.b}
	if c.U16() == 0 {
		return false
	}
	for c.Len() > 0 {
		f := c.Take(int(c.U16()))
		if len(f) == 0 || c.U8() > 2 || c.Short() {
			return false
		}
	}
	return true
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	k, ok, short := read(w.B)
	switch {
	case !ok || sent[side]>>k.kind&1 == 0:
		return 0, l7.ErrLost
	case short:
		return 0, l7.ErrMore
	}
	if need := min(k.total, look); len(w.B) < need && !w.End {
		return 0, l7.ErrMore
	}
	if len(k.b) > look {
		k.b = k.b[:look]
	}
	c := l7.Cursor{B: k.b}
	var err error
	if side == l7.Client {
		err = p.fromClient(&k, &c, m)
	} else {
		err = p.fromServer(&k, &c, m)
	}
	return k.total, err
}

func (p *parser) version(m *l7.Message) {
	switch p.level {
	case 3:
		m.Version = "3.1"
	case 4:
		m.Version = "3.1.1"
	case 5:
		m.Version = "5"
	}
	if p.client != "" {
		m.Add("messaging.client.id", p.client)
	}
}

func (p *parser) fromClient(k *packet, c *l7.Cursor, m *l7.Message) error {
	switch k.kind {
	case connect:
		return p.connect(c, m)
	case publish:
		return p.publish(l7.Client, k, c, m)
	case puback, pubrec, pubcomp:
		return p.acknowledged(k, c, m)
	case subscribe, unsubscribe:
		id := c.U16()
		p.version(m)
		if p.level == 5 {
			c.Skip(int(c.Uvarint()))
		}
		filter := c.Take(int(c.U16()))
		m.Op, m.Stream, m.Session = names[k.kind], uint64(id), decimal(m.Text, id)
		if !c.Short() && p.level != 0 {
			p.topic(m, m.Text.Copy(filter))
			p.filters(k.kind, c, m)
		}
	case pingreq:
		p.version(m)
		m.Op, m.Stream = names[k.kind], streamPing
	case disconnect:
		p.version(m)
		m.Op, m.Type = names[k.kind], l7.TypeOneWay
		if len(k.b) > 0 {
			p.reason(m, k.b[0], true)
		}
	default: // PUBREL: between the answers to a PUBLISH; AUTH
		return l7.ErrSkip
	}
	return nil
}

func (p *parser) connect(c *l7.Cursor, m *l7.Message) error {
	c.Take(int(c.U16()))
	level := c.U8()
	c.Skip(1) // flags
	c.Skip(2) // keep alive
	if c.Short() {
		return l7.ErrSkip
	}
	*p = parser{opts: p.opts, level: level}
	if level == 5 {
		props := l7.Cursor{B: c.Take(int(c.Uvarint()))}
		p.properties(&props, m, l7.Client)
	}
	id := c.Take(int(c.U16()))
	if !c.Short() && len(id) > 0 && len(id) <= maxClientID {
		p.client = strings.Clone(l7.View(id))
	}
	p.version(m)
	m.Op, m.Stream = names[connect], streamConnect
	return nil
}

func (p *parser) topic(m *l7.Message, topic string) {
	m.Target = topic
	m.Route = p.opts.Paths.Route(m.Text, topic)
}

// filters adds the topics behind the first one of a subscription.
func (p *parser) filters(kind byte, c *l7.Cursor, m *l7.Message) {
	for len(m.Target) < maxTopics {
		if kind == subscribe {
			c.U8() // how it is wanted
		}
		more := c.Take(int(c.U16()))
		if c.Short() || len(more) == 0 {
			return
		}
		m.Target = m.Text.Join(m.Target, ",", l7.View(more))
	}
}

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
		props := l7.Cursor{B: c.B[:min(max(size, 0), len(c.B))]}
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
	if alias == 0 {
		return topic
	}
	if topic == "" {
		return p.aliases[side][alias]
	}
	if a := p.aliases[side]; a == nil || len(a) >= maxAliases {
		p.aliases[side] = map[uint16]string{}
	}
	p.aliases[side][alias] = strings.Clone(topic)
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

// code is the reason code after a packet id: a packet that ends there means 0;
// one that was cut there is not known.
func (k *packet) code(c *l7.Cursor) (code byte, known bool) {
	if c.Len() > 0 {
		return c.U8(), true
	}
	return 0, k.size == 2
}

func (p *parser) fromServer(k *packet, c *l7.Cursor, m *l7.Message) error {
	switch k.kind {
	case connack:
		c.Skip(1)
		code := c.U8()
		if c.Short() {
			return l7.ErrSkip
		}
		m.Type, m.Stream = l7.TypeResponse, streamConnect
		p.reason(m, code, true)
	case publish:
		return p.publish(l7.Server, k, c, m)
	case puback, pubrec, pubcomp, unsuback:
		id := c.U16()
		if c.Short() {
			return l7.ErrSkip
		}
		m.Type, m.Stream = l7.TypeResponse, uint64(id)
		if k.kind == unsuback && k.size > 2 { // version 5: properties are between
			c.Skip(int(c.Uvarint()))
		}
		code, known := k.code(c)
		m.More = k.kind == pubrec && code < 0x80
		if !m.More {
			delete(p.published, id)
			p.reason(m, code, known)
		}
	case suback:
		id := c.U16()
		if c.Short() {
			return l7.ErrSkip
		}
		if p.level == 5 {
			c.Skip(int(c.Uvarint()))
		}
		code := c.U8()
		m.Type, m.Stream = l7.TypeResponse, uint64(id)
		// Version 5 has properties here: four bytes or more may be either.
		p.reason(m, code, !c.Short() && (p.level != 0 || k.size == 3))
	case pingresp:
		m.Type, m.Stream = l7.TypeResponse, streamPing
		p.reason(m, 0, true)
	case disconnect:
		p.version(m)
		m.Op, m.Type = names[k.kind], l7.TypeOneWay
		if len(k.b) > 0 {
			p.reason(m, k.b[0], true)
		}
	default: // PUBREL: between the acknowledgements of a delivery; AUTH
		return l7.ErrSkip
	}
	return nil
}

// Resync keeps what is open, since packet ids say what answers what. In the hole
// aliases may have been given anew, and ids been used again.
func (p *parser) Resync(side l7.Side) {
	p.aliases[side] = nil
	clear(p.published)
}

// Find is where a packet of side starts and packets follow it to the end of b.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := range b {
		if p.chain(side, b[i:], i == 0) {
			return i
		}
	}
	return -1
}

// chain reports whether b is packets of side. Not first: the last must end
// where b ends, and a lone one has to name a topic.
func (p *parser) chain(side l7.Side, b []byte, first bool) bool {
	n, named := 0, false
	for len(b) > 0 {
		k, ok, short := read(b)
		if !ok || sent[side]>>k.kind&1 == 0 {
			return false
		}
		if k.kind == publish && !short {
			if !topical(k) {
				return false
			}
			named = true
		}
		if short {
			return first
		}
		if k.total > len(b) {
			return first && (n > 0 || named || k.total <= 1<<10)
		}
		n++
		b = b[k.total:]
	}
	return first || named || n > 1
}

func decimal(t *l7.Text, v uint16) string {
	var b [5]byte
	return t.Copy(strconv.AppendUint(b[:0], uint64(v), 10))
}
