package session

import (
	"slices"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// Facts of connections: what one exchange (a TLS handshake) says of all that
// follows on its connection. They are few values, told again and again, so
// connections share them.

const (
	// maxFacts bounds the attributes of a connection.
	maxFacts = 24
	// maxShared bounds the facts that are remembered to be shared: 1024 of 1 KiB.
	maxShared = 1024
	// maxSealed is how long an exchange that asked for TLS waits to say what came of
	// it, in nanoseconds.
	maxSealed = 2e9
)

// learn has the connection of p know what p says of it.
func (e *Engine) learn(p *pending) {
	list := e.facts[:0]
	for _, from := range [][]l7.Attr{p.Protocol.Attrs, p.Req.Msg.Attrs, p.Resp.Msg.Attrs} {
		for i := range from {
			a := &from[i]
			k := slices.IndexFunc(list, func(b l7.Attr) bool { return b.Key == a.Key })
			switch {
			case a.Kind > l7.AttrBool:
			case k >= 0:
				list[k] = *a
			case len(list) < maxFacts:
				list = append(list, *a)
			}
		}
	}
	p.Conn.Facts = e.share(list)
	clear(list)
	e.facts = list
	if e.cfg.Learned != nil {
		e.cfg.Learned(p.Conn)
	}
}

// share is list as Facts, the same for equal lists.
func (e *Engine) share(list []l7.Attr) *stream.Facts {
	k := e.factsKey[:0]
	for i := range list {
		a := &list[i]
		k = append(append(append(k, a.Key...), 0), a.Str...)
		k = append(k, 0, byte(a.Int), byte(a.Int>>8), byte(a.Int>>16), byte(a.Int>>24), byte(a.Kind))
	}
	e.factsKey = k
	if f := e.shared[string(k)]; f != nil {
		return f
	}
	f := &stream.Facts{Attrs: slices.Clone(list)}
	for i := range f.Attrs {
		f.Attrs[i].Str = strings.Clone(f.Attrs[i].Str) // it lies among the text of other messages
	}
	if len(e.shared) >= maxShared || e.shared == nil {
		e.shared = map[string]*stream.Facts{}
	}
	e.shared[string(k)] = f
	return f
}

// hold keeps back an exchange that asked for TLS, until it is known what came of
// it. It is over, and complete.
func (s *session) hold(p *pending) {
	p.kept, s.held = true, p
}

// unhold gives on what was kept back.
func (e *Engine) unhold(s *session) {
	p := s.held
	if p == nil {
		return
	}
	s.held, p.kept, p.Facts = nil, false, s.conn.Facts
	e.next(&p.Exchange)
	e.release(p)
}
