package pinpointreceiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
)

// memory keeps in a storage extension what agents say once in their life, so
// that it outlives us.
type memory struct {
	client storage.Client
	core   *core
	log    *zap.Logger
	dirty  map[*convert.Agent]bool
}

const (
	// indexKey holds the keys of all agents.
	indexKey = "agents"
	agentKey = "agent/"
	// saveEvery is how often what was learnt is stored.
	saveEvery = 10 * time.Second
)

// openMemory reads what was stored. A nil memory keeps nothing.
func openMemory(ctx context.Context, host component.Host, self component.ID, id *component.ID, c *core, log *zap.Logger) (*memory, error) {
	if id == nil {
		return nil, nil
	}
	ext, ok := host.GetExtensions()[*id].(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("storage: %s is not a storage extension that runs here", id)
	}
	client, err := ext.GetClient(ctx, component.KindReceiver, self, "")
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", id, err)
	}
	m := &memory{client: client, core: c, log: log, dirty: map[*convert.Agent]bool{}}
	if err := m.load(ctx); err != nil {
		// What cannot be read is learnt anew.
		log.Warn("stored agents", zap.Error(err))
	}
	c.store.Dirty = func(a *convert.Agent) { m.dirty[a] = true } // under core.mu
	return m, nil
}

func (m *memory) load(ctx context.Context) error {
	b, err := m.client.Get(ctx, indexKey)
	if err != nil || b == nil {
		return err
	}
	var keys []string
	if err := json.Unmarshal(b, &keys); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	var errs []error
	for i := len(keys) - 1; i >= 0; i-- { // so that the last one used is so again
		b, err := m.client.Get(ctx, agentKey+keys[i])
		if err == nil && b != nil {
			err = m.core.store.Load(b)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// run stores what was learnt, until ctx is over.
func (m *memory) run(ctx context.Context) {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := m.save(ctx); err != nil && ctx.Err() == nil {
				m.log.Error("store agents", zap.Error(err))
			}
		}
	}
}

// save stores the agents that learnt something, then the index.
func (m *memory) save(ctx context.Context) error {
	ops, err := m.changes()
	if len(ops) == 0 {
		return err
	}
	return errors.Join(err, m.client.Batch(ctx, ops...))
}

func (m *memory) changes() (ops []*storage.Operation, err error) {
	m.core.mu.Lock()
	defer m.core.mu.Unlock()
	if len(m.dirty) == 0 {
		return nil, nil
	}
	var errs []error
	for a := range m.dirty {
		b, err := a.Save()
		errs = append(errs, err)
		if err == nil {
			ops = append(ops, storage.SetOperation(agentKey+a.Key(), b))
		}
	}
	clear(m.dirty)
	// Agents that were forgotten leave the storage too.
	keys := m.core.store.Keys()
	index, err := json.Marshal(keys)
	for _, k := range m.core.store.Forgotten() {
		ops = append(ops, storage.DeleteOperation(agentKey+k))
	}
	return append(ops, storage.SetOperation(indexKey, index)), errors.Join(append(errs, err)...)
}

// close stores the rest.
func (m *memory) close(ctx context.Context) error {
	if m == nil {
		return nil
	}
	return errors.Join(m.save(ctx), m.client.Close(ctx))
}
