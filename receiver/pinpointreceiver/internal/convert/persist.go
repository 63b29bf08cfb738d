package convert

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// saved is an agent as it is stored. Hashes of statements are bytes.
type saved struct {
	Identity Identity
	Info     *wire.AgentInfo `json:",omitempty"`
	APIs     []wire.Meta     `json:",omitempty"`
	SQLs     []wire.Meta     `json:",omitempty"`
	Strings  []wire.Meta     `json:",omitempty"`
	UIDs     []savedUID      `json:",omitempty"`
}

type savedUID struct {
	UID  []byte
	Text string
}

// Key names the agent's life in a storage.
func (a *Agent) Key() string { return a.AgentID + "@" + strconv.FormatInt(a.Start, 10) }

// Save is what is known of a, for Load.
func (a *Agent) Save() ([]byte, error) {
	s := saved{Identity: a.Identity}
	if a.HasInfo {
		s.Info = &a.Info
	}
	for _, x := range []struct {
		to   *[]wire.Meta
		from map[int32]wire.Meta
	}{{&s.APIs, a.apis}, {&s.SQLs, a.sqls}, {&s.Strings, a.strings}} {
		for _, m := range x.from {
			*x.to = append(*x.to, m)
		}
	}
	for uid, text := range a.uids {
		s.UIDs = append(s.UIDs, savedUID{[]byte(uid), text})
	}
	b, err := json.Marshal(&s)
	if err != nil {
		return nil, fmt.Errorf("save agent %s: %w", a.Key(), err)
	}
	return b, nil
}

// Load takes in what Save gave. What is known already stays.
func (s *Store) Load(b []byte) error {
	var in saved
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("load agent: %w", err)
	}
	if !validID(in.Identity.AgentID) {
		return fmt.Errorf("load agent: %q is no agent's id", in.Identity.AgentID)
	}
	dirty := s.Dirty
	s.Dirty = nil
	defer func() { s.Dirty = dirty }()
	a := s.Agent(&in.Identity)
	if in.Info != nil && !a.HasInfo {
		s.SetInfo(a, *in.Info)
	}
	for _, x := range []struct {
		to   *map[int32]wire.Meta
		from []wire.Meta
	}{{&a.apis, in.APIs}, {&a.sqls, in.SQLs}, {&a.strings, in.Strings}} {
		for _, m := range x.from {
			if _, known := (*x.to)[m.ID]; !known {
				s.add(a, x.to, m)
			}
		}
	}
	for _, u := range in.UIDs {
		if _, known := a.uids[string(u.UID)]; !known {
			s.AddUID(a, wire.Meta{UID: string(u.UID), Text: u.Text})
		}
	}
	return nil
}

// Keys are those of all agents, the one used last first.
func (s *Store) Keys() []string {
	keys := make([]string, 0, s.order.Len())
	for e := s.order.Front(); e != nil; e = e.Next() {
		keys = append(keys, e.Value.(*Agent).Key())
	}
	return keys
}
