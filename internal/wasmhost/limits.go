package wasmhost

import (
	"context"
	"errors"
	"time"
)

// Limits bound one plugin. Zero values take the defaults.
type Limits struct {
	// Memory in bytes that one instance may have.
	Memory uint64
	// Call bounds one call of a hook.
	Call time.Duration
	// Init bounds what runs when an instance is made: a Go plugin starts its
	// runtime there, 4 ms.
	Init time.Duration
	// Guarded bounds calls by wazero's own means instead of fuel. Loops are 13 to
	// 22 times slower then; it is for comparing, and for a module that the
	// rewriting does not take.
	Guarded bool
	// unbounded: nothing does, to measure what it costs.
	unbounded bool
}

// Defaults of Limits. A plugin of stock Go needs 2.4 MB, one that decodes JSON
// some more.
const (
	DefaultMemory = 16 << 20
	DefaultCall   = 5 * time.Millisecond
	DefaultInit   = 2 * time.Second
)

const pageSize = 64 << 10

func (l Limits) withDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	if l.Call == 0 {
		l.Call = DefaultCall
	}
	if l.Init == 0 {
		l.Init = DefaultInit
	}
	return l
}

// Why a call failed.
var (
	ErrTimeout = errors.New("plugin ran out of time")
	ErrPointer = errors.New("plugin gave a pointer outside its memory")
	ErrResult  = errors.New("plugin handed over a malformed result")
	ErrAction  = errors.New("plugin returned an unknown action")
	ErrTrap    = errors.New("plugin trapped")
)

// instanceCtx carries the instance to the functions that it imports. It is made
// once per instance: calls do not allocate for it.
type instanceCtx struct {
	context.Context
	in *Instance
}

type instanceKey struct{}

// Value finds the instance through whatever the runtime wraps around.
func (c *instanceCtx) Value(key any) any {
	if _, ok := key.(instanceKey); ok {
		return c.in
	}
	return c.Context.Value(key)
}

func instanceOf(ctx context.Context) *Instance {
	if c, ok := ctx.(*instanceCtx); ok {
		return c.in
	}
	in, _ := ctx.Value(instanceKey{}).(*Instance)
	return in
}
