// Package postgresql reads version 3 of PostgreSQL's protocol
// (https://www.postgresql.org/docs/current/protocol.html), which many other
// databases speak too.
//
// An exchange is a simple query, an Execute with the Parse and Bind that come
// with it, or what else the client waits for. Executes may be sent without
// waiting; after an error the server passes over all that comes before the next
// Sync, which is why requests have a Message.Batch.
package postgresql

import (
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Protocol is PostgreSQL.
var Protocol = &l7.Protocol{
	Name:      "postgresql",
	Transport: l7.TCP,
	Ports:     []uint16{5432, 6432, 5433, 26257},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{Op: sqltext.KeyOp, Target: sqltext.KeyText, Route: sqltext.KeyTable,
		Code: "db.response.status_code", Domain: "db.namespace"},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "postgresql"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opt: o, group: 1} },
}

const (
	keySummary  = "db.query.summary"
	keyRows     = "db.response.returned_rows"
	keyAffected = "hopscope.db.affected_rows"
)

const (
	// maxLook is how much of what belongs to one Execute, of one query, of one
	// answer is looked at: statements of ORMs have a few KiB, with the ids that
	// tracers append behind them.
	maxLook = 16 << 10
	// maxMessage is PostgreSQL's own limit of any message.
	maxMessage = 1 << 30
	// tagged is the head of every message but the first of a connection: what it
	// is, and its length.
	tagged = 5
)

// What a request is, and so how its answer ends; in Message.Note.
const (
	kindNone    = iota
	kindSSL     // one byte
	kindStartup // ReadyForQuery, or an error
	kindQuery   // ReadyForQuery
	kindExecute // CommandComplete and its like
	kindSync    // no Execute before the Sync: ReadyForQuery
	kindFlush   // no Execute before the Flush: the answer to its last message
)

// Note of kindFlush: the kind, the tag of the last answer, how many of them.
func flushNote(tag byte, count int) uint64 {
	return kindFlush | uint64(tag)<<8 | uint64(count)<<16
}

// parser is one connection.
type parser struct {
	opt     *l7.Options
	db      string
	version string

	// Of the client.
	group uint64 // number of Syncs, from 1: the Batch of what comes next
	early bool   // the request was told before its Execute
	names statements

	// Of the server.
	open     bool   // the answer has begun
	last     uint64 // the group that was answered last; 0: none since its Sync
	blind    bool   // what was answered last is not known
	count    int    // answers of the tag that kindFlush waits for
	rows     counter
	affected counter
}

// counter sums rows, of the commands of one query.
type counter struct {
	n    int64
	seen bool
}

// Resync: bytes of side are missing.
func (p *parser) Resync(side l7.Side) {
	if side == l7.Server {
		p.done()
		p.last, p.blind = 0, true
		return
	}
	p.early = false
	// Whether a Sync is among what is missing nobody knows. Taking what comes for
	// the same group may cost an answer its request, but pairs none wrong.
	p.names.doubt()
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if side == l7.Client {
		return p.client(w, m)
	}
	return p.server(w, m)
}

// statement is what is remembered of a prepared one.
type statement struct {
	op, text, table, name, summary string
	trace                          l7.Trace
}

// take makes a statement of what sqltext wrote into m, and empties m of it.
func take(m *l7.Message) statement {
	s := statement{op: m.Op, text: m.Target, table: m.Route, name: m.Name, trace: m.Trace}
	for i := range m.Attrs {
		if m.Attrs[i].Key == keySummary {
			s.summary = m.Attrs[i].Str
		}
	}
	m.Op, m.Target, m.Route, m.Name, m.Trace, m.Attrs = "", "", "", "", l7.Trace{}, m.Attrs[:0]
	return s
}

// give is the other way round.
func (s *statement) give(m *l7.Message) {
	m.Op, m.Target, m.Route, m.Name, m.Trace = s.op, s.text, s.table, s.name, s.trace
	if s.summary != "" {
		m.Add(keySummary, s.summary)
	}
}

// own makes s independent of the memory of other messages, which it outlives.
func (s *statement) own() {
	for _, f := range []*string{&s.op, &s.text, &s.table, &s.name, &s.summary,
		&s.trace.TraceID, &s.trace.SpanID, &s.trace.ParentSpanID, &s.trace.RequestID} {
		*f = strings.Clone(*f)
	}
}

func (s *statement) size() int {
	return len(s.op) + len(s.text) + len(s.table) + len(s.name) + len(s.summary) + statementCost
}
