package convert

import (
	"container/list"
	"strconv"
	"strings"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// Limits of what is remembered of agents.
const (
	// DefaultMaxAgents is process lives: a site's agents with some restarts.
	DefaultMaxAgents = 20000
	// DefaultMaxTextBytes is for all texts of all agents: those of 10,000 agents
	// with 120 each take 150 MiB.
	DefaultMaxTextBytes = 512 << 20
	// textBytes is what one text takes besides its bytes.
	textBytes = 96
	// maxMeta bounds the texts of one kind of one agent; agents themselves keep
	// 1024 of most.
	maxMeta = 16384
	// maxText bounds one text: a statement.
	maxText = 16 << 10
	// maxInfo bounds one text of an agent's description.
	maxInfo = 1024
	// maxExceptions bounds exception data waiting for its span.
	maxExceptions = 256
)

// Identity is what headers say of an agent.
type Identity struct {
	AgentID, AgentName, Application, Service string
	Start                                    int64
	ServiceType                              int32 // -1: not said
	// Protocol is protocol.version; "" for agents that send none.
	Protocol string
	// Source is how it was learnt, if not from the headers of the call.
	Source string `json:",omitempty"`
}

// Sources of an identity.
const (
	FromPeer    = "peer_connection" // headers on another connection of the process
	FromProcess = "process"         // its command line or environment
	FromRoot    = "root_span"       // the root of a transaction names who began it
)

// agentKey is one life of an agent's process.
type agentKey struct {
	id    string
	start int64
}

// Agent is what is known of one life of an agent's process.
type Agent struct {
	Identity
	Info    wire.AgentInfo
	HasInfo bool

	apis, sqls, strings map[int32]wire.Meta
	names               map[int32]apiName // made of apis
	uids                map[string]string
	exceptions          map[exceptionKey][]wire.ChainLink
	bytes               int64 // of all of these
	place               *list.Element
	// measured are hashes of its last statistics, next where the next one goes.
	measured [8]uint64
	next     int
}

type exceptionKey struct {
	tx    string
	span  int64
	chain int64
}

// Store remembers agents: their texts are sent once in the life of a process.
type Store struct {
	max       int
	maxBytes  int64
	bytes     int64
	agents    map[agentKey]*Agent
	order     *list.List // of *Agent, the one used last in front
	held      Held
	forgotten []string // keys of agents that were, since Forgotten
	// Evicted counts agents forgotten for the limit.
	Evicted uint64
	// Full counts texts that were one too many of their agent.
	Full uint64
	// Dirty is told of agents that learnt something. May be nil.
	Dirty func(*Agent)
}

// NewStore remembers up to max process lives (0: DefaultMaxAgents) with up to
// maxBytes of texts (0: DefaultMaxTextBytes).
func NewStore(max int, maxBytes int64) *Store {
	if max <= 0 {
		max = DefaultMaxAgents
	}
	if maxBytes <= 0 {
		maxBytes = DefaultMaxTextBytes
	}
	return &Store{max: max, maxBytes: maxBytes, agents: map[agentKey]*Agent{}, order: list.New()}
}

// Agent is the agent of id; what id says is added to what is known.
func (s *Store) Agent(id *Identity) *Agent {
	k := agentKey{id.AgentID, id.Start}
	a := s.agents[k]
	if a == nil {
		a = &Agent{Identity: *id}
		if len(s.agents) >= s.max {
			s.forget(s.order.Back().Value.(*Agent))
		}
		s.agents[k], a.place = a, s.order.PushFront(a)
		return a
	}
	s.order.MoveToFront(a.place)
	if id.Source == "" {
		a.Source = ""
	}
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&a.AgentName, id.AgentName)
	set(&a.Application, id.Application)
	set(&a.Service, id.Service)
	set(&a.Protocol, id.Protocol)
	if id.ServiceType > 0 {
		a.ServiceType = id.ServiceType
	}
	return a
}

// forget gives a up.
func (s *Store) forget(a *Agent) {
	s.order.Remove(a.place)
	delete(s.agents, agentKey{a.AgentID, a.Start})
	s.held.add(a.held(), -1)
	s.bytes -= a.bytes
	s.Evicted++
	if len(s.forgotten) < s.max {
		s.forgotten = append(s.forgotten, a.Key())
	}
}

// room makes room for n more bytes of a's texts, for which other agents are
// forgotten, the one used last last.
func (s *Store) room(a *Agent, n int) bool {
	for s.bytes+int64(n) > s.maxBytes {
		old := s.order.Back().Value.(*Agent)
		if old == a {
			s.Full++
			return false
		}
		s.forget(old)
	}
	s.bytes, a.bytes = s.bytes+int64(n), a.bytes+int64(n)
	return true
}

// SetInfo learns what the agent says of its process.
func (s *Store) SetInfo(a *Agent, i wire.AgentInfo) {
	// Its texts are cut from a message that may be long.
	for _, t := range []*string{&i.Hostname, &i.IP, &i.Ports, &i.AgentVersion, &i.VMVersion, &i.ServerInfo, &i.JVMVersion} {
		*t = strings.Clone((*t)[:min(len(*t), maxInfo)])
	}
	if a.HasInfo && a.Info == i {
		return // Java agents say it every day
	}
	a.Info, a.HasInfo = i, true
	s.dirty(a)
}

// AddAPI, AddSQL, AddString and AddUID learn a text.
func (s *Store) AddAPI(a *Agent, m wire.Meta)    { s.add(a, &a.apis, m) }
func (s *Store) AddSQL(a *Agent, m wire.Meta)    { s.add(a, &a.sqls, m) }
func (s *Store) AddString(a *Agent, m wire.Meta) { s.add(a, &a.strings, m) }

// AddUID learns the text of a statement by its hash.
func (s *Store) AddUID(a *Agent, m wire.Meta) {
	if a.uids == nil {
		a.uids = map[string]string{}
	}
	m.Text = m.Text[:min(len(m.Text), maxText)]
	old, known := a.uids[m.UID]
	switch {
	case known && old == m.Text:
		return // agents send it up to three times
	case !known && len(a.uids) >= maxMeta:
		s.Full++
		return
	case !s.room(a, len(m.Text)-len(old)+len(m.UID)+textBytes):
		return
	case !known:
		s.held.UIDs++
	}
	a.uids[strings.Clone(m.UID)] = strings.Clone(m.Text)
	s.dirty(a)
}

// Held is how many texts are remembered, by kind.
type Held struct{ APIs, SQLs, UIDs, Strings, Exceptions int }

func (h *Held) add(o Held, sign int) {
	h.APIs += sign * o.APIs
	h.SQLs += sign * o.SQLs
	h.UIDs += sign * o.UIDs
	h.Strings += sign * o.Strings
	h.Exceptions += sign * o.Exceptions
}

func (a *Agent) held() Held {
	return Held{len(a.apis), len(a.sqls), len(a.uids), len(a.strings), len(a.exceptions)}
}

// Held is what is remembered of all agents.
func (s *Store) Held() Held { return s.held }

// Len is how many lives of processes are remembered.
func (s *Store) Len() int { return len(s.agents) }

// Life is the one life that is remembered of the agent id since the time since,
// in ms.
func (s *Store) Life(id string, since int64) (Identity, bool) {
	var found *Agent
	for e := s.order.Front(); e != nil; e = e.Next() {
		if a := e.Value.(*Agent); a.AgentID == id && a.Start >= since {
			if found != nil {
				return Identity{}, false
			}
			found = a
		}
	}
	if found == nil {
		return Identity{}, false
	}
	return found.Identity, true
}

func (s *Store) add(a *Agent, to *map[int32]wire.Meta, m wire.Meta) {
	if *to == nil {
		*to = map[int32]wire.Meta{}
	}
	m.Text, m.Location = m.Text[:min(len(m.Text), maxText)], m.Location[:min(len(m.Location), maxText)]
	old, known := (*to)[m.ID]
	switch {
	case known && old == m:
		return // agents send it up to three times
	case !known && len(*to) >= maxMeta:
		s.Full++
		return
	case !s.room(a, len(m.Text)+len(m.Location)-len(old.Text)-len(old.Location)+textBytes):
		return
	case !known:
		switch to {
		case &a.apis:
			s.held.APIs++
		case &a.sqls:
			s.held.SQLs++
		default:
			s.held.Strings++
		}
	}
	m.Text, m.Location = strings.Clone(m.Text), strings.Clone(m.Location)
	(*to)[m.ID] = m
	delete(a.names, m.ID)
	s.dirty(a)
}

func (s *Store) dirty(a *Agent) {
	if s.Dirty != nil {
		s.Dirty(a)
	}
}

// AddException keeps a chain of exceptions for the event that recorded it.
func (s *Store) AddException(a *Agent, e *wire.ExceptionMeta) {
	if a.exceptions == nil {
		a.exceptions = map[exceptionKey][]wire.ChainLink{}
	}
	tx := transactionID(e.ID.Agent(a.AgentID), e.ID.Start, e.ID.Sequence)
	for _, l := range e.Exceptions {
		k := exceptionKey{tx, e.SpanID, l.ChainID}
		if len(a.exceptions) >= maxExceptions && a.exceptions[k] == nil {
			for k := range a.exceptions { // of spans that never came
				s.takeException(a, k)
				s.Full++
			}
		}
		if !s.room(a, linkBytes(&l)) {
			return
		}
		if a.exceptions[k] == nil {
			s.held.Exceptions++
		}
		a.exceptions[k] = append(a.exceptions[k], l)
	}
}

// linkBytes is about what l takes.
func linkBytes(l *wire.ChainLink) int {
	n := textBytes + len(l.Class) + len(l.Message)
	for _, f := range l.Stack {
		n += 56 + len(f.Class) + len(f.File) + len(f.Method)
	}
	return n
}

// takeException gives a chain away.
func (s *Store) takeException(a *Agent, k exceptionKey) []wire.ChainLink {
	l := a.exceptions[k]
	if l != nil {
		s.held.Exceptions--
		delete(a.exceptions, k)
		for i := range l {
			n := int64(linkBytes(&l[i]))
			s.bytes, a.bytes = s.bytes-n, a.bytes-n
		}
	}
	return l
}

// Headers are the request headers that name an agent, as text.
type Headers struct {
	AgentID, AgentName, Application, Service, Start, ServiceType, Protocol string
}

// Identity reads h by the rules of Pinpoint's collector: an id of at most 255
// letters, digits, dots, dashes and underscores, and the time of the start must
// be there; the agent's name is its id if it has none.
func (h Headers) Identity() (Identity, bool) {
	start, err := strconv.ParseInt(h.Start, 10, 64)
	if err != nil || !validID(h.AgentID) {
		return Identity{}, false
	}
	id := Identity{AgentID: h.AgentID, AgentName: h.AgentName, Application: h.Application, Service: h.Service, Start: start, ServiceType: -1, Protocol: h.Protocol}
	if t, err := strconv.ParseInt(h.ServiceType, 10, 32); err == nil {
		id.ServiceType = int32(t)
	}
	return id, true
}

// maxID is longer than any name that an agent may have.
const maxID = 255

func validID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Forgotten are the keys of agents that were given up since it was last asked.
func (s *Store) Forgotten() []string {
	f := s.forgotten
	s.forgotten = nil
	return f
}
