// Package pulsar reads Pulsar's binary protocol.
//
// Sending publishes, and is answered by its receipt. A message that the broker
// pushes is a one-way delivery.
package pulsar

import (
	"strconv"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Pulsar.
var Protocol = &l7.Protocol{
	Name:      "pulsar",
	Transport: l7.TCP,
	Ports:     []uint16{6650},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Code:   "hopscope.response.code",
		Domain: "hopscope.session.target",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "pulsar"}},
	Detect: detect,
	New: func(o *l7.Options) l7.Parser {
		return &parser{opts: o, producers: map[uint64]string{}, consumers: map[uint64]consumer{}}
	},
}

const (
	// maxBroker bounds the name of the broker behind a proxy.
	maxBroker = 256
	// maxFrame is the protocol's own limit of 5 MiB and its head.
	maxFrame = 5<<20 + 16<<10
	// look is how much of a frame is looked at: the command and the metadata.
	look = 16 << 10
	// maxNames bounds the producers, and the consumers, whose topic is remembered.
	maxNames = 1024
	maxText  = 512
)

type consumer struct{ topic, subscription string }

type parser struct {
	opts      *l7.Options
	producers map[uint64]string
	consumers map[uint64]consumer
	broker    string // behind a proxy, as the client names it
}

// kind is a command: its name, where its request id and its topic are, and what
// it is to an exchange.
type kind struct {
	name    string
	role    role
	id      int // field number of the request id
	topic   int
	request bool // sent by the client
}

type role uint8

const (
	quiet  role = iota // pings, flow control, what answers nothing
	ask                // has a request id, answered
	answer             // to a request id
	alone
	send     // answered by producer and sequence number
	receipt  // to a send
	delivery // a message for a consumer
)

// kinds by BaseCommand.Type, which is also the number of the command's field,
// https://github.com/apache/pulsar/blob/master/pulsar-common/src/main/proto/PulsarApi.proto.
var kinds = [...]kind{
	2:  {"CONNECT", ask, 0, 0, true},
	3:  {"CONNECTED", answer, 0, 0, false},
	4:  {"SUBSCRIBE", ask, 5, 1, true},
	5:  {"PRODUCER", ask, 3, 1, true},
	6:  {"SEND", send, 0, 0, true},
	7:  {"SEND_RECEIPT", receipt, 0, 0, false},
	8:  {"SEND_ERROR", receipt, 0, 0, false},
	9:  {"MESSAGE", delivery, 0, 0, false},
	10: {"ACK", alone, 0, 0, true},
	11: {"FLOW", quiet, 0, 0, true},
	12: {"UNSUBSCRIBE", ask, 2, 0, true},
	13: {"SUCCESS", answer, 1, 0, false},
	14: {"ERROR", answer, 1, 0, false},
	15: {"CLOSE_PRODUCER", ask, 2, 0, true},
	16: {"CLOSE_CONSUMER", ask, 2, 0, true},
	17: {"PRODUCER_SUCCESS", answer, 1, 0, false},
	18: {"PING", quiet, 0, 0, true},
	19: {"PONG", quiet, 0, 0, true},
	20: {"REDELIVER_UNACKNOWLEDGED_MESSAGES", alone, 0, 0, true},
	21: {"PARTITIONED_METADATA", ask, 2, 1, true},
	22: {"PARTITIONED_METADATA_RESPONSE", answer, 2, 0, false},
	23: {"LOOKUP", ask, 2, 1, true},
	24: {"LOOKUP_RESPONSE", answer, 4, 0, false},
	25: {"CONSUMER_STATS", ask, 1, 0, true},
	26: {"CONSUMER_STATS_RESPONSE", answer, 1, 0, false},
	27: {"REACHED_END_OF_TOPIC", alone, 0, 0, false},
	28: {"SEEK", ask, 2, 0, true},
	29: {"GET_LAST_MESSAGE_ID", ask, 2, 0, true},
	30: {"GET_LAST_MESSAGE_ID_RESPONSE", answer, 2, 0, false},
	32: {"GET_TOPICS_OF_NAMESPACE", ask, 1, 0, true},
	33: {"GET_TOPICS_OF_NAMESPACE_RESPONSE", answer, 1, 0, false},
	34: {"GET_SCHEMA", ask, 1, 2, true},
	35: {"GET_SCHEMA_RESPONSE", answer, 1, 0, false},
}

// frame is a frame up to its command.
type frame struct {
	total int
	typ   int
	kind  kind
	body  []byte // the command
	rest  []byte // metadata and payload, of SEND and MESSAGE
}

func read(b []byte) (f frame, ok, more bool) {
	c := l7.NewCursor(b)
	total, size := c.U32(), c.U32()
	if len(b) >= 4 && (total < 6 || total > maxFrame) || len(b) >= 8 && (size < 2 || size > total-4) {
		return f, false, false
	}
	if len(b) > 8 && b[8] != 8 {
		return f, false, false // the type comes first
	}
	if c.Short() {
		return f, false, true
	}
	f.total = int(total) + 4
	if size > look {
		return f, true, false
	}
	cmd := c.Take(int(size))
	if c.Short() {
		return f, false, true
	}
	n := 0
	good := l7.ProtoFields(cmd, func(num int, v uint64, s []byte) {
		switch n++; {
		case n == 1 && num == 1:
			f.typ = int(v)
		case num == f.typ:
			f.body = s
		}
	})
	if !good || n > 2 || f.typ < 2 || f.typ > 70 || n == 2 && f.body == nil {
		return f, false, false
	}
	if f.typ < len(kinds) {
		f.kind = kinds[f.typ]
	}
	f.rest = c.Rest()[:min(c.Len(), f.total-8-int(size))]
	return f, true, false
}

func detect(b []byte) l7.Verdict {
	if len(b) > 8 && b[8] != 8 {
		return l7.No
	}
	f, ok, more := read(b)
	switch {
	case more:
		return l7.More
	case !ok || f.kind.name == "":
		return l7.No
	case f.kind.name == "PING", f.kind.name == "PONG":
		return l7.Either
	case f.kind.role == quiet && f.typ != 11:
		return l7.No
	case f.kind.request:
		return l7.Request
	}
	return l7.Response
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	f, ok, more := read(w.B)
	switch {
	case more && !w.End:
		return 0, l7.ErrMore
	case !ok:
		return 0, l7.ErrLost
	}
	if (f.kind.role == send || f.kind.role == delivery) && len(w.B) < min(f.total, look) && !w.End {
		return 0, l7.ErrMore
	}
	if f.kind.role == quiet || f.kind.request != (side == l7.Client) {
		return f.total, l7.ErrSkip
	}
	return f.total, p.message(&f, m)
}

func (p *parser) message(f *frame, m *l7.Message) error {
	var num [8]uint64
	var txt [8][]byte
	l7.ProtoFields(f.body, func(n int, v uint64, s []byte) {
		if n < len(num) && txt[n] == nil {
			num[n], txt[n] = v, s
		}
	})
	m.Op = f.kind.name
	if f.typ == 2 && len(txt[6]) <= maxBroker {
		p.broker = string(txt[6])
	}
	if f.kind.role != answer {
		m.Domain = p.broker
	}
	m.Stream = num[f.kind.id]
	if f.kind.id == 0 {
		m.Stream = 1 << 62 // CONNECT: there is one
	}
	switch f.kind.role {
	case ask:
		if f.typ == 2 {
			if v := num[4]; v > 0 {
				m.Version = decimal(m.Text, v)
			}
			return nil
		}
		m.Session = decimal(m.Text, m.Stream)
		if t := txt[f.kind.topic]; f.kind.topic > 0 {
			p.topic(m, m.Text.Copy(t))
		}
		switch f.typ {
		case 4:
			m.Add("messaging.destination.subscription.name", m.Text.Copy(txt[2]))
			if len(p.consumers) >= maxNames {
				clear(p.consumers)
			}
			p.consumers[num[4]] = consumer{strings.Clone(m.Target), string(txt[2])}
		case 5:
			if len(p.producers) >= maxNames {
				clear(p.producers)
			}
			p.producers[num[2]] = strings.Clone(m.Target)
		case 15:
			p.topic(m, p.producers[num[1]])
		case 12, 16, 28, 29:
			p.consumed(m, num[1])
		}
	case answer:
		m.Type, m.Status, m.Op = l7.TypeResponse, l7.StatusOK, ""
		switch f.typ {
		case 14:
			p.fail(m, num[2], txt[3])
		case 22: // partitioned metadata: error 4, message 5
			if num[3] == 1 {
				p.fail(m, num[4], txt[5])
			}
		case 24: // lookup: kind 3, error 6, message 7
			if num[3] == 2 {
				p.fail(m, num[6], txt[7])
			}
		}
	case send:
		m.Stream = sendKey(num[1], num[2])
		m.Flow = l7.FlowPublish
		m.Add("messaging.operation.type", "send")
		p.topic(m, p.producers[num[1]])
		m.Session = decimal(m.Text, num[2])
		p.metadata(f.rest, m)
	case receipt:
		m.Type, m.Op, m.Stream = l7.TypeResponse, "", sendKey(num[1], num[2])
		m.Status = l7.StatusOK
		if f.typ == 8 {
			p.fail(m, num[3], txt[4])
		} else if id := messageID(m.Text, txt[3]); id != "" {
			m.Add("messaging.message.id", id)
		}
	case delivery:
		m.Type, m.Flow = l7.TypeOneWay, l7.FlowDeliver
		m.Add("messaging.operation.type", "process")
		p.consumed(m, num[1])
		if id := messageID(m.Text, txt[2]); id != "" {
			m.Add("messaging.message.id", id)
		}
		if num[3] > 0 {
			m.AddBool("hopscope.messaging.redelivered", true)
		}
		p.metadata(f.rest, m)
	default:
		m.Type = l7.TypeOneWay
		if f.typ == 10 {
			m.Add("messaging.operation.type", "settle")
			p.consumed(m, num[1])
		}
	}
	return nil
}

// sendKey is the stream of a send: high bits apart from request ids.
func sendKey(producer, sequence uint64) uint64 {
	return 1<<63 | producer&0x7fff<<48 | sequence&(1<<48-1)
}

func (p *parser) topic(m *l7.Message, t string) { m.Target, m.Route = t, t }

func (p *parser) consumed(m *l7.Message, id uint64) {
	if c, ok := p.consumers[id]; ok {
		p.topic(m, c.topic)
		m.Add("messaging.destination.subscription.name", c.subscription)
	}
}

// metadata reads the properties in front of a payload:
// [0e01 checksum] size MessageMetadata.
func (p *parser) metadata(b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	if len(b) >= 2 && b[0] == 0x0e && b[1] == 0x02 { // broker entry metadata
		c.Skip(2)
		c.Skip(int(c.U32()))
	}
	if c.Len() >= 2 && string(c.Rest()[:2]) == "\x0e\x01" {
		c.Skip(6)
	}
	meta := c.Take(int(c.U32()))
	if c.Short() {
		return
	}
	count := int64(1)
	l7.ProtoFields(meta, func(num int, v uint64, s []byte) {
		switch num {
		case 4: // a property: key 1, value 2
			var k, val []byte
			l7.ProtoFields(s, func(n int, _ uint64, t []byte) {
				switch n {
				case 1:
					k = t
				case 2:
					val = t
				}
			})
			p.opts.Header(m, k, val)
		case 8:
			if names := [...]string{1: "lz4", 2: "zlib", 3: "zstd", 4: "snappy"}; v > 0 && v < uint64(len(names)) {
				m.Add("hopscope.messaging.compression", names[v])
			}
		case 11:
			count = int64(v)
		}
	})
	m.AddInt("messaging.batch.message_count", count)
}

// messageID is ledger:entry of MessageIdData.
func messageID(t *l7.Text, b []byte) string {
	var ledger, entry uint64
	if len(b) == 0 || !l7.ProtoFields(b, func(n int, v uint64, _ []byte) {
		switch n {
		case 1:
			ledger = v
		case 2:
			entry = v
		}
	}) {
		return ""
	}
	var d [48]byte
	out := strconv.AppendUint(d[:0], ledger, 10)
	out = append(out, ':')
	return t.Copy(strconv.AppendUint(out, entry, 10))
}

func (p *parser) fail(m *l7.Message, code uint64, text []byte) {
	m.Status = l7.StatusServerError
	m.Code = decimal(m.Text, code)
	m.Error = m.Text.Copy(text[:min(len(text), maxText)])
}

func decimal(t *l7.Text, v uint64) string {
	var b [20]byte
	return t.Copy(strconv.AppendUint(b[:0], v, 10))
}

// Resync keeps the names of producers and consumers: ids are given once.
func (p *parser) Resync(l7.Side) {}

// Find is where a frame of side starts.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+9 <= len(b); i++ {
		if b[i] != 0 || b[i+8] != 8 {
			continue
		}
		if f, ok, more := read(b[i:]); ok && f.kind.name != "" && (f.kind.role == quiet || f.kind.request == (side == l7.Client)) || more && i == 0 {
			return i
		}
	}
	return -1
}
