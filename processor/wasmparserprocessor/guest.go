package wasmparserprocessor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/wasmhost"
)

// guest is one configured plugin, whatever file it has at the moment.
type guest struct {
	cfg   *PluginConfig
	lim   LimitsConfig
	name  string
	log   *zap.Logger
	cache wazero.CompilationCache

	host   component.Host
	states *states

	now atomic.Pointer[loaded]
	sum [32]byte // of the file last looked at, good or not

	calls, spent, changed atomic.Uint64
	failed                [len(reasons)]atomic.Uint64
	reloaded, refused     atomic.Uint64
	inRow                 [wasmhost.HookCount]atomic.Int64 // failures, by hook
	asideUntil            atomic.Int64                     // unix ns
	ill                   atomic.Bool                      // and has not answered since
}

// loaded is one version of the file. It is closed when it was replaced and the
// last instance came back.
type loaded struct {
	plugin *wasmhost.Plugin
	mu     sync.Mutex
	free   []*wasmhost.Instance
	out    int
	old    bool
	// pins are the instances of a plugin that remembers flows: each flow has one.
	pins []pin
}

type pin struct {
	mu sync.Mutex
	in *wasmhost.Instance
}

// seed spreads flows over instances.
var seed = maphash.MakeSeed()

// maxFree bounds the instances that wait: as many calls as may run at once on a
// large node; more are made when needed, and let go.
const maxFree = 16

// reasons are those of failures.
var reasons = [...]string{"trap", "timeout", "pointer", "result", "action"}

func reason(err error) int {
	for i, e := range [...]error{wasmhost.ErrTrap, wasmhost.ErrTimeout, wasmhost.ErrPointer, wasmhost.ErrResult, wasmhost.ErrAction} {
		if errors.Is(err, e) {
			return i
		}
	}
	return 0
}

func newGuest(cfg *PluginConfig, log *zap.Logger, cache wazero.CompilationCache) *guest {
	name := strings.TrimSuffix(filepath.Base(cfg.Path), ".wasm")
	if dir := filepath.Base(filepath.Dir(cfg.Path)); name == "plugin" && dir != "." && dir != "/" {
		name = dir // as the examples lie
	}
	return &guest{cfg: cfg, lim: cfg.Limits.filled(), name: name, log: log.With(zap.String("plugin", name)), cache: cache}
}

// load reads the file and, if it is another one, takes it. A file that does not
// load leaves what runs.
func (g *guest) load(ctx context.Context) (bool, error) {
	b, err := os.ReadFile(g.cfg.Path)
	if err != nil {
		return false, fmt.Errorf("read plugin: %w", err)
	}
	sum := sha256.Sum256(b)
	if sum == g.sum {
		return false, nil
	}
	g.sum = sum
	if want := g.cfg.SHA256; want != "" && !strings.EqualFold(want, hex.EncodeToString(sum[:])) {
		return false, fmt.Errorf("plugin %s has sha256 %x, not the configured one", g.cfg.Path, sum)
	}
	p, err := wasmhost.Load(ctx, b, wasmhost.Config{
		Limits:   wasmhost.Limits{Memory: g.lim.Memory, Call: g.lim.CallTimeout, Init: g.lim.InitTimeout, Guarded: g.lim.Guarded},
		Settings: g.cfg.Settings, Cache: g.cache,
		Log: func(level int, s string) { g.log.Debug("plugin says", zap.Int("level", level), zap.String("text", s)) },
	})
	if err != nil {
		return false, fmt.Errorf("load plugin %s: %w", g.cfg.Path, err)
	}
	if was := g.now.Swap(&loaded{plugin: p, pins: make([]pin, runtime.GOMAXPROCS(0))}); was != nil {
		was.retire(ctx)
	}
	g.forgive()
	g.asideUntil.Store(0)
	return true, nil
}

// ready is the version that may be asked; nil while the plugin is put aside.
func (g *guest) ready(now time.Time) *loaded {
	if until := g.asideUntil.Load(); until != 0 && now.UnixNano() < until {
		return nil
	}
	return g.now.Load()
}

// do makes one call and accounts for it. False: it failed.
func (g *guest) do(in *wasmhost.Instance, h wasmhost.Hook, m *wasmhost.Message) bool {
	start := time.Now()
	err := in.Do(h, m)
	g.calls.Add(1)
	g.spent.Add(uint64(time.Since(start)))
	if err == nil {
		if g.inRow[h].Load() != 0 {
			g.inRow[h].Store(0)
		}
		if g.ill.Load() && g.ill.CompareAndSwap(true, false) {
			componentstatus.ReportStatus(g.host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
		return true
	}
	g.failed[reason(err)].Add(1)
	if n := g.inRow[h].Add(1); n >= int64(g.lim.Failures) {
		g.forgive()
		g.asideUntil.Store(time.Now().Add(g.lim.Aside).UnixNano())
		g.ill.Store(true)
		g.log.Warn("plugin failed too often and is put aside", zap.Int64("failures", n), zap.Duration("for", g.lim.Aside), zap.Error(err))
		componentstatus.ReportStatus(g.host, componentstatus.NewRecoverableErrorEvent(
			fmt.Errorf("plugin %s failed %d times in a row and is put aside for %v: %w", g.name, n, g.lim.Aside, err)))
	}
	return false
}

func (g *guest) forgive() {
	for i := range g.inRow {
		g.inRow[i].Store(0)
	}
}

// pinned makes one call to the instance that the flow belongs to. asked is false
// if this version was replaced.
func (g *guest) pinned(ctx context.Context, l *loaded, flow string, h wasmhost.Hook, m *wasmhost.Message) (ok, asked bool) {
	l.mu.Lock()
	if l.old {
		l.mu.Unlock()
		return false, false
	}
	l.out++
	l.mu.Unlock()
	defer l.give(ctx, nil)
	p := &l.pins[maphash.String(seed, flow)%uint64(len(l.pins))]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in != nil && p.in.Dead() {
		_ = p.in.Close(ctx) // what it remembered is gone with it
		p.in = nil
	}
	if p.in == nil {
		in, err := l.plugin.New(ctx)
		if err != nil {
			g.failed[reason(err)].Add(1)
			return false, true
		}
		p.in = in
	}
	return g.do(p.in, h, m), true
}

// take gives an instance to one caller; nil, nil: this version was replaced.
func (l *loaded) take(ctx context.Context) (*wasmhost.Instance, error) {
	l.mu.Lock()
	if l.old {
		l.mu.Unlock()
		return nil, nil
	}
	l.out++
	if n := len(l.free); n > 0 {
		in := l.free[n-1]
		l.free = l.free[:n-1]
		l.mu.Unlock()
		return in, nil
	}
	l.mu.Unlock()
	in, err := l.plugin.New(ctx)
	if err != nil {
		l.give(ctx, nil)
	}
	return in, err
}

// give takes an instance back. One that trapped is not used again.
func (l *loaded) give(ctx context.Context, in *wasmhost.Instance) {
	l.mu.Lock()
	l.out--
	keep := in != nil && !l.old && !in.Dead() && len(l.free) < maxFree
	if keep {
		l.free = append(l.free, in)
	}
	last := l.old && l.out == 0
	l.mu.Unlock()
	if in != nil && !keep {
		_ = in.Close(ctx) // frees memory; nothing to be done about an error
	}
	if last {
		_ = l.plugin.Close(ctx)
	}
}

func (l *loaded) retire(ctx context.Context) {
	l.mu.Lock()
	l.old, l.free = true, nil
	last := l.out == 0
	l.mu.Unlock()
	if last {
		_ = l.plugin.Close(ctx)
	}
}
