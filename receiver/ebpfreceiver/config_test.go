package ebpfreceiver

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/receiver/ebpfreceiver/internal/metadata"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	id := component.NewID(metadata.Type)
	if name != "" {
		id = component.NewIDWithName(metadata.Type, name)
	}
	if all.Get(id.String()) == nil && name != "" {
		t.Fatalf("testdata has no %s", id)
	}
	sub, err := all.Sub(id.String())
	if err != nil {
		t.Fatal(err)
	}
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, xconfmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	cfg, err := load(t, "")
	if err != nil || !reflect.DeepEqual(cfg, defaultConfig()) {
		t.Errorf("default: %v, %+v", err, cfg)
	}
	cfg, err = load(t, "all")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Sockets: SocketsConfig{
			Mode: "auto", MaxCapture: 1024, RingSize: 1 << 20, Hooks: []string{"btf"},
			Include: SelectConfig{Ports: []uint16{80, 443}, CIDRs: []string{"10.0.0.0/8", "::1"}, Processes: []string{"nginx"}, Cgroups: []string{"/system.slice"}, Containers: []string{"0123456789ab"}, NetNS: []uint32{4026531840}},
			Exclude: ExcludeConfig{Ports: []uint16{22}, CIDRs: []string{"192.168.0.0/16"}, Processes: []string{"sshd"}, Cgroups: []string{"/user.slice"}},
		},
		Packets: PacketsConfig{
			Mode: "afpacket", Interfaces: []string{"eth*"}, ExcludeInterfaces: []string{"eth9"}, Filter: "tcp port 80", Snaplen: 512, Rings: 2,
			RingSize: 2 << 20, NetNS: []string{"/run/netns/x"}, Kinds: []KindConfig{{Match: "eth1", Kind: "gateway"}}, Promiscuous: true, Point: "c",
			FlowInterval: 30 * time.Second, FlowPairs: 10,
		},
		Golang:         GolangConfig{Uprobes: "auto"},
		Headers:        HeadersConfig{TraceIDs: []string{"x-trace"}, RequestIDs: []string{"x-request-id", "x-corr"}, CaptureRequest: []string{"X-Tenant"}, CaptureResponse: []string{"Server"}},
		Routes:         []RouteConfig{{Match: "^/u/[^/]+$", Route: "/u/{name}"}},
		KeepLiterals:   true,
		SessionTimeout: 5 * time.Second,
		Payload:        PayloadConfig{MaxBytes: 512},
		Unparsed:       UnparsedConfig{Ports: []uint16{9999}},
		Process:        ProcessConfig{ProcRoot: "/host/proc", CommandLine: true},
		Record:         RecordConfig{Path: "/tmp/x.rec", MaxSize: 1 << 20},
		Workers:        2,
		MaxConnections: 1000,
		Batch:          BatchConfig{MaxSpans: 100, MaxAge: time.Second, Queue: 8},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	k := cfg.kernelConfig()
	if !k.GoUprobes || !k.NoUDP || !k.NoUnix || k.MaxCapture != 1024 || k.RingBytes != 1<<20 ||
		!reflect.DeepEqual(k.Filter.CIDRs, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}) ||
		!reflect.DeepEqual(k.Filter.ExcludeNames, []string{"sshd"}) {
		t.Errorf("kernel is told %+v", k)
	}
	o := cfg.options()
	if !o.RequestHeaders["x-tenant"] || !o.ResponseHeaders["server"] || !o.KeepLiterals || o.Paths.Route(new(l7.Text), "/u/jo") != "/u/{name}" {
		t.Errorf("parsers are told %+v", o)
	}
}

// TestInvalid: every error names its key and what would be right.
func TestInvalid(t *testing.T) {
	for name, want := range map[string][2]string{
		"off":         {"sockets::mode: ", "set it to auto"},
		"pmode":       {"packets::mode: ", "none of off"},
		"pfilter":     {"packets: ", "is not a port"},
		"pfiles":      {"packets::files: ", "name the captures"},
		"pkind":       {"packets::kinds: ", "none of node"},
		"ppoint":      {"packets::point: ", "no capture point"},
		"psnaplen":    {"packets: ", "snaplen: 3 is not between"},
		"uprobes":     {"golang::uprobes: ", `"always" is neither auto nor off`},
		"mode":        {"sockets::mode: ", `"kprobe" is neither auto nor off`},
		"capture":     {"sockets::max_capture: ", "1 is not between 64 and"},
		"ring":        {"sockets::ring_size: ", "100 is not between"},
		"cidr":        {"sockets::include::cidrs: ", `"10.0.0.0/33" is neither`},
		"process":     {"sockets::exclude::processes: ", "/proc/PID/comm"},
		"container":   {"sockets::include::containers: ", "first 8 hex digits"},
		"port":        {"sockets::include::ports: ", "0 is no port"},
		"protocol":    {"protocols::gopher: ", "no such protocol; there are "},
		"header":      {"headers::request_ids: ", "not a header name"},
		"route":       {"routes::0::match: ", "no regular expression"},
		"timeout":     {"session_timeout: ", "0 means 60s"},
		"payload":     {"payload::max_bytes: ", "not between 0 and"},
		"workers":     {"workers: ", "not between 1 and"},
		"connections": {"max_connections: ", "not between"},
		"spans":       {"batch::max_spans: ", "not between"},
		"age":         {"batch::max_age: ", "not between 1ms and 1m"},
		"queue":       {"batch::queue: ", "not between"},
		"record":      {"record::max_size: ", "less than"},
		"proc":        {"process::proc_root: ", "/host/proc"},
		"unknown":     {"modus", "invalid keys"},
	} {
		_, err := load(t, name)
		if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(err.Error(), want[1]) {
			t.Errorf("ebpf/%s: got %v, want %q ... %q", name, err, want[0], want[1])
		}
	}
}

// TestProtocols: a protocol is on unless it is said to be off.
func TestProtocols(t *testing.T) {
	known := []*l7.Protocol{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	cfg := defaultConfig()
	err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"a": map[string]any{"ports": []any{81, 82}},
		"b": map[string]any{"enabled": false},
	}}).Unmarshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	sc := cfg.sessionConfig(known)
	if !reflect.DeepEqual(sc.Protocols, []*l7.Protocol{known[0], known[2]}) || sc.Force[81] != known[0] || sc.Force[82] != known[0] || len(sc.Force) != 2 {
		t.Errorf("%+v", sc)
	}
}

// TestReadme: every key of the configuration is in the README.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag := f.Tag.Get("mapstructure")
			if tag == "" || tag == "protocols" { // a map: below
				continue
			}
			key := path + tag
			if f.Type.Kind() == reflect.Struct && f.Type.NumField() > 1 && !strings.Contains(string(b), "| `"+key+"`") {
				walk(f.Type, key+"::")
				continue
			}
			if !strings.Contains(string(b), "`"+key+"`") {
				t.Errorf("README.md lacks %s", key)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	walk(reflect.TypeFor[ProtocolConfig](), "protocols::NAME::")
}
