package tracecompletionprocessor

import (
	"errors"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
)

// Config is the user's.
type Config struct {
	// Settle is how long a span waits for the rest of its trace.
	Settle time.Duration `mapstructure:"settle"`
	// Remember is how long a span is known after it was sent on, so that late
	// ones find their place.
	Remember time.Duration `mapstructure:"remember"`
	// MaxSpans bounds the spans that wait; past it the oldest are sent on as
	// they are.
	MaxSpans int `mapstructure:"max_spans"`
	// MaxBytes bounds the memory that they take, packed.
	MaxBytes int64 `mapstructure:"max_bytes"`
	// Hops is what becomes of network hops: spans, attributes (folded into the
	// process span of their host) or off (dropped).
	Hops string `mapstructure:"hops"`
	// ReparentAPM lets server spans of applications hang on the hop that
	// delivered their request.
	ReparentAPM bool `mapstructure:"reparent_apm"`
	// ClockSkew is what is done about clocks of hosts: report the offset, adjust
	// start times by it, or off.
	ClockSkew string       `mapstructure:"clock_skew"`
	Links     LinksConfig  `mapstructure:"links"`
	Guards    GuardsConfig `mapstructure:"guards"`

	_ struct{}
}

// LinksConfig is the table by which hosts tell each other trace ids.
type LinksConfig struct {
	// Store is memory or redis.
	Store string `mapstructure:"store"`
	// TTL is how long an entry lives.
	TTL time.Duration `mapstructure:"ttl"`
	// Timeout is what a look-up may add to settle.
	Timeout time.Duration `mapstructure:"timeout"`
	Redis   RedisConfig   `mapstructure:"redis"`

	_ struct{}
}

// RedisConfig is where Redis 6 or later, or Valkey, is.
type RedisConfig struct {
	// Endpoints: one for a single server, the nodes of a cluster, or sentinels.
	Endpoints []string `mapstructure:"endpoints"`
	// Mode is standalone, cluster or sentinel.
	Mode string `mapstructure:"mode"`
	// Master is the name that the sentinels know the master by.
	Master           string                 `mapstructure:"master"`
	Username         string                 `mapstructure:"username"`
	Password         configopaque.String    `mapstructure:"password"`
	SentinelPassword configopaque.String    `mapstructure:"sentinel_password"`
	DB               int                    `mapstructure:"db"`
	Prefix           string                 `mapstructure:"prefix"`
	Queue            int                    `mapstructure:"queue"`
	TLS              configtls.ClientConfig `mapstructure:"tls"`

	_ struct{}
}

// GuardsConfig bounds what may become one trace.
type GuardsConfig struct {
	MaxSpans    int           `mapstructure:"max_spans"`
	MaxDuration time.Duration `mapstructure:"max_duration"`
	MaxSiblings int           `mapstructure:"max_siblings"`

	_ struct{}
}

// Values of Config.Hops and Config.ClockSkew, LinksConfig.Store and
// RedisConfig.Mode.
const (
	hopsSpans      = "spans"
	hopsAttributes = "attributes"
	skewReport     = "report"
	skewAdjust     = "adjust"
	valueOff       = "off"
	storeMemory    = "memory"
	storeRedis     = "redis"
	modeStandalone = "standalone"
	modeCluster    = "cluster"
	modeSentinel   = "sentinel"
)

func createDefaultConfig() component.Config {
	return &Config{
		Settle:      5 * time.Second,
		Remember:    2 * time.Minute,
		MaxSpans:    500_000,
		MaxBytes:    512 << 20,
		Hops:        hopsSpans,
		ReparentAPM: true,
		ClockSkew:   skewReport,
		Links: LinksConfig{Store: storeMemory, TTL: 2 * time.Minute, Timeout: 200 * time.Millisecond,
			Redis: RedisConfig{Mode: modeStandalone, Prefix: "hopscope:", Queue: 1024, TLS: configtls.ClientConfig{Insecure: true}}},
		Guards: GuardsConfig{MaxSpans: 10_000, MaxDuration: 10 * time.Minute, MaxSiblings: 64},
	}
}

// Validate checks the configuration; each error names its key and the remedy.
func (c *Config) Validate() error {
	var errs []error
	positive := func(key string, ok bool) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: must be greater than zero", key))
		}
	}
	oneOf := func(key, v string, allowed ...string) {
		for _, a := range allowed {
			if v == a {
				return
			}
		}
		errs = append(errs, fmt.Errorf("%s: %q is unknown, use one of %q", key, v, allowed))
	}
	positive("settle", c.Settle > 0)
	positive("max_spans", c.MaxSpans > 0)
	positive("max_bytes", c.MaxBytes > 0)
	positive("guards::max_spans", c.Guards.MaxSpans > 0)
	positive("guards::max_duration", c.Guards.MaxDuration > 0)
	positive("guards::max_siblings", c.Guards.MaxSiblings > 0)
	positive("links::ttl", c.Links.TTL > 0)
	positive("links::timeout", c.Links.Timeout > 0)
	if c.Remember < 0 {
		errs = append(errs, errors.New("remember: must not be negative, 0 forgets a span as soon as it is sent on"))
	}
	oneOf("hops", c.Hops, hopsSpans, hopsAttributes, valueOff)
	oneOf("clock_skew", c.ClockSkew, skewReport, skewAdjust, valueOff)
	oneOf("links::store", c.Links.Store, storeMemory, storeRedis)
	if c.Links.Store == storeRedis {
		r := &c.Links.Redis
		if c.Links.TTL > 0 && c.Links.TTL <= c.Settle {
			errs = append(errs, fmt.Errorf("links::ttl: entries would be gone after %v, before they are asked for last: make it longer than settle (%v)", c.Links.TTL, c.Settle))
		}
		for _, e := range r.Endpoints {
			if host, port, err := net.SplitHostPort(e); err != nil || host == "" || port == "" {
				errs = append(errs, fmt.Errorf("links::redis::endpoints: %q is no host:port, as redis:6379", e))
			}
		}
		oneOf("links::redis::mode", r.Mode, modeStandalone, modeCluster, modeSentinel)
		positive("links::redis::queue", r.Queue > 0)
		switch {
		case len(r.Endpoints) == 0:
			errs = append(errs, errors.New("links::redis::endpoints: is empty, name at least one host:port"))
		case r.Mode == modeStandalone && len(r.Endpoints) > 1:
			errs = append(errs, errors.New("links::redis::endpoints: standalone takes one, set mode to cluster or sentinel for several"))
		}
		if r.Mode == modeSentinel && r.Master == "" {
			errs = append(errs, errors.New("links::redis::master: is empty, name the master that the sentinels watch"))
		}
		if r.Mode == modeCluster && r.DB != 0 {
			errs = append(errs, errors.New("links::redis::db: a cluster has only database 0"))
		}
	}
	return errors.Join(errs...)
}
