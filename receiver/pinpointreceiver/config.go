package pinpointreceiver

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
)

// Config of the receiver. At least one source must be configured.
type Config struct {
	Sniff SniffConfig `mapstructure:"sniff"`
	GRPC  GRPCConfig  `mapstructure:"grpc"`
	// Forward is a real collector of Pinpoint that gets what is sent to us, too.
	Forward ForwardConfig `mapstructure:"forward"`
	// KeepLiterals leaves values in SQL statements, and tells bind values. They
	// are where personal data lives.
	KeepLiterals bool `mapstructure:"keep_literals"`
	// Storage is the extension that keeps what agents say once in their life;
	// none: it is lost with us.
	Storage *component.ID `mapstructure:"storage"`
	// MaxAgents is how many process lives are remembered with their texts.
	MaxAgents int `mapstructure:"max_agents"`
	// MaxTextBytes bounds these texts.
	MaxTextBytes int64 `mapstructure:"max_text_bytes"`
	// MaxSpans and MaxEvents bound what waits to be put together.
	MaxSpans  int `mapstructure:"max_spans"`
	MaxEvents int `mapstructure:"max_events"`
	// MaxBytes bounds the messages of these.
	MaxBytes int64 `mapstructure:"max_bytes"`
}

// SniffConfig is what is read from the wire.
type SniffConfig struct {
	// Interfaces are patterns of names (eth*); none: nothing is captured.
	Interfaces []string `mapstructure:"interfaces"`
	// Files are captures that are read once.
	Files []string `mapstructure:"files"`
	// Ports are those of the collector that agents report to.
	Ports []uint16 `mapstructure:"ports"`
	// RingSize is the memory for packets on their way, in bytes.
	RingSize int `mapstructure:"ring_size"`
	// Processes: agents of this host that do not name themselves on connections
	// older than us are looked for by their process. Needs to see those of others
	// in /proc.
	Processes bool `mapstructure:"processes"`
	// NetNS are the paths of network namespaces; none: the collector's own.
	NetNS []string `mapstructure:"netns"`
}

// GRPCConfig is where agents that are pointed at us find us. Every endpoint
// serves all of Pinpoint's services, so that one may do.
type GRPCConfig struct {
	Agent configoptional.Optional[configgrpc.ServerConfig] `mapstructure:"agent"`
	Stat  configoptional.Optional[configgrpc.ServerConfig] `mapstructure:"stat"`
	Span  configoptional.Optional[configgrpc.ServerConfig] `mapstructure:"span"`
}

// ForwardConfig is where messages go on to. What has no endpoint is not
// forwarded.
type ForwardConfig struct {
	Agent configoptional.Optional[configgrpc.ClientConfig] `mapstructure:"agent"`
	Stat  configoptional.Optional[configgrpc.ClientConfig] `mapstructure:"stat"`
	Span  configoptional.Optional[configgrpc.ClientConfig] `mapstructure:"span"`
	// QueueBytes bounds the messages that wait for the other collector.
	QueueBytes int `mapstructure:"queue_bytes"`
}

// Ports of Pinpoint's collector: agents and metadata, statistics, spans.
const (
	portAgent = 9991
	portStat  = 9992
	portSpan  = 9993
)

// minPing is how often agents may ping: Go agents do so every 30 s, without
// streams too.
const minPing = 20 * time.Second

func defaultConfig() *Config {
	server := func(port int) configoptional.Optional[configgrpc.ServerConfig] {
		c := configgrpc.NewDefaultServerConfig()
		c.NetAddr = confignet.AddrConfig{Endpoint: fmt.Sprintf("localhost:%d", port), Transport: confignet.TransportTypeTCP}
		c.MaxRecvMsgSizeMiB = calls.MaxMessage >> 20
		k := configgrpc.NewDefaultKeepaliveServerConfig()
		k.EnforcementPolicy = configoptional.Some(configgrpc.KeepaliveEnforcementPolicy{MinTime: minPing, PermitWithoutStream: true})
		c.Keepalive = configoptional.Some(k)
		return configoptional.Default(c)
	}
	client := configoptional.Default(configgrpc.NewDefaultClientConfig())
	return &Config{
		Sniff:        SniffConfig{Ports: []uint16{portAgent, portStat, portSpan}, RingSize: 32 << 20, Processes: true},
		Forward:      ForwardConfig{Agent: client, Stat: client, Span: client, QueueBytes: 64 << 20},
		GRPC:         GRPCConfig{Agent: server(portAgent), Stat: server(portStat), Span: server(portSpan)},
		MaxAgents:    convert.DefaultMaxAgents,
		MaxTextBytes: convert.DefaultMaxTextBytes,
		MaxSpans:     convert.DefaultMaxSpans,
		MaxEvents:    convert.DefaultMaxEvents,
		MaxBytes:     convert.DefaultMaxBytes,
	}
}

var _ component.Config = (*Config)(nil)

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if !c.Sniff.on() && len(c.GRPC.servers()) == 0 {
		errs = append(errs, errors.New("nothing to receive from: set sniff::interfaces, sniff::files, or grpc::agent, grpc::stat, grpc::span"))
	}
	if c.Sniff.on() && len(c.Sniff.Ports) == 0 {
		errs = append(errs, errors.New("sniff::ports: at least one is needed"))
	}
	if c.Forward.on() && len(c.GRPC.servers()) == 0 {
		errs = append(errs, errors.New("forward: what is sniffed reaches its collector anyway, only what is sent here is forwarded: set grpc::agent, or take forward out"))
	}
	for i, f := range c.Forward.clients() {
		if f != nil && f.Endpoint == "" {
			errs = append(errs, fmt.Errorf("forward::%s::endpoint is missing: host:port of the other collector", service(i)))
		}
	}
	for key, v := range map[string]int64{"max_agents": int64(c.MaxAgents), "max_spans": int64(c.MaxSpans), "max_events": int64(c.MaxEvents), "max_bytes": c.MaxBytes, "max_text_bytes": c.MaxTextBytes,
		"forward::queue_bytes": int64(c.Forward.QueueBytes)} {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("%s: %d is not positive", key, v))
		}
	}
	return errors.Join(errs...)
}

func (c *SniffConfig) on() bool { return len(c.Interfaces)+len(c.Files) > 0 }

func (c *ForwardConfig) clients() (out [services]*configgrpc.ClientConfig) {
	for i, s := range []*configoptional.Optional[configgrpc.ClientConfig]{&c.Agent, &c.Stat, &c.Span} {
		if s.HasValue() {
			out[i] = s.Get()
		}
	}
	return out
}

func (c *ForwardConfig) on() bool { return c.clients() != [services]*configgrpc.ClientConfig{} }

func (c *GRPCConfig) servers() (out []*configgrpc.ServerConfig) {
	for _, s := range []*configoptional.Optional[configgrpc.ServerConfig]{&c.Agent, &c.Stat, &c.Span} {
		if s.HasValue() {
			out = append(out, s.Get())
		}
	}
	return out
}
