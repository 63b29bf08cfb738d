package session

import (
	"time"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// Config is what the engine may be told. The zero value is usable.
type Config struct {
	// Protocols in the order of detection; ports of the connection move theirs
	// to the front.
	Protocols []*l7.Protocol
	Options   *l7.Options
	// Timeout is how long a request waits for its answer. Zero: 60 s, and 10 s
	// for protocols on UDP.
	Timeout time.Duration
	// MaxLooks is how many chunks of a connection are looked at before it is
	// given up as unknown. Zero: 8.
	MaxLooks int
	// MaxPending is how many requests of one connection may be open. Zero: 16384.
	MaxPending int
	Payload    int // bytes of each message kept for plugins; 0 = none
	// Judge is asked once what a connection speaks. May be nil.
	Judge func(*stream.Conn) Judgement
	// Mute is told of connections that nobody will read again. May be nil.
	Mute func(*stream.Conn)
	// Burst is told, once, of connections that move many messages in a call, of
	// which capture keeps too little. May be nil.
	Burst func(*stream.Conn)
	// Identified is told once per connection what it speaks. May be nil.
	Identified func(*stream.Conn, *l7.Protocol)
	// Learned is told of connections whose Facts are new. May be nil.
	Learned func(*stream.Conn)
	// Began is told of every exchange when its request was recognised, Answered
	// when its answer was: in the order of the calls that moved them, long before
	// the exchange is over. They are valid until the exchange is given on. May be
	// nil.
	Began, Answered func(*Exchange)
	// Unparsed is offered chunks that no protocol knows; true means taken: the
	// connection is not muted. May be nil.
	Unparsed func(*stream.Chunk) bool
	// Contain: a panic of a protocol's code costs the connection that it was at,
	// which is given up, and is counted. Without it the panic goes up, as tests
	// and bug reports want it.
	Contain bool
}

// Judgement is what is known of a connection before it says anything.
type Judgement struct {
	Force  *l7.Protocol   // the only one that is looked for; nil: any
	Forbid []*l7.Protocol // those that are not
}

const (
	defaultTimeout    = 60 * time.Second
	defaultUDPTimeout = 10 * time.Second
	defaultMaxLooks   = 8
	defaultMaxPending = 16384
	// detectWindow bounds what is kept of a connection that nobody claimed yet:
	// longer than any protocol's first message has to be to tell what it is.
	detectWindow = 2 << 10
	// burst is how many messages a call has, besides those that were cut off, to be
	// one of many: large ones are not worth more of the ring.
	burst = 4
	// maxLost is how often in a row a connection may fail to find its place
	// before its protocol is asked anew.
	maxLost = 16
)

// Engine reads the connections of one shard. One goroutine owns it.
type Engine struct {
	cfg   Config
	next  func(*Exchange)
	stats *Stats
	index map[*l7.Protocol]int
	// options are those of each protocol, by index; ruled those with rules that
	// apply to a server's port.
	options []*l7.Options
	ruled   map[ruledKey]*l7.Options
	text    l7.Text
	free    []*pending
	spare   *pending // the next request is read into it, see into
	// live is all sessions, for Tick.
	live  map[*session]struct{}
	found int   // messages in the chunk in hand
	cur   mark  // what the chunk in hand is
	at    mark  // where the message in hand starts
	now   int64 // the clock at the last Tick
	// What connections may share of their facts, and room to put them together.
	shared   map[string]*stream.Facts
	facts    []l7.Attr
	factsKey []byte

	chunks uint64 // as Stats.Chunks
}

// New makes an engine that gives exchanges to next.
func New(cfg Config, next func(*Exchange)) *Engine {
	if cfg.Options == nil {
		cfg.Options = l7.DefaultOptions()
	}
	if cfg.MaxLooks == 0 {
		cfg.MaxLooks = defaultMaxLooks
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = defaultMaxPending
	}
	e := &Engine{cfg: cfg, next: next, stats: newStats(cfg.Protocols), index: map[*l7.Protocol]int{}, live: map[*session]struct{}{}}
	for i, p := range cfg.Protocols {
		e.index[p] = i
		o := cfg.Options
		if p.Shared != nil {
			own := *o
			own.Shared, o = p.Shared(), &own
		}
		e.options = append(e.options, o)
	}
	return e
}

// ruledKey is a protocol, by index, and a port that rules name, or 0.
type ruledKey struct {
	protocol int
	port     uint16
}

// optionsOf are those of protocol i on the connection c, whose client is client.
func (e *Engine) optionsOf(i int, c *stream.Conn, client stream.Dir) *l7.Options {
	o := e.options[i]
	if o.Rules == nil {
		return o
	}
	server := c.B
	if client == stream.FromB {
		server = c.A
	}
	k := ruledKey{i, o.Rules.Port(server.Port())}
	own := e.ruled[k]
	if own == nil {
		own = o
		if x := o.Rules.For(e.cfg.Protocols[i], k.port); x != nil {
			own = o.With(x)
		}
		if e.ruled == nil {
			e.ruled = map[ruledKey]*l7.Options{}
		}
		e.ruled[k] = own
	}
	return own
}

// Stats is the engine's counters.
func (e *Engine) Stats() *Stats { return e.stats }

// mark is where a chunk lies in its direction's stream, and who moved it.
type mark struct {
	pos      uint64
	seq      uint32
	time     int64
	other    uint64
	hasOther bool
	ctx      stream.Ctx
}

// half is the reading of one direction.
type half struct {
	started bool
	synced  bool
	found   bool // the next message was looked for after a hole: it continues none
	ended   bool
	unread  uint64 // bytes that were lost, or not understood, since the last reckoning
	holed   bool   // bytes were missing before the protocol was known
	next    uint64 // position after the last byte accounted for
	buf     []byte // bytes before next that a parser wants to see again
	marks   []mark // chunks that buf came from
	skip    uint64 // bytes of the current message still to come
	open    *pending
	more    bool // the message of open goes on after skip
	dropped bool // bytes behind the last hole were not understood
	lost    int  // failures to find a message, in a row
	// text is the beginning of the current message, of size bytes, where rules
	// look into messages and not all of it has come yet.
	text []byte
	size uint64
}

// session is one connection.
type session struct {
	conn     *stream.Conn
	proto    *l7.Protocol
	parser   l7.Parser
	options  *l7.Options
	st       *ProtoStats
	judged   Judgement
	looks    int
	ran      stream.Dir // who spoke at the last look, and in how many chunks
	run      int
	mute     bool
	bursts   bool       // Config.Burst was told
	raw      bool       // no protocol knows it, and somebody takes it as it is
	client   stream.Dir // valid once proto is
	half     [2]half
	fifo     []*pending // InOrder: requests not answered yet
	head     int        // fifo[:head] is gone
	sure     int        // that many of fifo are certain, if unsure
	unsure   bool
	doubt    uint64              // where the client stream goes on after the last hole in it
	heard    uint64              // what the server had had of it when it last spoke
	streams  map[uint64]*pending // ByStream
	last     l7.Side             // who spoke last
	spoke    bool
	switches int // protocol changes so far
	unseen   unseen
	held     *pending // an exchange that says what came of it, see hold
}

// Put reads one chunk.
func (e *Engine) Put(c *stream.Chunk) {
	s, _ := c.Conn.Session.(*session)
	if s == nil {
		if c.Close {
			return
		}
		s = e.session(c.Conn)
	}
	if c.Close {
		e.close(s)
		return
	}
	e.chunks++
	e.found = 0
	if s.mute {
		e.stats.Muted.Add(1)
		return
	}
	e.cur = mark{pos: c.Pos, seq: c.Seq, time: c.Time, other: c.Other, hasOther: c.HasOther, ctx: c.Ctx}
	if c.Conn.Transport == l7.UDP {
		e.datagram(s, c)
		return
	}
	h := &s.half[c.Dir]
	if !h.started {
		s.start(c)
		if c.Conn.Midstream && !c.HasOther && s.proto != nil && s.side(c.Dir) == l7.Server && len(s.fifo)-s.head > 1 {
			// Which of the requests this answers nobody knows: answers before it
			// may not have been seen.
			s.unsure, s.sure = true, 0
		}
	}
	b, wire := c.B, uint64(c.Wire)
	if wire < uint64(len(b)) {
		wire = uint64(len(b))
	}
	if c.Pos < h.next {
		d := h.next - c.Pos
		if d >= wire && !c.End {
			e.stats.Duplicate.Add(1)
			return
		}
		d = min(d, wire)
		b, wire = b[min(d, uint64(len(b))):], wire-d
		e.cur.pos, e.cur.seq = e.cur.pos+d, e.cur.seq+uint32(d)
	} else if c.Pos > h.next {
		e.stats.Holes.Add(1)
		e.stats.HoleBytes.Add(c.Pos - h.next)
		e.absent(s, c.Dir, c.Pos-h.next, true)
	}
	if wire > 0 {
		absent := wire - uint64(len(b))
		if len(b) > 0 {
			e.bytes(s, c, b, absent > 0 || c.End)
		}
		if absent > 0 {
			if s.proto != nil && !s.mute && h.skip < absent {
				e.cut(s)
			}
			e.absent(s, c.Dir, absent, false)
		}
		if s.proto != nil {
			s.spoke, s.last = true, s.side(c.Dir)
			if s.last == l7.Server && c.HasOther && c.Other > s.heard {
				s.heard = c.Other
			}
		}
	}
	if c.End {
		e.end(s, c.Dir)
	}
}

// cut: messages of the chunk in hand may lie in what was not captured of it.
func (e *Engine) cut(s *session) {
	e.stats.Cut.Add(1)
	if e.found >= burst && !s.bursts && e.cfg.Burst != nil {
		s.bursts = true
		e.cfg.Burst(s.conn)
	}
}

// session is that of c, made if there is none.
func (e *Engine) session(c *stream.Conn) *session {
	s, _ := c.Session.(*session)
	if s == nil {
		s = &session{conn: c}
		c.Session = s
		e.live[s] = struct{}{}
		if e.cfg.Judge != nil {
			s.judged = e.cfg.Judge(c)
		}
	}
	return s
}

// start says where reading begins: at the first byte, where a message begins
// too, or where the connection was when capture came to it.
func (s *session) start(c *stream.Chunk) {
	h, o := &s.half[c.Dir], &s.half[c.Dir^1]
	h.started, h.next = true, c.Pos
	if !c.Conn.Midstream {
		h.next, h.synced = 0, true
		o.started, o.synced = true, true
		return
	}
	if c.HasOther && !o.started {
		o.started, o.next = true, c.Other
	}
}

// side is who sends in direction d.
func (s *session) side(d stream.Dir) l7.Side {
	if d == s.client {
		return l7.Client
	}
	return l7.Server
}

func (s *session) dir(side l7.Side) stream.Dir {
	if side == l7.Client {
		return s.client
	}
	return s.client ^ 1
}

// bytes takes b, the next bytes of c's direction.
func (e *Engine) bytes(s *session, c *stream.Chunk, b []byte, final bool) {
	h := &s.half[c.Dir]
	h.next += uint64(len(b))
	if s.proto == nil {
		if !e.detect(s, c, b, final) {
			return
		}
		// What the other direction kept while nobody knew the protocol is read
		// first if it came first; a server that speaks first is read here.
		if o := &s.half[c.Dir^1]; len(o.buf) > 0 {
			cur := e.cur
			e.read(s, c.Dir^1, nil, false)
			e.cur = cur
		}
	}
	e.read(s, c.Dir, b, final)
}

// mute gives a connection up.
func (e *Engine) mute(s *session) {
	if s.mute {
		return
	}
	s.mute = true
	e.unhold(s)
	for i := range s.half {
		s.half[i].buf, s.half[i].marks = nil, nil
	}
	if e.cfg.Mute != nil {
		e.cfg.Mute(s.conn)
	}
}

// end is the end of one direction: what it left unfinished ends with it.
func (e *Engine) end(s *session, d stream.Dir) {
	h := &s.half[d]
	if h.ended || s.proto == nil {
		h.ended = true
		return
	}
	h.ended = true
	if len(h.buf) > 0 {
		e.read(s, d, nil, true)
		h.buf, h.marks = h.buf[:0], h.marks[:0]
	}
	if p := h.open; p != nil {
		if h.skip > 0 && p.Incomplete == Complete {
			p.Incomplete = Truncated
		}
		h.skip, h.more = 0, false
		e.finish(s, d)
	}
}

func (e *Engine) close(s *session) {
	e.missTail(s)
	e.end(s, stream.FromA)
	e.end(s, stream.FromB)
	e.reckon(s)
	e.drain(s, Truncated)
	e.unhold(s)
	delete(e.live, s)
	s.conn.Session = nil
}

// Flush reports everything that is open, as it is, and forgets all connections.
func (e *Engine) Flush() {
	for s := range e.live {
		e.close(s)
	}
	e.publish()
}

// Tick reports requests whose answer is overdue at now (unix nanoseconds).
func (e *Engine) Tick(now int64) {
	e.now = now
	e.publish()
	for s := range e.live {
		if s.held != nil && now-s.held.Resp.End > maxSealed {
			e.unhold(s)
		}
		if s.proto == nil || (len(s.fifo) == s.head && len(s.streams) == 0) {
			continue
		}
		limit := int64(e.timeout(s))
		for _, p := range s.fifo[s.head:] {
			if p.reported {
				continue
			}
			if now-p.Req.End < limit || p.respOpen {
				break
			}
			s.st.Timeouts.Add(1)
			e.report(s, p, Timeout)
		}
		for k, p := range s.streams {
			if now-max(p.Req.End, p.Resp.End) >= limit {
				why := Timeout
				if p.OneWay || p.holed { // not seen: no fault of theirs
					why = LostEvents
				} else {
					s.st.Timeouts.Add(1)
				}
				delete(s.streams, k)
				e.forget(s, p)
				e.report(s, p, why)
				e.release(p)
			}
		}
	}
}

func (e *Engine) timeout(s *session) time.Duration {
	switch {
	case e.cfg.Timeout > 0:
		return e.cfg.Timeout
	case s.conn.Transport == l7.UDP:
		return defaultUDPTimeout
	}
	return defaultTimeout
}
