package pinpointreceiver

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/owner"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// late finds out what messages are, and whose, of calls whose headers were not
// all seen.
//
// What a message is: its shape, where that is unambiguous, or, of statistics, the
// port of Pinpoint's collector with them. Whose it is: the one agent that headers
// on the connection name; else the one that they name on the other connections of
// the process, if that is on this host; else the root of a transaction, which has
// the agent that began it, together with what the process was started with.
//
// What cannot be known is counted: it comes back when the agent, or the
// collector that it reports to, is restarted.
type late struct {
	core  *core
	conns map[*stream.Conn]*lateConn
	// named are agents that headers name, by their end of the connection.
	named map[netip.AddrPort]*named
	// find is owner.Find; nil: processes are not looked for.
	find  func(local, remote netip.AddrPort) (owner.Agent, error)
	asked int64 // when find was called last

	byShape, byPort                   atomic.Uint64 // messages whose method was found so
	byConn, byPeer, byProcess, byRoot atomic.Uint64 // messages whose agent was
	Unidentified, UnknownPath         atomic.Uint64
	heldFull                          atomic.Uint64
	unnamed                           atomic.Int64
}

// lateConn is a connection as its calls name its agent. Also those that were seen
// from their beginning: when something is lost, so is what headers refer to.
type lateConn struct {
	id     *convert.Identity
	many   bool // it carries several agents: a proxy, or the C agents' collector
	own    owner.Agent
	looked int
	held   []heldMessage
	size   int
}

type named struct {
	id   convert.Identity
	many bool
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
	// A process is looked for at most so often in all, and for one connection.
	findEvery = int64(time.Second)
	maxFinds  = 3
	// nameWait is how long messages of an agent whose id, but not its start, is
	// known wait for the latter.
	nameWait = int64(30 * time.Second)
)

// put takes a message from the wire.
func (l *late) put(m *calls.Message) {
	if !m.Client {
		return
	}
	h := &m.Call.Header
	path := h.Path
	if path == "" {
		if path = l.path(m); path == "" {
			l.UnknownPath.Add(1)
			return
		}
	}
	id, ok := convert.Headers{AgentID: h.AgentID, AgentName: h.AgentName, Application: h.ApplicationName, Service: h.ServiceName,
		Start: h.StartTime, ServiceType: h.ServiceType, Protocol: h.ProtocolVersion}.Identity()
	if ok {
		l.name(m, &id)
		l.learn(m.Conn, &id)
		l.core.put(sniffed, &id, path, m.Body, m.Time)
		return
	}
	k := l.conn(m.Conn)
	if k.id == nil && !k.many {
		l.identify(m, k, path)
	}
	switch {
	case k.many:
		l.Unidentified.Add(1)
	case k.id != nil:
		switch k.id.Source {
		case convert.FromProcess:
			l.byProcess.Add(1)
		case convert.FromPeer:
			l.byPeer.Add(1)
		case convert.FromRoot:
			l.byRoot.Add(1)
		default:
			l.byConn.Add(1)
		}
		l.core.put(sniffed, k.id, path, m.Body, m.Time)
	case len(k.held) < maxHeldConn && k.size+len(m.Body) <= maxHeldBytes:
		k.held, k.size = append(k.held, heldMessage{path, append([]byte(nil), m.Body...), m.Time}), k.size+len(m.Body)
	default:
		l.heldFull.Add(1)
		l.Unidentified.Add(1)
	}
}

// path is the method of a message whose header is not known.
func (l *late) path(m *calls.Message) string {
	if p := wire.Shape(m.Body); p != "" {
		l.byShape.Add(1)
		return p
	}
	if l.core.serverPort(m.Conn) == portStat && wire.IsStat(m.Body) {
		l.byPort.Add(1)
		return "/v1.Stat/SendAgentStat"
	}
	return ""
}

// identify looks for the agent of a connection by other means than its headers.
func (l *late) identify(m *calls.Message, k *lateConn, path string) {
	if l.find != nil && k.looked < maxFinds && m.Time-l.asked >= findEvery {
		l.asked = m.Time
		k.looked++
		local, remote := l.core.ends(m.Conn)
		if a, err := l.find(local, remote); err == nil {
			k.own, k.looked = a, maxFinds
		} // else: not here, or already gone
	}
	// Headers on other connections of the process.
	var peer *named
	for _, a := range k.own.Peers {
		n := l.named[a]
		if n == nil {
			continue
		}
		if n.many || peer != nil && (peer.id.AgentID != n.id.AgentID || peer.id.Start != n.id.Start) {
			peer, k.many = nil, true // one process of several agents: any of them
			l.drop(k)
			return
		}
		peer = n
	}
	if peer != nil {
		id := peer.id
		id.Source = convert.FromPeer
		l.learn(m.Conn, &id)
		return
	}
	root, ok := rootOf(path, m.Body)
	switch {
	case ok && k.own.AgentID != "" && (root.AgentID == "" || root.AgentID == k.own.AgentID):
		root.AgentID, root.AgentName, root.Application, root.Source = k.own.AgentID, k.own.AgentName, k.own.Application, convert.FromProcess
		l.learn(m.Conn, &root)
	case ok && root.AgentID != "":
		// The root of a transaction names its agent: the one that began it.
		l.learn(m.Conn, &root)
	case k.own.AgentID != "":
		// Whose it is is known, but not which life of it. One that is remembered
		// is it, if it is the only one since the process began.
		if id, ok := l.core.life(k.own.AgentID, k.own.Started); ok && k.own.Started > 0 {
			id.Source = convert.FromProcess
			l.learn(m.Conn, &id)
		} else if len(k.held) > 0 && m.Time-k.held[0].time > nameWait {
			l.learn(m.Conn, &convert.Identity{AgentID: k.own.AgentID, AgentName: k.own.AgentName, Application: k.own.Application,
				ServiceType: -1, Protocol: "100", Source: convert.FromProcess})
		}
	}
}

// name takes down what headers on a connection say.
func (l *late) name(m *calls.Message, id *convert.Identity) {
	if l.find == nil {
		return
	}
	local, _ := l.core.ends(m.Conn)
	n := l.named[local]
	switch {
	case n == nil:
		if l.named == nil || len(l.named) >= maxLateConns {
			l.named = map[netip.AddrPort]*named{}
		}
		l.named[local] = &named{id: *id}
	case n.id.AgentID != id.AgentID || n.id.Start != id.Start:
		n.many = true
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
		for c := range l.conns { // any of them; it learns again
			l.closed(c)
			break
		}
	}
	k := &lateConn{}
	l.conns[c] = k
	l.unnamed.Add(1)
	return k
}

// closed forgets a connection that is over.
func (l *late) closed(c *stream.Conn) {
	if k := l.conns[c]; k != nil {
		if k.id == nil {
			l.unnamed.Add(-1)
		}
		l.drop(k)
		delete(l.conns, c)
	}
	if len(l.named) > 0 {
		local, _ := l.core.ends(c)
		delete(l.named, local)
	}
}

// drop gives up the messages that wait for a name.
func (l *late) drop(k *lateConn) {
	l.Unidentified.Add(uint64(len(k.held)))
	k.held, k.size = nil, 0
}

// learn takes down that c carries messages of id.
func (l *late) learn(c *stream.Conn, id *convert.Identity) {
	k := l.conn(c)
	switch {
	case k.id == nil:
		k.id = id
		l.unnamed.Add(-1)
		for _, h := range k.held {
			l.core.put(sniffed, id, h.path, h.body, h.time)
		}
		k.held, k.size = nil, 0
	case k.id.AgentID != id.AgentID || k.id.Start != id.Start && k.id.Start != 0:
		k.many = true
	case id.Application != "":
		k.id = id // headers say more than spans
	}
}

// rootOf is the agent of a root span in the message: agents up to 2.5 leave its
// id out.
func rootOf(path string, body []byte) (id convert.Identity, ok bool) {
	if !strings.HasPrefix(path, "/v1.Span/") {
		return id, false
	}
	_ = wire.DecodeSpans(body, strings.HasSuffix(path, "Batch"), func(s *wire.Span) {
		if !s.Chunk && s.Parent == -1 && !ok && s.ID.Start != 0 {
			id, ok = convert.Identity{AgentID: s.ID.AgentID, Start: s.ID.Start, ServiceType: s.AppType, Protocol: assumed(s.AppType), Source: convert.FromRoot}, true
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
