package links

import (
	"context"
	"sync"
	"time"
)

// maxMemory bounds the entries of the memory store per generation: 64 bytes
// each with the map around it, so 64 MiB at most.
const maxMemory = 1 << 20

// Memory is a Store inside the process: enough where one collector sees all.
type Memory struct {
	ttl time.Duration

	mu    sync.Mutex // protects all below
	now   func() time.Time
	turn  time.Time
	young map[Key]Trace
	old   map[Key]Trace
	stats Stats
}

// NewMemory keeps entries for at least ttl and at most twice as long.
func NewMemory(ttl time.Duration) *Memory {
	return &Memory{ttl: ttl, now: time.Now, young: map[Key]Trace{}, old: map[Key]Trace{}}
}

// Put files entries. A provisional trace never takes the place of a definite one.
func (m *Memory) Put(entries []Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	switch {
	case m.turn.IsZero():
		m.turn = now.Add(m.ttl)
	case now.After(m.turn) || len(m.young) >= maxMemory:
		m.old, m.young, m.turn = m.young, map[Key]Trace{}, now.Add(m.ttl)
	}
	for _, e := range entries {
		m.stats.Puts++
		if e.Trace.Provisional {
			if t, ok := m.get(e.Key); ok && !t.Provisional {
				continue
			}
		}
		m.young[e.Key] = e.Trace
	}
}

func (m *Memory) get(k Key) (Trace, bool) {
	t, ok := m.young[k]
	if !ok {
		t, ok = m.old[k]
	}
	return t, ok
}

// Get looks keys up.
func (m *Memory) Get(_ context.Context, keys []Key, out []Trace) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, k := range keys {
		m.stats.Gets++
		if t, ok := m.get(k); ok {
			m.stats.Hits++
			out[i] = t
		}
	}
	return nil
}

// Stats is a copy of the counters.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Close does nothing: the entries go with the process.
func (m *Memory) Close(context.Context) error { return nil }
