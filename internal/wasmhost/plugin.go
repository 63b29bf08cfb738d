package wasmhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/hopscope/hopscope/internal/wasmhost/fuel"
)

// Config is how a plugin is loaded.
type Config struct {
	Limits   Limits
	Settings map[string]string
	// Log is told what the plugin logs; level 0 info, 1 warn, 2 error. Nil: it is
	// dropped.
	Log func(level int, text string)
	// Cache, if there, keeps compiled code across loads: a plugin of stock Go
	// compiles in half a second.
	Cache wazero.CompilationCache
}

// Plugin is a compiled module. It is safe for concurrent use; instances are not.
type Plugin struct {
	cfg   Config
	rt    wazero.Runtime
	code  wazero.CompiledModule
	Hooks Hooks
}

// Hooks is what a plugin wants to be asked about.
type Hooks struct {
	HTTPRequest, HTTPResponse, Custom, Payload bool
	// CustomAll, or CustomPoint and CustomType, say which custom messages.
	CustomAll   bool
	CustomPoint uint16
	CustomType  uint32
	// Span: the plugin speaks our own ABI, of this version.
	Span    bool
	Version uint32
	// Check: our own ABI too asks about unparsed messages.
	Check bool
	// Affinity: calls about one flow have to go to one instance, which remembers
	// something of it.
	Affinity bool
	// State: it keeps something with flows.
	State bool
}

// Load compiles a module and asks it for its hooks.
func Load(ctx context.Context, wasm []byte, cfg Config) (*Plugin, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	l := cfg.Limits
	if !l.Guarded && !l.unbounded {
		var err error
		if wasm, err = fuel.Inject(wasm); err != nil {
			return nil, fmt.Errorf("bound the module: %w", err)
		}
	} else if len(wasm) > fuel.MaxModule {
		return nil, errors.New("module is larger than the limit")
	}
	rc := wazero.NewRuntimeConfig().WithMemoryLimitPages(uint32(min(l.Memory/pageSize, 65536))).
		WithCloseOnContextDone(l.Guarded)
	if cfg.Cache != nil {
		rc = rc.WithCompilationCache(cfg.Cache)
	}
	p := &Plugin{cfg: cfg, rt: wazero.NewRuntimeWithConfig(ctx, rc)}
	if err := p.load(ctx, wasm); err != nil {
		return nil, errors.Join(err, p.rt.Close(ctx))
	}
	return p, nil
}

func (p *Plugin) load(ctx context.Context, wasm []byte) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.rt); err != nil {
		return fmt.Errorf("make wasi: %w", err)
	}
	for _, set := range [...]struct {
		module string
		calls  []Call
	}{{"deepflow", deepflowCalls()}, {"hopscope", Calls()}, {fuel.Module, []Call{{fuel.Name, "", "more", moreFuel}}}} {
		b := p.rt.NewHostModuleBuilder(set.module)
		for _, c := range set.calls {
			result := []api.ValueType{api.ValueTypeI32}
			switch c.Result {
			case "":
				result = nil
			case "more":
				result = []api.ValueType{api.ValueTypeI64}
			}
			params := make([]api.ValueType, c.params())
			for i := range params {
				params[i] = api.ValueTypeI32
			}
			b = b.NewFunctionBuilder().WithGoModuleFunction(c.bind(), params, result).Export(c.Name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("make the host module %s: %w", set.module, err)
		}
	}
	var err error
	if p.code, err = p.rt.CompileModule(ctx, wasm); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	in, err := p.New(ctx)
	if err != nil {
		return err
	}
	defer in.Close(ctx)
	p.Hooks = in.hooks
	for _, f := range p.code.ImportedFunctions() {
		if mod, name, _ := f.Import(); mod == "hopscope" && name == "state_set" {
			p.Hooks.State = true
		}
	}
	return nil
}

// Close frees the plugin and all its instances.
func (p *Plugin) Close(ctx context.Context) error { return p.rt.Close(ctx) }

// New makes an instance.
func (p *Plugin) New(ctx context.Context) (*Instance, error) {
	in := &Instance{plugin: p}
	// No file system, no environment, no arguments, no output: what is not given
	// here is not there. wazero's default source of randomness is a constant.
	mc := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader).
		WithSysWalltime().WithSysNanotime()
	in.ctx = &instanceCtx{Context: context.WithoutCancel(ctx), in: in}
	err := in.bounded(p.cfg.Limits.Init, func(ctx context.Context) (err error) {
		in.mod, err = p.rt.InstantiateModule(ctx, p.code, mc)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	if err := in.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start: %w", err), in.Close(ctx))
	}
	return in, nil
}

// Instance is one guest. One goroutine owns it at a time.
type Instance struct {
	plugin *Plugin
	mod    api.Module
	mem    api.Memory
	ctx    *instanceCtx
	hooks  Hooks
	fn     [HookCount]api.Function
	stack  [1]uint64

	// limit and since bound the call that runs. since is set when the first slice
	// of fuel is used up: short calls read no clock.
	limit time.Duration
	since time.Time

	keys  map[string]string
	calls uint32 // from the guest to the host
	call  *Message
	bad   error
	dead  bool
}

// Memory is the size of the instance's memory in bytes.
func (in *Instance) Memory() uint32 {
	if in.mem == nil {
		return 0
	}
	return in.mem.Size()
}

// Dead tells that a call trapped or timed out: what the instance remembers can't
// be trusted any more.
func (in *Instance) Dead() bool { return in.dead }

// Close frees the instance.
func (in *Instance) Close(ctx context.Context) error {
	if in.mod == nil {
		return nil
	}
	return in.mod.Close(ctx)
}

// start runs what has to run once, and reads the hooks.
func (in *Instance) start() error {
	in.mem = in.mod.Memory()
	if in.mem == nil {
		return errors.New("module exports no memory")
	}
	for _, name := range [...]string{"_initialize", "_start"} {
		f := in.mod.ExportedFunction(name)
		if f == nil {
			continue
		}
		if _, err := in.once(name, f); err != nil {
			return err
		}
		break
	}
	for i, name := range hookNames {
		f := in.mod.ExportedFunction(name)
		if f == nil {
			continue
		}
		if d := f.Definition(); len(d.ParamTypes()) != 0 || len(d.ResultTypes()) != 1 || d.ResultTypes()[0] != api.ValueTypeI32 {
			return fmt.Errorf("%s has to be ()->i32", name)
		}
		in.fn[i] = f
	}
	return in.readHooks()
}

// once calls a function that has no result or one.
func (in *Instance) once(name string, f api.Function) (v uint64, err error) {
	if d := f.Definition(); len(d.ParamTypes()) != 0 || len(d.ResultTypes()) > 1 {
		return 0, fmt.Errorf("%s takes parameters", name)
	}
	in.stack[0] = 0
	err = in.bounded(in.plugin.cfg.Limits.Init, func(ctx context.Context) error {
		return f.CallWithStack(ctx, in.stack[:])
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return in.stack[0], nil
}

// bounded runs f, which runs guest code, for no longer than limit, and says why
// it failed.
func (in *Instance) bounded(limit time.Duration, f func(context.Context) error) (err error) {
	in.limit, in.since = limit, time.Time{}
	in.bad = nil
	if in.plugin.cfg.Limits.Guarded {
		ctx, cancel := context.WithTimeout(in.ctx, limit)
		defer cancel()
		err = f(ctx)
		if err != nil && ctx.Err() != nil {
			err = ErrTimeout
		}
	} else {
		err = f(in.ctx)
	}
	switch {
	case err == nil:
		return in.bad
	case errors.Is(err, ErrTimeout):
		in.dead = true
		return ErrTimeout
	}
	in.dead = true
	return fmt.Errorf("%w: %w", ErrTrap, err)
}

// moreFuel is asked at each used-up slice.
func moreFuel(in *Instance, _ []uint64) uint64 {
	if in.late() {
		panic(ErrTimeout)
	}
	return fuel.Slice
}

// late tells that the call has run for longer than it may. Functions that a guest
// imports ask as well: their time is not fuel.
func (in *Instance) late() bool {
	if in.since.IsZero() {
		in.since = time.Now()
		return false
	}
	return time.Since(in.since) > in.limit
}
