package ebpfreceiver

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hopscope/hopscope/internal/flow"
	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/tap"
)

// Config is what the `ebpf` section of the configuration may say.
type Config struct {
	// Sockets is capture in the kernel's socket layer.
	Sockets SocketsConfig `mapstructure:"sockets"`
	// Packets is capture on interfaces.
	Packets PacketsConfig `mapstructure:"packets"`
	// Golang is what is done for programs of Go.
	Golang GolangConfig `mapstructure:"golang"`
	// Protocols switches protocols off, or binds them to ports, by name.
	Protocols map[string]ProtocolConfig `mapstructure:"protocols"`
	// Headers are those that mean something, besides the well-known ones.
	Headers HeadersConfig `mapstructure:"headers"`
	// Extract takes ids and attributes out of messages.
	Extract []ExtractConfig `mapstructure:"extract"`
	// Routes make names with few values of URL paths, before the built-in rules.
	Routes []RouteConfig `mapstructure:"routes"`
	// Names bounds how many different names spans may have.
	Names NamesConfig `mapstructure:"names"`
	// KeepLiterals leaves values in SQL statements, Redis commands and query
	// strings as they are. They are where personal data lives.
	KeepLiterals bool `mapstructure:"keep_literals"`
	// SessionTimeout is how long a request waits for its answer; 0: 60 s, and
	// 10 s over UDP.
	SessionTimeout time.Duration `mapstructure:"session_timeout"`
	// Payload keeps the heads of messages for plugins.
	Payload PayloadConfig `mapstructure:"payload"`
	// Unparsed makes spans of what no protocol knows.
	Unparsed UnparsedConfig `mapstructure:"unparsed"`
	// Process is what is told of processes.
	Process ProcessConfig `mapstructure:"process"`
	// Record writes what the kernel tells to a file.
	Record RecordConfig `mapstructure:"record"`
	// Workers is how many goroutines read connections, a process staying with
	// one of them. 1: the one that reads the ring buffer, the cheapest.
	Workers int `mapstructure:"workers"`
	// MaxConnections is how many connections are remembered.
	MaxConnections int `mapstructure:"max_connections"`
	// Batch is how spans are handed on.
	Batch BatchConfig `mapstructure:"batch"`
	// MaxHeadroom is by how many bytes the heap may grow between two garbage
	// collections while there is much to do. 0: as Go has it.
	MaxHeadroom int `mapstructure:"max_headroom"`

	_ struct{}
}

// Modes of capture.
const (
	modeAuto = "auto"
	modeOff  = "off"
)

// SocketsConfig is capture by BPF programs on the socket layer.
type SocketsConfig struct {
	// Mode is auto (what this kernel and our privileges give) or off.
	Mode string `mapstructure:"mode"`
	// MaxCapture is how many bytes of a message are kept.
	MaxCapture int `mapstructure:"max_capture"`
	// MaxBurst is how many bytes are kept of one call, on connections whose calls
	// move many small messages.
	MaxBurst int `mapstructure:"max_burst"`
	// RingSize is the size of the ring buffer in bytes.
	RingSize int `mapstructure:"ring_size"`
	// UDP and Unix are the sockets besides TCP.
	UDP  bool `mapstructure:"udp"`
	Unix bool `mapstructure:"unix"`
	// Hooks forces rows of the hook table; empty: the cheapest that work.
	Hooks []string `mapstructure:"hooks"`
	// Include narrows capture to sockets that fit every list that is not empty.
	Include SelectConfig `mapstructure:"include"`
	// Exclude leaves out sockets that fit any list.
	Exclude ExcludeConfig `mapstructure:"exclude"`

	_ struct{}
}

// GolangConfig is for programs of Go, whose libraries use goroutines of their own
// for connections.
type GolangConfig struct {
	// Uprobes is off or auto: hook functions of these libraries in every
	// executable that has them.
	Uprobes string `mapstructure:"uprobes"`

	_ struct{}
}

// SelectConfig selects sockets.
type SelectConfig struct {
	Ports      []uint16 `mapstructure:"ports"`
	CIDRs      []string `mapstructure:"cidrs"`
	Processes  []string `mapstructure:"processes"`
	Cgroups    []string `mapstructure:"cgroups"`
	Containers []string `mapstructure:"containers"`
	NetNS      []uint32 `mapstructure:"netns"`

	_ struct{}
}

// ExcludeConfig leaves sockets out.
type ExcludeConfig struct {
	Ports     []uint16 `mapstructure:"ports"`
	CIDRs     []string `mapstructure:"cidrs"`
	Processes []string `mapstructure:"processes"`
	Cgroups   []string `mapstructure:"cgroups"`

	_ struct{}
}

// HeadersConfig names headers.
type HeadersConfig struct {
	// TraceIDs carry a trace id of a format of your own.
	TraceIDs []string `mapstructure:"trace_ids"`
	// RequestIDs carry an id that a gateway gives to a request.
	RequestIDs []string `mapstructure:"request_ids"`
	// CaptureRequest and CaptureResponse become attributes.
	CaptureRequest  []string `mapstructure:"capture_request"`
	CaptureResponse []string `mapstructure:"capture_response"`

	_ struct{}
}

// RouteConfig names the paths that match.
type RouteConfig struct {
	Match string `mapstructure:"match"`
	Route string `mapstructure:"route"`

	_ struct{}
}

// NamesConfig bounds names: what is beyond is "*".
type NamesConfig struct {
	// PerSegment is how many names one segment of a path may have below the same
	// parent, of the routes of one server port.
	PerSegment int `mapstructure:"per_segment"`
	// PerPort is how many names the spans of one protocol on one server port may
	// have.
	PerPort int `mapstructure:"per_port"`

	_ struct{}
}

// PayloadConfig is for the wasmparser processor.
type PayloadConfig struct {
	// MaxBytes of each message are kept. 0: none.
	MaxBytes int `mapstructure:"max_bytes"`

	_ struct{}
}

// UnparsedConfig is for the wasmparser processor.
type UnparsedConfig struct {
	// Ports whose messages become spans if no protocol knows them.
	Ports []uint16 `mapstructure:"ports"`
	// Processes whose messages do, by the name of their executable.
	Processes []string `mapstructure:"processes"`

	_ struct{}
}

// ProcessConfig is what is told of processes.
type ProcessConfig struct {
	// ProcRoot is where the host's /proc is.
	ProcRoot string `mapstructure:"proc_root"`
	// CommandLine tells process.command_line, which may hold secrets.
	CommandLine bool `mapstructure:"command_line"`

	_ struct{}
}

// check wants a /proc where the configuration says that it is. The usual place is
// not looked at: captures are read on systems that have none.
func (c *ProcessConfig) check() error {
	if c.ProcRoot == defaultProcRoot {
		return nil
	}
	if _, err := os.Stat(filepath.Join(c.ProcRoot, "stat")); err != nil {
		return fmt.Errorf("process::proc_root: %s is no /proc: %w: mount the host's /proc there, or correct the path", c.ProcRoot, err)
	}
	return nil
}

const defaultProcRoot = "/proc"

// RecordConfig writes a recording, for cmd/hopscope-replay.
type RecordConfig struct {
	Path string `mapstructure:"path"`
	// MaxSize is where recording stops, in bytes.
	MaxSize int64 `mapstructure:"max_size"`

	_ struct{}
}

// BatchConfig is how spans are handed on.
type BatchConfig struct {
	// MaxSpans and MaxAge: a batch is handed on when it has so many, or when its
	// first span is so old.
	MaxSpans int           `mapstructure:"max_spans"`
	MaxAge   time.Duration `mapstructure:"max_age"`
	// Queue is how many batches may wait for the next component; beyond, they
	// are dropped and counted.
	Queue int `mapstructure:"queue"`

	_ struct{}
}

// Limits of what may be configured, with their reasons.
const (
	minRingSize   = 64 << 10 // one event of the largest capture fits
	maxRingSize   = 1 << 30  // locked memory
	minMaxCapture = 64       // shorter tells no protocol
	maxWorkers    = 256
	maxHeadroom   = 16 << 30
	maxPayload    = 64 << 10 // every span carries two of them
	pluginPayload = 1024     // what unparsed messages carry if nothing is said
	maxHeader     = 63       // l7.Propagation looks at no longer names
	// maxComm is how long the kernel lets process names be.
	maxComm = 15
	// minContainer is what tells containers apart.
	minContainer = 8
)

func defaultConfig() *Config {
	return &Config{
		Sockets: SocketsConfig{
			Mode: modeAuto, MaxCapture: kernel.DefaultMaxCapture, MaxBurst: kernel.DefaultMaxBurst, RingSize: kernel.DefaultRing,
			UDP: true, Unix: true,
		},
		Golang: GolangConfig{Uprobes: modeOff},
		Packets: PacketsConfig{Mode: modeOff, Rings: 1, RingSize: tap.DefaultRingBytes, Point: "rest",
			FlowInterval: time.Minute, FlowPairs: flow.DefaultMaxPairs},
		Names:          NamesConfig{PerSegment: span.DefaultPerSegment, PerPort: span.DefaultPerPort},
		Headers:        HeadersConfig{RequestIDs: []string{"x-request-id"}},
		Process:        ProcessConfig{ProcRoot: defaultProcRoot},
		Record:         RecordConfig{MaxSize: 256 << 20},
		Workers:        1,
		MaxConnections: 65536,
		Batch:          BatchConfig{MaxSpans: 1024, MaxAge: 200 * time.Millisecond, Queue: 64},
		MaxHeadroom:    defaultHeadroom,
	}
}

// problems collects what is wrong, each with the key it stands under.
type problems struct{ errs []error }

func (p *problems) add(key, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
}

func (p *problems) between(key string, v, lo, hi int64) {
	if v < lo || v > hi {
		p.add(key, "%d is not between %d and %d", v, lo, hi)
	}
}

// Validate names every key that is wrong, and what would be right.
func (c *Config) Validate() error {
	var p problems
	c.Sockets.validate(&p)
	c.Packets.validate(&p)
	if u := c.Golang.Uprobes; u != modeAuto && u != modeOff {
		p.add("golang::uprobes", "%q is neither auto nor off", u)
	}
	if c.Sockets.Mode == modeOff && !c.Packets.on() {
		p.add("sockets::mode", "is off, and nothing else is captured: set it to auto, or packets::mode")
	}
	c.validateProtocols(&p)
	c.extracts(&p)
	c.Headers.validate(&p)
	for i, r := range c.Routes {
		key := fmt.Sprintf("routes::%d", i)
		if _, err := regexp.Compile(r.Match); err != nil || r.Match == "" {
			p.add(key+"::match", "%q is no regular expression: %v", r.Match, err)
		}
		if r.Route == "" {
			p.add(key+"::route", "is missing: what the matching paths are to be called")
		}
	}
	if c.SessionTimeout < 0 {
		p.add("session_timeout", "%v is negative; 0 means 60s", c.SessionTimeout)
	}
	p.between("names::per_segment", int64(c.Names.PerSegment), 1, 1<<16)
	p.between("names::per_port", int64(c.Names.PerPort), 1, 1<<16)
	p.between("payload::max_bytes", int64(c.Payload.MaxBytes), 0, maxPayload)
	p.between("workers", int64(c.Workers), 1, maxWorkers)
	p.between("max_connections", int64(c.MaxConnections), 16, 1<<24)
	p.between("batch::max_spans", int64(c.Batch.MaxSpans), 1, 1<<16)
	p.between("batch::queue", int64(c.Batch.Queue), 1, 1<<16)
	if c.Batch.MaxAge < time.Millisecond || c.Batch.MaxAge > time.Minute {
		p.add("batch::max_age", "%v is not between 1ms and 1m", c.Batch.MaxAge)
	}
	if c.MaxHeadroom != 0 {
		p.between("max_headroom", int64(c.MaxHeadroom), minHeadroom, maxHeadroom)
	}
	if c.Record.MaxSize < 1<<12 {
		p.add("record::max_size", "%d is less than the 4096 bytes that the first events take", c.Record.MaxSize)
	}
	if c.Process.ProcRoot == "" {
		p.add("process::proc_root", "is empty; usual are /proc, and /host/proc in a container")
	}
	return errors.Join(p.errs...)
}

func (s *SocketsConfig) validate(p *problems) {
	switch s.Mode {
	case modeAuto, modeOff:
	default:
		p.add("sockets::mode", "%q is neither auto nor off", s.Mode)
	}
	p.between("sockets::max_capture", int64(s.MaxCapture), minMaxCapture, kernel.MaxMaxCapture)
	p.between("sockets::max_burst", int64(s.MaxBurst), minMaxCapture, kernel.MaxMaxBurst)
	p.between("sockets::ring_size", int64(s.RingSize), minRingSize, maxRingSize)
	prefixes(p, "sockets::include::cidrs", s.Include.CIDRs)
	prefixes(p, "sockets::exclude::cidrs", s.Exclude.CIDRs)
	comms(p, "sockets::include::processes", s.Include.Processes)
	comms(p, "sockets::exclude::processes", s.Exclude.Processes)
	for _, id := range s.Include.Containers {
		if len(id) < minContainer || strings.Trim(id, "0123456789abcdef") != "" {
			p.add("sockets::include::containers", "%q is not a container id: at least its first %d hex digits", id, minContainer)
		}
	}
	ports(p, "sockets::include::ports", s.Include.Ports)
	ports(p, "sockets::exclude::ports", s.Exclude.Ports)
}

func (h *HeadersConfig) validate(p *problems) {
	for key, list := range map[string][]string{"trace_ids": h.TraceIDs, "request_ids": h.RequestIDs} {
		for _, n := range list {
			if n == "" || len(n) > maxHeader {
				p.add("headers::"+key, "%q is not a header name of 1 to %d bytes", n, maxHeader)
			}
		}
	}
	for key, list := range map[string][]string{"capture_request": h.CaptureRequest, "capture_response": h.CaptureResponse} {
		for _, n := range list {
			if n == "" {
				p.add("headers::"+key, "an empty name")
			}
		}
	}
}

// prefixes reads addresses with a prefix length; an address alone is itself.
func prefixes(p *problems, key string, list []string) (out []netip.Prefix) {
	for _, s := range list {
		pre, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				p.add(key, "%q is neither an address nor a CIDR such as 10.0.0.0/8", s)
				continue
			}
			pre = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, pre.Masked())
	}
	return out
}

// comms are names of processes.
func comms(p *problems, key string, list []string) {
	for _, n := range list {
		if n == "" || len(n) > maxComm {
			p.add(key, "%q is not a process name as in /proc/PID/comm: 1 to %d bytes", n, maxComm)
		}
	}
}

func ports(p *problems, key string, list []uint16) {
	if slices.Contains(list, 0) {
		p.add(key, "0 is no port")
	}
}
