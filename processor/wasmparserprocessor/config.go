package wasmparserprocessor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/hopscope/hopscope/internal/wasmhost"
)

// Config is the user's.
type Config struct {
	// Plugins are asked in this order.
	Plugins []PluginConfig `mapstructure:"plugins"`
	// Reload is how often files are looked at for changes; 0: never.
	Reload time.Duration `mapstructure:"reload"`
	// Unparsed bounds what is remembered of connections that only plugins know.
	Unparsed UnparsedConfig `mapstructure:"unparsed"`
	// KeepPayload leaves the payload attributes on the spans, for finding faults.
	KeepPayload bool `mapstructure:"keep_payload"`

	_ struct{}
}

// PluginConfig is one plugin.
type PluginConfig struct {
	Path string `mapstructure:"path"`
	// SHA256 pins the file; another one is refused.
	SHA256   string            `mapstructure:"sha256"`
	Match    MatchConfig       `mapstructure:"match"`
	Limits   LimitsConfig      `mapstructure:"limits"`
	Settings map[string]string `mapstructure:"settings"`

	_ struct{}
}

// MatchConfig says which spans the plugin is asked about; an empty list is all.
type MatchConfig struct {
	Protocols  []string `mapstructure:"protocols"`
	Ports      []uint16 `mapstructure:"ports"`
	Processes  []string `mapstructure:"processes"`
	Methods    []string `mapstructure:"methods"`
	PathPrefix string   `mapstructure:"path_prefix"`
	// Status is of hopscope.response.status: ok, client_error, ...
	Status []string `mapstructure:"status"`

	_ struct{}
}

// LimitsConfig bounds a plugin.
type LimitsConfig struct {
	// Memory of one instance, in bytes.
	Memory uint64 `mapstructure:"memory"`
	// CallTimeout bounds each call.
	CallTimeout time.Duration `mapstructure:"call_timeout"`
	// InitTimeout bounds the start of an instance.
	InitTimeout time.Duration `mapstructure:"init_timeout"`
	// Failures in a row put the plugin aside for Aside.
	Failures int           `mapstructure:"failures"`
	Aside    time.Duration `mapstructure:"aside"`
	// Guarded bounds calls without changing the module; loops are many times
	// slower.
	Guarded bool `mapstructure:"guarded"`

	_ struct{}
}

// UnparsedConfig bounds what is remembered of connections that only plugins know.
type UnparsedConfig struct {
	// MaxFlows is how many connections; past it the one silent longest goes.
	MaxFlows int `mapstructure:"max_flows"`
	// MaxMessage is how much of one message is put together.
	MaxMessage int `mapstructure:"max_message"`
	// MaxBytes is how much of all of them, MaxOpen how many wait for an answer.
	MaxBytes int `mapstructure:"max_bytes"`
	MaxOpen  int `mapstructure:"max_open"`
	// Timeout is how long a request waits for its answer.
	Timeout time.Duration `mapstructure:"timeout"`

	_ struct{}
}

const (
	defaultReload   = 5 * time.Second
	defaultFailures = 10
	defaultAside    = 30 * time.Second
	maxMemory       = 1 << 30
)

func createDefaultConfig() component.Config {
	return &Config{Reload: defaultReload, Unparsed: UnparsedConfig{
		MaxFlows: 10_000, MaxMessage: 64 << 10, MaxBytes: 64 << 20, MaxOpen: 20_000, Timeout: time.Minute}}
}

// filled is l with the defaults for what is not said.
func (l LimitsConfig) filled() LimitsConfig {
	if l.Memory == 0 {
		l.Memory = wasmhost.DefaultMemory
	}
	if l.CallTimeout == 0 {
		l.CallTimeout = wasmhost.DefaultCall
	}
	if l.InitTimeout == 0 {
		l.InitTimeout = wasmhost.DefaultInit
	}
	if l.Failures == 0 {
		l.Failures = defaultFailures
	}
	if l.Aside == 0 {
		l.Aside = defaultAside
	}
	return l
}

// Validate checks the configuration; each error names its key and the remedy.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Reload < 0 {
		bad("reload: must not be negative, 0 turns reloading off")
	}
	if u := &c.Unparsed; u.MaxFlows < 1 || u.MaxMessage < 1 || u.MaxBytes < 1 || u.MaxOpen < 1 || u.Timeout <= 0 {
		bad("unparsed: max_flows, max_message, max_bytes, max_open and timeout must be positive; leave out what need not be changed")
	}
	for i := range c.Plugins {
		p := &c.Plugins[i]
		key := fmt.Sprintf("plugins::%d::", i)
		if p.Path == "" {
			bad("%spath: is empty, name a .wasm file", key)
		}
		if p.SHA256 != "" {
			if b, err := hex.DecodeString(p.SHA256); err != nil || len(b) != 32 {
				bad("%ssha256: has to be 64 hexadecimal digits, as sha256sum prints them", key)
			}
		}
		l := p.Limits.filled()
		if l.Memory < 64<<10 || l.Memory > maxMemory {
			bad("%slimits::memory: must be between 65536 and %d bytes", key, maxMemory)
		}
		if l.CallTimeout < 0 || l.InitTimeout < 0 || l.Aside < 0 || l.Failures < 0 {
			bad("%slimits: call_timeout, init_timeout, failures and aside must not be negative", key)
		}
	}
	return errors.Join(errs...)
}
