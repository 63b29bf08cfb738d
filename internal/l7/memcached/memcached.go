// Package memcached reads memcached's protocols
// (https://github.com/memcached/memcached/blob/master/doc/protocol.txt): text,
// its meta commands, and binary.
package memcached

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is memcached.
var Protocol = &l7.Protocol{
	Name:      "memcached",
	Transport: l7.TCP,
	Ports:     []uint16{11211},
	Pairing:   l7.InOrder,
	Keys:      l7.Keys{Op: "db.operation.name", Target: "db.query.text", Code: "db.response.status_code"},
	Attrs:     []l7.Attr{{Key: "db.system.name", Str: "memcached"}},
	Detect:    detect,
	New:       func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

const (
	// maxKey is memcached's limit of a key.
	maxKey = 250
	// maxLine bounds a command line: a get of many keys.
	maxLine = 32 << 10
	// maxValue bounds a value: 1 MiB by default, 1 GiB with -I.
	maxValue = 1 << 30
	// maxShown is how much of a command's keys is told.
	maxShown = 512
)

// parser is one connection.
type parser struct {
	opt  *l7.Options
	open bool // an answer of several parts has begun
}

// Resync: an answer whose beginning was seen may have ended.
func (p *parser) Resync(side l7.Side) {
	if side == l7.Server {
		p.open = false
	}
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	switch c := w.B[0]; {
	case side == l7.Client && c == magicRequest, side == l7.Server && c == magicResponse:
		return p.binary(side, w, m)
	case c >= 0x80:
		return 0, l7.ErrLost
	case side == l7.Client:
		return p.command(w, m)
	}
	return p.answer(w, m)
}

// part makes m a part of an answer, the first if none was before.
func (p *parser) part(m *l7.Message, more bool) {
	m.Type, m.Fresh, m.More = l7.TypeResponse, !p.open, more
	p.open = more
}
