// Package links is the table by which hosts tell each other which trace an
// exchange belongs to, when no header does: exchange key → trace id, and
// provisional trace id → the trace it turned out to be part of.
//
// Losing it costs links, never spans: every call is bounded in time, and an
// answer that does not come is "not known".
package links

import (
	"context"

	"github.com/hopscope/hopscope/internal/hop"
)

// Trace is a trace id and whether it may still turn out to be part of another.
type Trace struct {
	ID          [16]byte
	Provisional bool
}

// Key names an entry: an exchange or a provisional trace.
type Key struct {
	kind byte
	id   [16]byte
}

const (
	kindExchange = 'x'
	kindAlias    = 'a'
)

// Exchange is the key of the exchange lid.
func Exchange(lid hop.Key) Key {
	k := Key{kind: kindExchange}
	b := lid.Bytes()
	copy(k.id[:], b[:])
	return k
}

// Alias is the key of the provisional trace id.
func Alias(id [16]byte) Key { return Key{kind: kindAlias, id: id} }

// Entry is one row.
type Entry struct {
	Key   Key
	Trace Trace
}

// Stats counts operations. Cumulative.
type Stats struct {
	Puts, PutErrors, PutDropped uint64
	Gets, Hits, GetErrors       uint64
}

// Store is a link table.
type Store interface {
	// Put files entries, without waiting. Entries that find no room are counted
	// and lost.
	Put(entries []Entry)
	// Get looks keys up in one round trip; out[i].ID is zero where keys[i] is
	// not known.
	Get(ctx context.Context, keys []Key, out []Trace) error
	Stats() Stats
	Close(ctx context.Context) error
}

// MaxChain bounds how many aliases are followed: more hosts in a row without a
// single header, each late, is a loop.
const MaxChain = 32

// Resolve looks keys up and follows aliases to the end of their chains. Each
// step is one round trip for the whole batch.
func Resolve(ctx context.Context, s Store, keys []Key) (out []Trace, steps int, err error) {
	out = make([]Trace, len(keys))
	if err := s.Get(ctx, keys, out); err != nil {
		return out, 0, err
	}
	var open []int
	for i := range out {
		if out[i].Provisional {
			open = append(open, i)
		}
	}
	for len(open) > 0 && steps < MaxChain {
		steps++
		keys := make([]Key, len(open))
		for j, i := range open {
			keys[j] = Alias(out[i].ID)
		}
		next := make([]Trace, len(open))
		if err := s.Get(ctx, keys, next); err != nil {
			return out, steps, err
		}
		var still []int
		for j, i := range open {
			if next[j].ID == ([16]byte{}) || next[j].ID == out[i].ID {
				continue
			}
			out[i] = next[j]
			if next[j].Provisional {
				still = append(still, i)
			}
		}
		open = still
	}
	return out, steps, nil
}
