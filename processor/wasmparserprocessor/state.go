package wasmparserprocessor

import (
	"container/list"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
)

// flow names the connection of a span, as one place saw it.
func (b *batch) flow(s ptrace.Span) string {
	a := s.Attributes()
	key := b.host
	for _, name := range [...]string{semconv.CapturePoint, semconv.NetworkInterfaceName, semconv.NetworkTransport, semconv.NetworkLocalAddress,
		semconv.NetworkLocalPort, semconv.NetworkPeerAddress, semconv.NetworkPeerPort} {
		key += "|" + text(a, name)
	}
	return key
}

// states is what a plugin remembers of connections whose protocol is known; of
// the one asked about longest ago it forgets first.
type states struct {
	max   int
	mu    sync.Mutex
	byKey map[string]*list.Element
	order *list.List
}

type state struct {
	key   string
	value []byte
}

func newStates(max int) *states {
	return &states{max: max, byKey: map[string]*list.Element{}, order: list.New()}
}

// get is never nil.
func (t *states) get(key string) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byKey[key]
	if e == nil {
		return []byte{}
	}
	t.order.MoveToBack(e)
	return e.Value.(*state).value
}

func (t *states) set(key string, v []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		e.Value.(*state).value = v
		t.order.MoveToBack(e)
		return
	}
	t.byKey[key] = t.order.PushBack(&state{key, v})
	if t.order.Len() > t.max {
		old := t.order.Front()
		t.order.Remove(old)
		delete(t.byKey, old.Value.(*state).key)
	}
}

// text is an attribute as text.
func text(m pcommon.Map, key string) string {
	if v, ok := m.Get(key); ok {
		return v.AsString()
	}
	return ""
}
