package wasmparserprocessor

import (
	"time"

	"go.opentelemetry.io/collector/processor"

	"github.com/hopscope/hopscope/internal/wasmhost"
)

// Report is what became of one plugin, for tools that run it outside a collector.
type Report struct {
	Name  string
	Hooks wasmhost.Hooks
	// Memory of an instance in bytes, the largest of those that there are.
	Memory         uint32
	Calls, Changed uint64
	Spent          time.Duration // in calls
	Failed         map[string]uint64
}

// Reports are those of the plugins of p, which the factory of this package made,
// in their order; and, of unparsed messages, what became of them.
func Reports(p processor.Traces) (plugins []Report, unparsed map[string]uint64) {
	w, ok := p.(*parser)
	if !ok {
		return nil, nil
	}
	for _, g := range w.guests {
		r := Report{Name: g.name, Calls: g.calls.Load(), Changed: g.changed.Load(), Spent: time.Duration(g.spent.Load()), Failed: map[string]uint64{}}
		for i := range g.failed {
			if n := g.failed[i].Load(); n > 0 {
				r.Failed[reasons[i]] = n
			}
		}
		if l := g.now.Load(); l != nil {
			r.Hooks = l.plugin.Hooks
			r.Memory = l.memory()
		}
		plugins = append(plugins, r)
	}
	unparsed = map[string]uint64{}
	for i := range w.dropped {
		if n := w.dropped[i].Load(); n > 0 {
			unparsed["dropped, "+dropNames[i]] = n
		}
	}
	for i := range w.sessions {
		if n := w.sessions[i].Load(); n > 0 {
			unparsed["exchanges, "+outcomeNames[i]] = n
		}
	}
	return plugins, unparsed
}

// memory is that of the largest instance at hand.
func (l *loaded) memory() (n uint32) {
	l.mu.Lock()
	for _, in := range l.free {
		n = max(n, in.Memory())
	}
	l.mu.Unlock()
	for i := range l.pins {
		p := &l.pins[i]
		p.mu.Lock()
		if p.in != nil {
			n = max(n, p.in.Memory())
		}
		p.mu.Unlock()
	}
	return n
}
