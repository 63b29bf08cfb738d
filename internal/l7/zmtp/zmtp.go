// Package zmtp reads ZeroMQ's message transport protocol, versions 2.0 to 3.1
// (https://rfc.zeromq.org/spec/23, /37).
package zmtp

import (
	"bytes"
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is ZMTP.
var Protocol = &l7.Protocol{
	Name:      "zmtp",
	Transport: l7.TCP,
	Ports:     []uint16{5555, 5556},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:     "messaging.operation.name",
		Target: "messaging.destination.name",
		Code:   "hopscope.response.code",
	},
	Attrs:  []l7.Attr{{Key: "messaging.system", Str: "zeromq"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	signatureLen = 10
	greetingLen  = 64 // of version 3
	greeting2Len = 12 // of version 2: signature, version, type
	// look is how much of a frame is looked at.
	look = 512
	// maxFrame bounds what is believed of a length: ZeroMQ has no limit.
	maxFrame = 1 << 40
	// maxTopics bounds the subscriptions that are remembered, maxTopic each.
	maxTopics = 64
	maxTopic  = 128
)

// Flags of a frame.
const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4
)

// kind is the type of a socket.
type kind uint8

const (
	unknown kind = iota
	pair
	pub
	sub
	req
	rep
	dealer
	router
	pull
	push
	xpub
	xsub
)

var kinds = [...]string{pair: "PAIR", pub: "PUB", sub: "SUB", req: "REQ", rep: "REP", dealer: "DEALER", router: "ROUTER",
	pull: "PULL", push: "PUSH", xpub: "XPUB", xsub: "XSUB"}

// peer is what is known of one side.
type peer struct {
	revision byte // 0: it has not greeted yet
	minor    byte // of version 3
	greeted  bool
	kind     kind
	identity bool // version 2: its name follows, in a frame
	inside   bool // a message goes on in the next frame
}

type parser struct {
	opts   *l7.Options
	peers  [2]peer
	curve  bool
	topics [][]byte // what the subscriber wants
	// A REQ socket asks one thing at a time: number counts, open tells that it
	// waits.
	number uint64
	open   bool
}

func detect(b []byte) l7.Verdict {
	for i, c := range b[:min(len(b), signatureLen)] {
		switch {
		case i == 0 && c != 0xff, i > 0 && i < 8 && c != 0, i == 9 && c != 0x7f:
			return l7.No
		}
	}
	if len(b) < signatureLen {
		return l7.More
	}
	return l7.Either
}

// frame is one frame's head.
type frame struct {
	flags byte
	head  int
	size  uint64
}

func readFrame(b []byte) (f frame, ok, more bool) {
	if len(b) < 2 {
		return f, false, len(b) == 0 || b[0]&^(flagMore|flagLong|flagCommand) == 0
	}
	f = frame{flags: b[0], head: 2, size: uint64(b[1])}
	if f.flags&^(flagMore|flagLong|flagCommand) != 0 || f.flags&flagCommand != 0 && f.flags&flagMore != 0 {
		return f, false, false
	}
	if f.flags&flagLong != 0 {
		if f.head = 9; len(b) < 9 {
			return f, false, true
		}
		f.size = binary.BigEndian.Uint64(b[1:])
	}
	return f, f.size <= maxFrame, false
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	s := &p.peers[side]
	if !s.greeted {
		return p.greeting(side, w)
	}
	f, ok, more := readFrame(w.B)
	switch {
	case more:
		return 0, l7.ErrMore
	case !ok:
		return 0, l7.ErrLost
	}
	if need := f.head + int(min(f.size, look)); len(w.B) < need && !w.End {
		return 0, l7.ErrMore
	}
	b := w.B[f.head:min(uint64(len(w.B)), uint64(f.head)+f.size)]
	n := f.head + int(f.size)
	if s.identity {
		s.identity = false
		return n, l7.ErrSkip
	}
	if f.flags&flagCommand != 0 {
		return n, p.command(side, b, uint64(len(b)) == f.size, m)
	}
	first := !s.inside
	s.inside = f.flags&flagMore != 0
	return n, p.message(side, first, f, b, m)
}

// greeting passes over what a side begins with.
func (p *parser) greeting(side l7.Side, w l7.Window) (int, error) {
	b := w.B
	if detect(b) == l7.No {
		return 0, l7.ErrLost
	}
	if len(b) <= signatureLen {
		return 0, l7.ErrMore
	}
	s := &p.peers[side]
	s.revision = b[signatureLen]
	if other := p.peers[side.Other()].revision; s.revision < 3 || other != 0 && other < 3 {
		if len(b) < greeting2Len {
			return 0, l7.ErrMore
		}
		if s.revision == 0 || b[11] > 10 {
			return 0, l7.ErrLost
		}
		s.kind, s.identity, s.greeted = kind(b[11])+1, true, true
		return greeting2Len, l7.ErrSkip
	}
	if len(b) < greetingLen {
		return 0, l7.ErrMore
	}
	s.greeted = true
	s.minor = b[signatureLen+1]
	if bytes.HasPrefix(b[12:], []byte("CURVE")) {
		p.curve = true
	}
	return greetingLen, l7.ErrSkip
}

// command reads what is no message.
func (p *parser) command(side l7.Side, b []byte, whole bool, m *l7.Message) error {
	if len(b) == 0 {
		return l7.ErrSkip
	}
	var name, rest []byte
	if bytes.HasPrefix(b, []byte("^RROR")) { // libzmq's slip, "\x5ERROR"
		name, rest = []byte("ERROR"), b[5:]
	} else if n := 1 + int(b[0]); n > len(b) {
		return l7.ErrSkip
	} else {
		name, rest = b[1:n], b[n:]
	}
	m.Type = l7.TypeOneWay
	switch p.peers[side].minor {
	case 0:
		m.Version = "3.0"
	case 1:
		m.Version = "3.1"
	}
	switch l7.View(name) {
	case "READY":
		m.Op = "READY"
		if p.curve {
			m.Opaque = true // from here on all is encrypted
			return nil
		}
		p.metadata(side, rest, m)
	case "INITIATE":
		if !p.curve {
			m.Op = "INITIATE"
			p.metadata(side, rest, m)
			return nil
		}
		return l7.ErrSkip
	case "HELLO", "WELCOME":
		if m.Op = "HELLO"; name[0] == 'W' {
			m.Op = "WELCOME"
		}
	case "ERROR":
		m.Op, m.Status, m.Error = "ERROR", l7.StatusServerError, ""
		if side == l7.Client {
			m.Status = l7.StatusClientError
		}
		if len(rest) > 1 {
			m.Code = m.Text.Copy(rest[1:min(len(rest), 1+int(rest[0]))])
			m.Error = m.Code
		}
	case "SUBSCRIBE", "CANCEL":
		m.Op = "SUBSCRIBE"
		if name[0] == 'C' {
			m.Op = "CANCEL"
		}
		p.subscribe(rest, whole && name[0] == 'S', m)
	default:
		return l7.ErrSkip
	}
	return nil
}

// metadata reads the properties of a socket.
func (p *parser) metadata(side l7.Side, b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	for c.Len() > 0 {
		key := c.Take(int(c.U8()))
		v := c.Take(int(c.U32()))
		if c.Short() {
			return
		}
		switch {
		case bytes.EqualFold(key, []byte("Socket-Type")):
			for k, name := range kinds {
				if name == l7.View(v) {
					p.peers[side].kind = kind(k)
					m.Target = name
				}
			}
		case bytes.EqualFold(key, []byte("Identity")) && len(v) > 0 && len(v) <= maxTopic && printable(v):
			m.Add("messaging.client.id", m.Text.Copy(v))
		}
	}
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// subscribe reads a topic, and remembers it if it is to be.
func (p *parser) subscribe(topic []byte, on bool, m *l7.Message) {
	topic = topic[:min(len(topic), maxTopic)]
	if printable(topic) {
		m.Target = m.Text.Copy(topic)
	}
	if on && len(topic) > 0 && len(p.topics) < maxTopics {
		for _, t := range p.topics {
			if bytes.Equal(t, topic) {
				return
			}
		}
		p.topics = append(p.topics, bytes.Clone(topic))
	}
}

// topic is the longest subscription that a message is for.
func (p *parser) topic(b []byte, m *l7.Message) {
	best := -1
	for i, t := range p.topics {
		if bytes.HasPrefix(b, t) && (best < 0 || len(t) > len(p.topics[best])) {
			best = i
		}
	}
	if best >= 0 && printable(p.topics[best]) {
		m.Target = m.Text.Copy(p.topics[best])
	}
}

// streamOneWay is the stream of one-way messages of several frames, of either
// side; requests count from 1.
const streamOneWay = 1 << 62

func (p *parser) message(side l7.Side, first bool, f frame, b []byte, m *l7.Message) error {
	me, other := p.peers[side].kind, p.peers[side.Other()].kind
	m.More = f.flags&flagMore != 0
	switch {
	case me == unknown || other == unknown:
		return l7.ErrSkip
	case side == l7.Client && me == req:
		if first {
			p.number++
			p.open = true
			m.Op = "REQUEST"
		}
		m.Stream = p.number
		return nil
	case side == l7.Server && other == req:
		if !p.open {
			return l7.ErrSkip
		}
		p.open = m.More
		m.Type, m.Stream, m.Status = l7.TypeResponse, p.number, l7.StatusOK
		return nil
	}
	m.Type, m.Stream = l7.TypeOneWay, streamOneWay+uint64(side)
	if !first {
		return nil
	}
	if len(b) == 0 && f.size > 0 {
		return nil // cut: what it says is not known
	}
	m.Op = "SEND"
	switch me {
	case sub, xsub:
		// Before 3.1, subscriptions are messages.
		if len(b) > 0 && b[0] <= 1 {
			m.Op = "CANCEL"
			if b[0] == 1 {
				m.Op = "SUBSCRIBE"
			}
			p.subscribe(b[1:], b[0] == 1 && uint64(len(b)) == f.size, m)
			return nil
		}
	case pub, xpub:
		p.topic(b, m)
		fallthrough
	case push:
		m.Flow = l7.FlowPublish
		if m.Op = "PUSH"; me != push {
			m.Op = "PUBLISH"
		}
		if side == l7.Server {
			m.Flow = l7.FlowDeliver
		}
	case rep:
		m.Op = "REPLY" // to a REQ that was connected to
	case req:
		m.Op = "REQUEST"
	}
	return nil
}

// Resync: what was open is lost with what is missing.
func (p *parser) Resync(side l7.Side) {
	p.open = false
	p.peers[side].inside = false
}

// Find: frames say little. One is believed where the frames fill what there is.
func (p *parser) Find(side l7.Side, b []byte) int {
	if !p.peers[side].greeted {
		if detect(b) == l7.Either {
			return 0
		}
		return -1
	}
	for i := 0; ; {
		f, ok, _ := readFrame(b[i:])
		if !ok || f.size > uint64(len(b)) {
			return -1
		}
		if i += f.head + int(f.size); i >= len(b) {
			if i == len(b) {
				return 0
			}
			return -1
		}
	}
}
