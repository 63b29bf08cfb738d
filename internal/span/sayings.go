package span

import (
	"strings"
	"unsafe"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/inplace"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
)

// sayings remembers the attributes that come of what messages say, for exchanges
// whose messages are the same as of others, byte for byte (l7.Head).
type sayings [64]saying

// saying is what one request and its answer say.
type saying struct {
	req, resp *l7.HeadID
	protocol  *l7.Protocol
	point     hop.Point
	route     string // what became of it
	kv        shared // nil: they were met once
}

// of is the place for what x says, empty if it is not remembered; nil if its
// messages are not known to repeat.
func (s *sayings) of(x *session.Exchange, p hop.Point, route string) *saying {
	req, resp := x.Req.Msg.Head, x.Resp.Msg.Head
	if req == nil || resp == nil || x.OneWay || x.Incomplete != session.Complete {
		return nil
	}
	e := &s[(req.N*31+resp.N*7+uint32(p))%uint32(len(s))]
	if e.req != req || e.resp != resp || e.protocol != x.Protocol || e.point != p || e.route != route {
		*e = saying{req: req, resp: resp, protocol: x.Protocol, point: p, route: route}
		return nil
	}
	return e
}

// learn takes what w has written from own on, with values of their own.
func (e *saying) learn(w *writer) {
	if len(w.later) > 0 || w.outside {
		return // not all of it is there
	}
	e.kv = shared{kv: append([]inplace.KeyValue(nil), w.kv[w.own:w.n]...), lengths: w.lengths}
	for i := range e.kv.kv {
		switch kv := &e.kv.kv[i]; kv.Type {
		case w.Types.Str:
			s := strings.Clone(*(*string)(kv.Data))
			kv.Data = unsafe.Pointer(&s)
		case w.Types.Num:
			n := *(*int64)(kv.Data)
			kv.Data = unsafe.Pointer(&n)
		}
	}
}
