// Package kafka reads the Kafka protocol: requests and answers paired by
// correlation id, all published versions.
//
// Produce is a publish. Fetch is a call of the consumer that asks: what comes
// back is any number of messages or none, and the semantic conventions make
// such a receive a CLIENT span; a CONSUMER span would be the processing, which
// the wire does not show.
package kafka

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Kafka.
var Protocol = &l7.Protocol{
	Name:      "kafka",
	Transport: l7.TCP,
	Ports:     []uint16{9092},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Code:   "hopscope.response.code",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "kafka"}},
	Detect: detect,
	Shared: func() any { return &topicNames{} },
	New: func(o *l7.Options) l7.Parser {
		names, _ := o.Shared.(*topicNames)
		if names == nil {
			names = &topicNames{}
		}
		return &parser{opts: o, names: names, calls: l7.NewOpen[call](maxCalls)}
	},
}

const (
	// maxMessage bounds what is believed of a size: the default of
	// socket.request.max.bytes, 100 MiB.
	maxMessage = 100 << 20
	// look is how much of a message is looked at. A record's headers come after
	// its value, so that a value larger than this hides them.
	look = 32 << 10
	// maxCalls bounds the requests that are remembered until their answer: a
	// client has 5 open unless told otherwise. 1024 entries are 40 KiB.
	maxCalls = 1024
	// maxClientID: longer ones are not believed. The broker's limit is 32767,
	// names in use are host and thread names.
	maxClientID = 512
)

// call is what an answer needs to know of its request.
type call struct {
	key     int16
	version int8
	asked   bool   // part and offset are known
	topic   uint32 // hash of the topic asked for, 0 if none was
	part    int32
	offset  int64
}

type parser struct {
	opts  *l7.Options
	names *topicNames
	calls l7.Open[call]
	sasl  bool // a handshake of the old form: bare tokens may follow
}

// head is a request's header.
type head struct {
	size    int32
	key     int16
	version int8
	corr    int32
	client  []byte
	body    []byte
	short   bool // b ends before the body
}

// readHead reads the header of a request; ok is false if b holds none.
func readHead(b []byte) (h head, ok bool) {
	c := l7.NewCursor(b)
	h.size = int32(c.U32())
	h.key = int16(c.U16())
	v := int16(c.U16())
	h.corr = int32(c.U32())
	n := int16(c.U16())
	if len(b) >= 4 && (h.size < 8 || h.size > maxMessage) {
		return h, false
	}
	if len(b) >= 6 && (h.key < 0 || int(h.key) >= len(apis) || apis[h.key].name == "") {
		return h, false
	}
	if len(b) >= 8 && (v < 0 || v > int16(apis[h.key].max)+slack) {
		return h, false
	}
	if len(b) >= 9 && b[8]&0x80 != 0 {
		return h, false // correlation ids count up from 0 or 1
	}
	h.version = int8(v)
	if len(b) >= 12 && h.key == 7 && v == 0 { // ControlledShutdown 0 has no client id
		h.body = c.Rest()
		return h, h.size == 12
	}
	if c.Short() {
		h.short = true
		return h, true
	}
	if n < -1 || n > maxClientID || max(int32(n), 0)+10 > h.size {
		return h, false
	}
	if n > 0 {
		if int(n) > c.Len() {
			h.short = true
			h.client = c.Rest()
		} else {
			h.client = c.Take(int(n))
		}
		for _, x := range h.client {
			if x < 0x20 || x == 0x7f {
				return h, false
			}
		}
	}
	if !h.short {
		h.body = c.Rest()
		if int64(len(h.body)) > int64(h.size)+4-int64(len(b)-c.Len()) {
			h.body = h.body[:int64(h.size)+4-int64(len(b)-c.Len())]
		}
	}
	return h, true
}

func detect(b []byte) l7.Verdict {
	h, ok := readHead(b)
	switch {
	case !ok:
		return l7.No
	case h.short || len(b) < 14:
		return l7.More
	case len(h.client) == 0 && !named(h):
		// Zeroes look like a request of key 0 without a client.
		return l7.No
	}
	if h.key == produce && h.version <= apis[produce].max {
		if v := plausibleProduce(h); v != l7.Request {
			return v
		}
	}
	if next := int(h.size) + 4; len(b) >= next+4 {
		if _, ok := readHead(b[next:]); !ok {
			return l7.No
		}
	}
	return l7.Request
}

// named reports whether the body names a topic or a group: what a request
// without a client's id must do to be believed.
func named(h head) bool {
	a := &apis[h.key]
	w := walk{c: l7.NewCursor(h.body), version: h.version, flexible: h.version >= a.flexible}
	w.tags()
	switch h.key {
	case apiVersions:
		return h.version < 3 && h.size == 10
	case produce:
		return true // plausibleProduce decides
	case fetch:
		fetchRequest(&w)
	default:
		w.run(request(h.key))
	}
	name := w.topic
	if len(name) == 0 {
		name = w.group
	}
	return len(name) > 0 && legal(name)
}

// legal reports whether b may be a topic's name.
func legal(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// plausibleProduce looks into the body: an answer with a small correlation id
// looks like the header of a Produce, with the topic as the client's id.
func plausibleProduce(h head) l7.Verdict {
	w := walk{c: l7.NewCursor(h.body), version: h.version, flexible: h.version >= apis[produce].flexible}
	w.tags()
	if h.version >= 3 {
		w.text()
	}
	acks, timeout := int16(w.c.U16()), int32(w.c.U32())
	n := w.count()
	switch {
	case w.stopped:
		return l7.No
	case w.c.Short():
		return l7.More
	case acks < -1 || acks > 1 || timeout < 0 || timeout > 1<<24 || n < 1 || n > 1<<16:
		return l7.No
	case h.version >= 13:
		return l7.Request
	}
	name := w.text()
	switch {
	case !legal(name):
		return l7.No
	case w.stopped || (!w.c.Short() && len(name) == 0):
		return l7.No
	case w.c.Short():
		return l7.More
	}
	return l7.Request
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) < 4 {
		return 0, l7.ErrMore
	}
	c := l7.NewCursor(w.B)
	size := int32(c.U32())
	if p.sasl && side == l7.Server && size >= 0 && size < 4 {
		return 4 + int(size), l7.ErrSkip // a bare token, which may be empty
	}
	if size < 4 || size > maxMessage {
		return 0, l7.ErrLost
	}
	total := int(size) + 4
	if len(w.B) < min(total, look) && !w.End {
		return 0, l7.ErrMore
	}
	b := w.B[:min(total, look, len(w.B))]
	if side == l7.Client {
		return p.request(b, total, m)
	}
	return p.response(b, total, m)
}

func (p *parser) request(b []byte, total int, m *l7.Message) (int, error) {
	h, ok := readHead(b)
	if !ok {
		if p.sasl {
			return total, l7.ErrSkip
		}
		return 0, l7.ErrLost
	}
	if h.short && len(b) < 12 {
		return 0, l7.ErrMore
	}
	m.Type = l7.TypeRequest
	m.Stream = uint64(uint32(h.corr))
	a := &apis[h.key]
	m.Op = a.name
	m.Session = decimal(m.Text, int64(h.corr))
	m.Version = version(h.version)
	if t := operationType(h.key); t != "" {
		m.Add("messaging.operation.type", t)
	}
	if len(h.client) > 0 && !h.short {
		m.Add("messaging.client.id", m.Text.Word(h.client))
	}
	p.sasl = h.key == saslHandshake && h.version == 0
	k := call{key: h.key, version: h.version}
	if h.key == produce && (h.short || h.version > a.max) {
		return total, l7.ErrSkip
	}
	if !h.short && h.version <= a.max {
		wk := walk{c: l7.NewCursor(h.body), version: h.version, flexible: h.version >= a.flexible}
		wk.tags() // of the header
		switch h.key {
		case produce:
			acks, ok := p.produce(&wk, m)
			if !ok {
				return total, l7.ErrSkip // cut before it says whether it is answered
			}
			if acks == 0 {
				m.Type = l7.TypeOneWay
			}
		case fetch:
			fetchRequest(&wk)
			p.describe(&wk, m)
			k.offset, k.part, k.asked, k.topic = wk.offset, wk.partition, wk.hasOffset, wk.hash()
		default:
			wk.run(request(h.key))
			p.describe(&wk, m)
		}
	}
	if h.key == produce {
		m.Flow = l7.FlowPublish
	}
	if m.Type != l7.TypeOneWay {
		p.calls.Put(m.Stream, k)
	}
	return total, nil
}

// describe says what a body is about.
func (p *parser) describe(w *walk, m *l7.Message) {
	if len(w.topic) > 0 {
		m.Target = m.Text.Word(w.topic)
		m.Route = m.Target
	} else if name := p.names.of(w.topicID); name != "" {
		m.Target, m.Route = name, name
	} else if len(w.topicID) == idLen && [idLen]byte(w.topicID) != [idLen]byte{} {
		m.Add("hopscope.messaging.destination.id", uuidText(m.Text, w.topicID))
	}
	if w.hasPart {
		m.Add("messaging.destination.partition.id", decimal(m.Text, int64(w.partition)))
	}
	if len(w.group) > 0 {
		m.Add("messaging.consumer.group.name", m.Text.Word(w.group))
	}
}

func (p *parser) response(b []byte, total int, m *l7.Message) (int, error) {
	c := l7.NewCursor(b)
	c.Skip(4)
	corr := int32(c.U32())
	if c.Short() {
		return 0, l7.ErrMore
	}
	k, ok := p.calls.Take(uint64(uint32(corr)))
	if !ok {
		return total, l7.ErrSkip // of a request that was not seen
	}
	m.Type = l7.TypeResponse
	m.Stream = uint64(uint32(corr))
	a := &apis[k.key]
	if k.version > a.max {
		return total, nil
	}
	w := walk{c: c, version: k.version, flexible: k.version >= a.flexible}
	if k.key != apiVersions { // whose answer keeps the old header, so that old clients can read it
		w.tags()
	} else if k.version >= a.flexible && c.Len() >= 2 && string(c.Rest()[:2]) == "\x00\x23" {
		w.flexible = false // UNSUPPORTED_VERSION is answered in version 0
	}
	// A body cut before its end may hold an error behind the part that has none;
	// records that are there are not an error.
	switch k.key {
	case produce:
		produceResponse(&w)
		if w.hasOffset && w.offset >= 0 && w.code == 0 {
			m.AddInt("messaging.kafka.offset", w.offset)
		}
	case fetch:
		p.fetchResponse(&w, k, m)
	case metadata:
		p.metadataResponse(&w)
	default:
		w.run(response(k.key))
	}
	if w.hasCode && (w.code != 0 || !w.c.Short() || w.hasRecords || w.sure) {
		m.Code = "0"
		m.Status = l7.StatusOK
		if w.code != 0 {
			m.Code = decimal(m.Text, int64(w.code))
			m.Error = errorName(w.code)
			m.Status = l7.StatusServerError
		}
	}
	return total, nil
}

// Resync keeps what is open: correlation ids say what answers what.
func (p *parser) Resync(side l7.Side) {
	if side == l7.Client {
		p.sasl = false
	}
}

// Find looks for a request by its header, for an answer by a correlation id
// that is waited for; what follows it in b must look the same.
func (p *parser) Find(side l7.Side, b []byte) int {
	if side == l7.Server {
		if p.answers(b) {
			return 0
		}
		return -1
	}
	for i := 0; i+14 <= len(b); i++ {
		if b[i] > maxMessage>>24 || b[i+4] != 0 || b[i+6] != 0 || (i > 0 && b[i+12] != 0) {
			continue
		}
		h, ok := readHead(b[i:])
		if !ok || h.short || (i > 0 && len(h.client) == 0) {
			continue
		}
		if next := i + 4 + int(h.size); next+14 <= len(b) {
			if n, ok := readHead(b[next:]); !ok || n.short {
				continue
			}
		}
		return i
	}
	return -1
}

func (p *parser) answers(b []byte) bool {
	c := l7.NewCursor(b)
	size := int32(c.U32())
	corr := int32(c.U32())
	if c.Short() || size < 4 || size > maxMessage {
		return false
	}
	if p.calls.Get(uint64(uint32(corr))) == nil {
		return false
	}
	if next := int(size) + 4; next < len(b) {
		n := l7.NewCursor(b[next:])
		size = int32(n.U32())
		return n.Short() || (size >= 4 && size <= maxMessage)
	}
	return true
}

// operationType is messaging.operation.type, where there is one.
func operationType(key int16) string {
	switch key {
	case produce:
		return "send"
	case fetch, shareFetch:
		return "receive"
	case offsetCommit, shareAck:
		return "settle"
	}
	return ""
}

var versions = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"}

func version(v int8) string {
	if int(v) < len(versions) {
		return versions[v]
	}
	return ""
}

func decimal(t *l7.Text, v int64) string {
	if v >= 0 {
		return t.Uint(uint64(v))
	}
	var b [20]byte
	return t.Copy(strconv.AppendInt(b[:0], v, 10))
}

// uuidText is Kafka's form of a topic id in the usual one of UUIDs.
func uuidText(t *l7.Text, id []byte) string {
	const hex = "0123456789abcdef"
	return t.Build(36, func(d []byte) int {
		n := 0
		for i, b := range id {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				d[n] = '-'
				n++
			}
			d[n], d[n+1] = hex[b>>4], hex[b&15]
			n += 2
		}
		return n
	})
}
