package cassandra

import (
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

const (
	// maxStatements and maxBytes bound what is remembered of prepared statements
	// of a connection; drivers warn of more than some hundred.
	maxStatements = 512
	maxBytes      = 256 << 10
	cost          = 200 // of one, beside its text
	// maxWaiting is how many PREPAREs may be under way.
	maxWaiting = 64
	maxID      = 64 // bytes; ids are MD5 sums
)

// statement is what is remembered of one.
type statement struct {
	op, text, table, name, summary string
}

// take is what sqltext wrote into m, in memory of its own. m keeps it.
func take(m *l7.Message) *statement {
	s := &statement{op: strings.Clone(m.Op), text: strings.Clone(m.Target), table: strings.Clone(m.Route), name: strings.Clone(m.Name)}
	for i := range m.Attrs {
		if m.Attrs[i].Key == keySummary {
			s.summary = strings.Clone(m.Attrs[i].Str)
		}
	}
	return s
}

func (s *statement) give(m *l7.Message) {
	m.Op, m.Target, m.Route, m.Name = s.op, s.text, s.table, s.name
	if s.summary != "" {
		m.Add(keySummary, s.summary)
	}
}

func (s *statement) size() int {
	return len(s.op) + len(s.text) + len(s.table) + len(s.name) + len(s.summary) + cost
}

// prepared is the statements of a connection, by the id that the server gave
// them.
type prepared struct {
	waiting map[uint16]*statement
	byID    map[string]*statement
	order   []string // oldest first
	bytes   int
}

// ask: a PREPARE is under way.
func (p *prepared) ask(stream uint16, s *statement) {
	if p.waiting == nil {
		p.waiting = map[uint16]*statement{}
	}
	if len(p.waiting) < maxWaiting {
		p.waiting[stream] = s
	}
}

// answered is the PREPARE that an answer on stream is for, if it is for one.
func (p *prepared) answered(stream uint16) (s *statement, ok bool) {
	if len(p.waiting) == 0 {
		return nil, false
	}
	if s, ok = p.waiting[stream]; ok {
		delete(p.waiting, stream)
	}
	return s, ok
}

func (p *prepared) keep(id []byte, s *statement) {
	if len(id) == 0 || len(id) > maxID || p.byID[string(id)] != nil {
		return
	}
	for len(p.order) > 0 && (len(p.order) >= maxStatements || p.bytes+s.size() > maxBytes) {
		p.bytes -= p.byID[p.order[0]].size()
		delete(p.byID, p.order[0])
		p.order = p.order[1:]
	}
	if p.byID == nil {
		p.byID = map[string]*statement{}
	}
	k := string(id)
	p.byID[k] = s
	p.order = append(p.order, k)
	p.bytes += s.size()
}

func (p *prepared) find(id []byte) *statement { return p.byID[string(id)] }
