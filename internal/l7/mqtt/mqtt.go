// Package mqtt reads MQTT 3.1, 3.1.1 and 5.
//
// What a client publishes with QoS 1 or 2 is answered by the acknowledgement of
// its packet id. What a broker delivers is one-way, and lasts until the client
// has acknowledged it.
package mqtt

import (
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
	New:    func(o *l7.Options) l7.Parser { return newParser(o) },
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
	// maxAliases bounds the topic aliases of each side that are followed: clients
	// count from 1.
	maxAliases = 1024
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
	delivered l7.Open[uint64]   // deliveries not acknowledged yet: their streams
	published l7.Open[struct{}] // publishes not acknowledged yet
	serial    uint64
	aliases   [2][]topic // by their number, of which 0 is none
}

// topic is a topic's name and its route.
type topic struct{ name, route string }

func newParser(o *l7.Options) *parser {
	return &parser{opts: o, delivered: l7.NewOpen[uint64](maxOpen), published: l7.NewOpen[struct{}](maxOpen)}
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
	c := l7.NewCursor(k.b)
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
		m.Op, m.Stream, m.Session = names[k.kind], uint64(id), m.Text.Uint(uint64(id))
		if !c.Short() && p.level != 0 {
			m.Target, m.Route = m.Text.Routed(p.opts.Paths, filter)
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
	p.level, p.client, p.serial, p.aliases = level, "", 0, [2][]topic{}
	p.delivered.Clear()
	p.published.Clear()
	if level == 5 {
		props := l7.NewCursor(c.Take(int(c.Uvarint())))
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
			p.published.Take(uint64(id))
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
	p.published.Clear()
}
