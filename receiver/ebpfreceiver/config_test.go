package ebpfreceiver

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
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
			Mode: "auto", MaxCapture: 1024, MaxBurst: 8192, RingSize: 1 << 20, Hooks: []string{"btf"},
			Include: SelectConfig{Ports: []uint16{80, 443}, CIDRs: []string{"10.0.0.0/8", "::1"}, Processes: []string{"nginx"}, Cgroups: []string{"/system.slice"}, Containers: []string{"0123456789ab"}, NetNS: []uint32{4026531840}},
			Exclude: ExcludeConfig{Ports: []uint16{22}, CIDRs: []string{"192.168.0.0/16"}, Processes: []string{"sshd"}, Cgroups: []string{"/user.slice"}},
		},
		Packets: PacketsConfig{
			Mode: "afpacket", Interfaces: []string{"eth*"}, ExcludeInterfaces: []string{"eth9"}, Filter: "tcp port 80", Snaplen: 512, Rings: 2,
			RingSize: 2 << 20, NetNS: []string{"/run/netns/x"}, Kinds: []KindConfig{{Match: "eth1", Kind: "gateway"}}, Promiscuous: true, Point: "c",
			FlowInterval: 30 * time.Second, FlowPairs: 10,
		},
		Golang:  GolangConfig{Uprobes: "auto"},
		Headers: HeadersConfig{TraceIDs: []string{"x-trace"}, RequestIDs: []string{"x-request-id", "x-corr"}, CaptureRequest: []string{"X-Tenant"}, CaptureResponse: []string{"Server"}},
		Routes:  []RouteConfig{{Match: "^/u/[^/]+$", Route: "/u/{name}"}},
		Extract: []ExtractConfig{
			{As: "trace_id", From: "request", Protocols: []string{"http", "grpc"}, Ports: []uint16{8080}, Endpoint: "^/pay", Header: "X-Txn"},
			{As: "bank.account", JSON: "order.account.0.id", Match: "^AC([0-9]+)"},
		},
		Names:          NamesConfig{PerSegment: 50, PerPort: 500},
		KeepLiterals:   true,
		SessionTimeout: 5 * time.Second,
		Payload:        PayloadConfig{MaxBytes: 512},
		Unparsed:       UnparsedConfig{Ports: []uint16{9999}},
		Process:        ProcessConfig{ProcRoot: "/host/proc", CommandLine: true},
		Record:         RecordConfig{Path: "/tmp/x.rec", MaxSize: 1 << 20},
		Workers:        2,
		MaxConnections: 1000,
		Batch:          BatchConfig{MaxSpans: 100, MaxAge: time.Second, Queue: 8},
		MaxHeadroom:    64 << 20,
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	k := cfg.kernelConfig()
	if !k.GoUprobes || !k.NoUDP || !k.NoUnix || k.MaxCapture != 1024 || k.MaxBurst != 8192 || k.RingBytes != 1<<20 ||
		!reflect.DeepEqual(k.Filter.CIDRs, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}) ||
		!reflect.DeepEqual(k.Filter.ExcludeNames, []string{"sshd"}) {
		t.Errorf("kernel is told %+v", k)
	}
	o := cfg.options()
	if x := o.Rules.For(&l7.Protocol{Name: "http"}, 8080); x == nil || !x.WantsBody(l7.Client) || x.WantsBody(l7.Server) {
		t.Error("rules are not told")
	}
	if !o.RequestHeaders["x-tenant"] || !o.ResponseHeaders["server"] || !o.KeepLiterals || o.Paths.Route(new(l7.Text), "/u/jo") != "/u/{name}" {
		t.Errorf("parsers are told %+v", o)
	}
}

// TestInvalid: every error names its key and what would be right.
func TestInvalid(t *testing.T) {
	for name, want := range map[string][2]string{
		"off":         {"sockets::mode: ", "set it to auto"},
		"pmode":       {"packets::mode: ", "none of off"},
		"pfilter":     {"packets::filter ", "is not a port"},
		"pfiles":      {"packets::files: ", "name the captures"},
		"pkind":       {"packets::kinds: ", "none of node"},
		"ppoint":      {"packets::point: ", "no capture point"},
		"psnaplen":    {"packets::snaplen: ", "3 is not between"},
		"uprobes":     {"golang::uprobes: ", `"always" is neither auto nor off`},
		"mode":        {"sockets::mode: ", `"kprobe" is neither auto nor off`},
		"capture":     {"sockets::max_capture: ", "1 is not between 64 and"},
		"burst":       {"sockets::max_burst: ", "40000 is not between 64 and 32768"},
		"ring":        {"sockets::ring_size: ", "100 is not between"},
		"cidr":        {"sockets::include::cidrs: ", `"10.0.0.0/33" is neither`},
		"process":     {"sockets::exclude::processes: ", "/proc/PID/comm"},
		"container":   {"sockets::include::containers: ", "first 8 hex digits"},
		"port":        {"sockets::include::ports: ", "0 is no port"},
		"protocol":    {"protocols::gopher: ", "no such protocol; there are "},
		"header":      {"headers::request_ids: ", "not a header name"},
		"xas":         {"extract::0::as: ", "such as bank.transaction"},
		"xours":       {"extract::0::as: ", "take another one"},
		"xfrom":       {"extract::0::from: ", "neither request nor response"},
		"xprotocol":   {"extract::0::protocols: ", "no such protocol"},
		"xport":       {"extract::0::ports: ", "0 is no port"},
		"xendpoint":   {"extract::0::endpoint: ", "no regular expression"},
		"xmatch":      {"extract::0::match: ", "no regular expression"},
		"xtwo":        {"extract::0: ", "make it several rules"},
		"xnowhere":    {"extract::0: ", "set one of header, query, form, json or match"},
		"xlong":       {"extract::0::header: ", "longer than 63 bytes"},
		"xsecret":     {"extract::0::header: ", "credentials"},
		"xjson":       {"extract::0::json: ", "no path such as"},
		"segment":     {"names::per_segment: ", "not between"},
		"names":       {"names::per_port: ", "not between"},
		"forced":      {"protocols::redis::ports: ", "81 is http's already"},
		"comm":        {"protocols::redis::processes: ", `"app" is http's already`},
		"notport":     {"protocols::http::exclude_ports: ", "0 is no port"},
		"route":       {"routes::0::match: ", "no regular expression"},
		"timeout":     {"session_timeout: ", "0 means 60s"},
		"payload":     {"payload::max_bytes: ", "not between 0 and"},
		"workers":     {"workers: ", "not between 1 and"},
		"connections": {"max_connections: ", "not between"},
		"spans":       {"batch::max_spans: ", "not between"},
		"age":         {"batch::max_age: ", "not between 1ms and 1m"},
		"queue":       {"batch::queue: ", "not between"},
		"headroom":    {"max_headroom: ", "not between"},
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
		"a": map[string]any{"ports": []any{81, 82}, "exclude_processes": []any{"worker"}},
		"b": map[string]any{"enabled": false},
		"c": map[string]any{"exclude_ports": []any{83}, "processes": []any{"worker"}},
	}}).Unmarshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	sc := cfg.sessionConfig(known)
	if !reflect.DeepEqual(sc.Protocols, []*l7.Protocol{known[0], known[2]}) {
		t.Errorf("%+v", sc)
	}
	judge := cfg.spoken(known).judge()
	for _, c := range []struct {
		port, peer uint16
		comm       string
		role       stream.Role
		force      *l7.Protocol
		forbid     []*l7.Protocol
	}{
		{port: 4000, peer: 81, role: stream.RoleClient, force: known[0]},
		{port: 82, peer: 4000, role: stream.RoleServer, force: known[0]},
		{port: 81, peer: 4000, role: stream.RoleClient}, // the client's port
		{port: 81, peer: 4000, force: known[0]},
		{port: 4000, peer: 83, role: stream.RoleClient, forbid: []*l7.Protocol{known[2]}},
		{port: 4000, peer: 90, comm: "worker", role: stream.RoleClient, force: known[2], forbid: []*l7.Protocol{known[0]}},
		{port: 4000, peer: 90, comm: "work", role: stream.RoleClient},
	} {
		j := judge(&stream.Conn{A: netip.AddrPortFrom(netip.IPv4Unspecified(), c.port), B: netip.AddrPortFrom(netip.IPv4Unspecified(), c.peer), Comm: c.comm, Role: c.role})
		if j.Force != c.force || !slices.Equal(j.Forbid, c.forbid) {
			t.Errorf("%+v: %+v", c, j)
		}
	}
	if defaultConfig().spoken(known).judge() != nil {
		t.Error("nothing is said, and yet there is a judge")
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
