package session

import (
	"errors"

	"github.com/hopscope/hopscope/internal/l7"
)

// errPanic: the parser panicked, and cannot be trusted with this connection.
var errPanic = errors.New("the parser panicked")

// parse is the parser's Parse. Parsers read what anybody on the network may
// send: a fault that fuzzing did not find must not end the capture of a host.
func (e *Engine) parse(s *session, side l7.Side, w l7.Window, m *l7.Message) (n int, err error) {
	if e.cfg.Contain {
		defer s.contain(&n, &err)
	}
	return s.parser.Parse(side, w, m)
}

// contain is deferred by parse.
func (s *session) contain(n *int, err *error) {
	if recover() != nil {
		s.st.Panics.Add(1)
		*n, *err = 0, errPanic
	}
}

// verdict is p's Detect; of one that panics the answer is No.
func (e *Engine) verdict(p *l7.Protocol, head []byte) (v l7.Verdict) {
	if e.cfg.Contain {
		defer e.containVerdict(p, &v)
	}
	return p.Detect(head)
}

// containVerdict is deferred by verdict.
func (e *Engine) containVerdict(p *l7.Protocol, v *l7.Verdict) {
	if recover() != nil {
		e.stats.PerProto[e.index[p]].Panics.Add(1)
		*v = l7.No
	}
}
