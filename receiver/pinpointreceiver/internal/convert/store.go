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
}

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
	uids                map[string]string
	exceptions          map[exceptionKey][]wire.ChainLink
	place               *list.Element
}

type exceptionKey struct {
	tx    string
	span  int64
	chain int64
}

// Store remembers agents: their texts are sent once in the life of a process.
type Store struct {
	max       int
	agents    map[agentKey]*Agent
	order     *list.List // of *Agent, the one used last in front
	forgotten []string   // keys of agents that were, since Forgotten
	// Evicted counts agents forgotten for the limit.
	Evicted uint64
	// Dirty is told of agents that learnt something. May be nil.
	Dirty func(*Agent)
}

// NewStore remembers up to max process lives (0: DefaultMaxAgents).
func NewStore(max int) *Store {
	if max <= 0 {
		max = DefaultMaxAgents
	}
	return &Store{max: max, agents: map[agentKey]*Agent{}, order: list.New()}
}

// Agent is the agent of id; what id says is added to what is known.
func (s *Store) Agent(id *Identity) *Agent {
	k := agentKey{id.AgentID, id.Start}
	a := s.agents[k]
	if a == nil {
		a = &Agent{Identity: *id}
		if len(s.agents) >= s.max {
			old := s.order.Remove(s.order.Back()).(*Agent)
			delete(s.agents, agentKey{old.AgentID, old.Start})
			s.Evicted++
			if len(s.forgotten) < s.max {
				s.forgotten = append(s.forgotten, old.Key())
			}
		}
		s.agents[k], a.place = a, s.order.PushFront(a)
		return a
	}
	s.order.MoveToFront(a.place)
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
	if len(a.uids) < maxMeta {
		a.uids[m.UID] = m.Text[:min(len(m.Text), maxText)]
		s.dirty(a)
	}
}

func (s *Store) add(a *Agent, to *map[int32]wire.Meta, m wire.Meta) {
	if *to == nil {
		*to = map[int32]wire.Meta{}
	}
	m.Text, m.Location = m.Text[:min(len(m.Text), maxText)], m.Location[:min(len(m.Location), maxText)]
	if old, ok := (*to)[m.ID]; ok && old == m || !ok && len(*to) >= maxMeta {
		return
	}
	(*to)[m.ID] = m
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
			clear(a.exceptions) // spans that never came
		}
		a.exceptions[k] = append(a.exceptions[k], l)
	}
}

// takeException gives a chain away.
func (a *Agent) takeException(k exceptionKey) []wire.ChainLink {
	l := a.exceptions[k]
	delete(a.exceptions, k)
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
