package l7test

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

// call is one call of a parser, as the engine made it.
type call struct {
	parser int // which of the case's parsers
	side   l7.Side
	w      l7.Window
	resync bool
}

// Tape is the calls that the engine makes of a protocol's parsers while it plays
// a case, to be made again without the engine.
type Tape struct {
	Name string
	// Messages were read (skipped ones too), from windows of Bytes in sum: bytes
	// that were looked at again because more was asked for count again.
	Messages, Bytes int
	protocol        *l7.Protocol
	calls           []call
	parsers         int
}

// recorder is a parser that writes down how it is called.
type recorder struct {
	l7.Parser
	tape *Tape
	id   int
}

func (r *recorder) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	c := call{parser: r.id, side: side, w: l7.Window{B: append([]byte(nil), w.B...), End: w.End}}
	if w.Req != nil {
		req := *w.Req
		c.w.Req = &req
	}
	n, err := r.Parser.Parse(side, w, m)
	// What lies behind the message is not looked at.
	if n > 0 && n < len(c.w.B) {
		r.tape.Bytes += n
	} else {
		r.tape.Bytes += len(c.w.B)
	}
	if n > 0 {
		r.tape.Messages++
	}
	r.tape.calls = append(r.tape.calls, c)
	return n, err
}

type resyncing struct{ *recorder }

func (r resyncing) Resync(side l7.Side) {
	r.tape.calls = append(r.tape.calls, call{parser: r.id, side: side, resync: true})
	r.Parser.(l7.Resyncer).Resync(side)
}

type finding struct{ *recorder }

func (f finding) Find(side l7.Side, b []byte) int { return f.Parser.(l7.Finder).Find(side, b) }

type both struct {
	*recorder
	resyncing
	finding
}

func (b both) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	return b.recorder.Parse(side, w, m)
}

// Tapes are those of the cases of p, seen from a package beside its folder.
// Connections that are older than the capture are left out: what they cost is
// the search for a beginning.
func Tapes(t testing.TB, p *l7.Protocol) []*Tape {
	t.Helper()
	folder := p.Folder
	if folder == "" {
		folder = p.Name
	}
	cases, err := Load(Dir(folder))
	if err != nil {
		t.Fatal(err)
	}
	var tapes []*Tape
	for _, c := range cases {
		if c.Midstream {
			continue
		}
		tape := &Tape{Name: c.Name, protocol: p}
		q := *p
		q.New = func(o *l7.Options) l7.Parser {
			r := &recorder{Parser: p.New(o), tape: tape, id: tape.parsers}
			tape.parsers++
			_, resyncs := r.Parser.(l7.Resyncer)
			_, finds := r.Parser.(l7.Finder)
			switch {
			case resyncs && finds:
				return both{r, resyncing{r}, finding{r}}
			case resyncs:
				return resyncing{r}
			case finds:
				return finding{r}
			}
			return r
		}
		pl := player{protocols: []*l7.Protocol{&q}}
		pl.play(c, c.pieces(), true)
		if tape.Messages > 0 {
			tapes = append(tapes, tape)
		}
	}
	return tapes
}

// Player plays a tape over and over.
type Player struct {
	// Messages that one Play reads, and Bytes of the windows it reads them from.
	Messages, Bytes int
	tape            *Tape
	opts            *l7.Options
	parsers         []l7.Parser
	warm            bool
}

// NewPlayer makes a player. Where the parsers read the tape again after its end,
// they stay, as on a long connection; where they do not (a second greeting),
// each Play is a new connection.
func NewPlayer(tape *Tape, o *l7.Options, m *l7.Message) *Player {
	p := &Player{Messages: tape.Messages, Bytes: tape.Bytes, tape: tape, opts: o}
	p.connect()
	p.play(m)
	if messages, bytes := p.play(m); 4*messages >= 3*tape.Messages {
		p.warm, p.Messages, p.Bytes = true, messages, bytes
	}
	return p
}

func (p *Player) connect() {
	p.parsers = p.parsers[:0]
	for range p.tape.parsers {
		p.parsers = append(p.parsers, p.tape.protocol.New(p.opts))
	}
}

// Play makes the calls of the tape; m is the memory that the parsers fill.
func (p *Player) Play(m *l7.Message) {
	if !p.warm {
		p.connect()
	}
	p.play(m)
}

func (p *Player) play(m *l7.Message) (messages, bytes int) {
	for i := range p.tape.calls {
		c := &p.tape.calls[i]
		parser := p.parsers[c.parser]
		if c.resync {
			parser.(l7.Resyncer).Resync(c.side)
			continue
		}
		m.Reset()
		n, _ := parser.Parse(c.side, c.w, m)
		if n > 0 {
			messages++
			bytes += min(n, len(c.w.B))
		} else {
			bytes += len(c.w.B)
		}
	}
	return messages, bytes
}

// Bound is the nanoseconds that one Play may take: 150 for each message, and 1
// for each byte looked at.
func (p *Player) Bound() int { return 150*p.Messages + p.Bytes }
