package pinpointreceiver

import (
	"strings"

	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// late finds out what messages are, and whose, of calls whose headers were not
// all seen: what a message is by its shape, where that is unambiguous; whose it
// is by the one agent that the connection is known to carry.
//
// What cannot be known is counted: it comes back when the agent, or the
// collector that it reports to, is restarted.
type late struct {
	core  *core
	conns map[*stream.Conn]*lateConn

	Guessed, Learned, Unidentified, UnknownPath uint64
}

// lateConn is a connection with calls that do not name their agent.
type lateConn struct {
	id   *convert.Identity
	many bool // it carries several agents: a proxy, or the C agents' collector
	held []heldMessage
	size int
}

type heldMessage struct {
	path string
	body []byte
	time int64
}

// Limits of what waits for a connection to name its agent.
const (
	maxLateConns = 10000
	maxHeldConn  = 256
	maxHeldBytes = 1 << 20
)

// put takes a message from the wire.
func (l *late) put(m *calls.Message) {
	if !m.Client {
		return
	}
	h := &m.Call.Header
	path := h.Path
	if path == "" {
		if path = wire.Shape(m.Body); path == "" {
			l.UnknownPath++
			return
		}
		l.Guessed++
	}
	id, ok := convert.Headers{AgentID: h.AgentID, AgentName: h.AgentName, Application: h.ApplicationName, Service: h.ServiceName,
		Start: h.StartTime, ServiceType: h.ServiceType, Protocol: h.ProtocolVersion}.Identity()
	if ok {
		l.learn(m.Conn, &id)
		l.core.put(&id, path, m.Body, m.Time)
		return
	}
	k := l.conn(m.Conn)
	if k == nil || k.many {
		l.Unidentified++
		return
	}
	if k.id == nil {
		// The root of a transaction names its agent: the one that began it.
		if root, found := rootOf(path, m.Body); found {
			l.Learned++
			l.learn(m.Conn, &root)
		}
	}
	switch {
	case k.id != nil:
		l.core.put(k.id, path, m.Body, m.Time)
	case len(k.held) < maxHeldConn && k.size+len(m.Body) <= maxHeldBytes:
		k.held = append(k.held, heldMessage{path, append([]byte(nil), m.Body...), m.Time})
		k.size += len(m.Body)
	default:
		l.Unidentified++
	}
}

func (l *late) conn(c *stream.Conn) *lateConn {
	if k := l.conns[c]; k != nil {
		return k
	}
	if l.conns == nil {
		l.conns = map[*stream.Conn]*lateConn{}
	}
	if len(l.conns) >= maxLateConns {
		clear(l.conns) // connections that are gone; the others learn again
	}
	k := &lateConn{}
	l.conns[c] = k
	return k
}

// learn takes down that c carries messages of id.
func (l *late) learn(c *stream.Conn, id *convert.Identity) {
	k := l.conns[c]
	if k == nil {
		if !c.Midstream {
			return // nothing that was missed
		}
		k = l.conn(c)
	}
	switch {
	case k.id == nil:
		k.id = id
		for _, h := range k.held {
			l.core.put(id, h.path, h.body, h.time)
		}
		k.held, k.size = nil, 0
	case k.id.AgentID != id.AgentID || k.id.Start != id.Start:
		k.many = true
	case id.Application != "":
		k.id = id // headers say more than spans
	}
}

// rootOf is the agent of a root span in the message: agents up to 2.5 leave it
// out, and then it stays unknown.
func rootOf(path string, body []byte) (id convert.Identity, ok bool) {
	if !strings.HasPrefix(path, "/v1.Span/") {
		return id, false
	}
	_ = wire.DecodeSpans(body, strings.HasSuffix(path, "Batch"), func(s *wire.Span) {
		if !s.Chunk && s.Parent == -1 && s.ID.AgentID != "" && !ok {
			id, ok = convert.Identity{AgentID: s.ID.AgentID, Start: s.ID.Start, ServiceType: s.AppType, Protocol: assumed(s.AppType)}, true
		}
	})
	return id, ok
}

// assumed is a protocol version where the header is not known: only the C
// agents' own is told by its absence, and only of their types does it matter.
func assumed(appType int32) string {
	if appType == 1300 || appType == 1500 || appType == 1700 {
		return ""
	}
	return "100"
}
