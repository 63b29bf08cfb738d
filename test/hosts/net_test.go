package hosts

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/test/rig"
)

// The network:
//
//	client ── r0 ┌────────┐ r1 ── h1 gateway (nginx)
//	             │ router │ r2 ── h2 shop
//	             └────────┘ r3 ── h3 store (store, MariaDB, Redis, DNS)
//
// The router translates: what the client calls 10.92.0.1:80 is nginx at
// 10.92.1.2:8080, which sees the router's address. Besides, all but the client
// are on a network of their own with the hub (10.93.0.1), by which agents send
// their spans; nobody captures there.
type network struct {
	client, router, hub rig.NetNS
	host                [4]rig.NetNS // 1 to 3
	cables              map[string]*cable
}

const (
	front     = "10.92.0.1:80"
	nginxAt   = "10.92.1.2:8080"
	shopAt    = "10.92.2.2:8081"
	storeAt   = "10.92.3.2:8082"
	cacheAt   = "10.92.3.2:6379"
	hubAt     = "10.93.0.1"
	sdkPort   = 4317
	agentPort = 14317
	// healthPort and the one after it are where a collector is asked how it is:
	// that is not captured.
	healthPort = 13133
)

// build makes the namespaces; they go with the test. The links named in slow
// are cables, which can delay.
func build(t *testing.T, slow ...string) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	if err := rig.Missing("ip", "iptables", "ethtool", "nsenter", "nginx", "mariadbd", "redis-server", "dnsmasq", "/usr/bin/python3"); err != nil {
		t.Skip(err)
	}
	id := strconv.Itoa(os.Getpid())
	ns := func(name string) rig.NetNS { return rig.NetNS("hs-" + name + "-" + id) }
	n := &network{client: ns("c"), router: ns("r"), hub: ns("hub"), cables: map[string]*cable{}}
	do := func(format string, args ...any) {
		t.Helper()
		if err := rig.Run(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	all := []rig.NetNS{n.client, n.router, n.hub}
	for i := 1; i <= 3; i++ {
		n.host[i] = ns(strconv.Itoa(i))
		all = append(all, n.host[i])
	}
	for _, s := range all {
		do("ip netns add %s", s)
		t.Cleanup(func() { _ = rig.Run("ip netns del " + string(s)) })
		do("ip -n %s link set lo up", s)
	}
	for i := range 4 {
		end, name := n.client, "c0"
		if i > 0 {
			end, name = n.host[i], fmt.Sprint("h", i)
		}
		router := fmt.Sprint("r", i)
		if isSlow(slow, router) {
			n.cables[router] = newCable(t, rig.NetNS(fmt.Sprintf("hs-x%d-%s", i, id)), end, name, n.router, router)
		} else {
			do("ip -n %s link add %s type veth peer name %s netns %s", end, name, router, n.router)
		}
		do("ip -n %s addr add 10.92.%d.2/24 dev %s", end, i, name)
		do("ip -n %s addr add 10.92.%d.1/24 dev %s", n.router, i, router)
		do("ip -n %s link set %s up", end, name)
		do("ip -n %s link set %s up", n.router, router)
		do("ip -n %s route add default via 10.92.%d.1", end, i)
	}
	do("ip -n %s link add hub type bridge", n.hub)
	do("ip -n %s addr add %s/24 dev hub", n.hub, hubAt)
	do("ip -n %s link set hub up", n.hub)
	for i := 1; i <= 3; i++ {
		do("ip -n %s link add m%d type veth peer name b%d netns %s", n.host[i], i, i, n.hub)
		do("ip -n %s link set b%d master hub", n.hub, i)
		do("ip -n %s link set b%d up", n.hub, i)
		do("ip -n %s addr add 10.93.0.%d/24 dev m%d", n.host[i], i+1, i)
		do("ip -n %s link set m%d up", n.host[i], i)
	}
	for _, line := range []string{
		"sysctl -qw net.ipv4.ip_forward=1",
		"iptables -t nat -A PREROUTING -i r0 -p tcp --dport 80 -j DNAT --to-destination " + nginxAt,
		"iptables -t nat -A POSTROUTING -o r1 -j MASQUERADE",
	} {
		if err := n.router.Run(line); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func isSlow(slow []string, name string) bool {
	for _, s := range slow {
		if s == name {
			return true
		}
	}
	return false
}

// inode is a namespace's number, by which capture on sockets is narrowed.
func inode(t *testing.T, n rig.NetNS) uint64 {
	t.Helper()
	text, err := os.Stat(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	return inodeOf(text)
}

// agent is the configuration of host i's collector.
func (n *network) agent(t *testing.T, i int, o *options) string {
	taps, netns := fmt.Sprintf("h%d", i), n.host[i].Path()
	if i == 1 { // the router belongs to the gateway
		taps, netns = `h1, "r?"`, netns+", "+n.router.Path()
	}
	processors, complete := "transform", ""
	if o.redis {
		processors = "transform, tracecompletion"
		complete = fmt.Sprintf("\n  tracecompletion: {settle: %v%s}", o.settle, o.links())
	}
	var gateways []string
	for g := range o.gateways {
		gateways = append(gateways, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", hubAt, agentPort+g)))
	}
	return fmt.Sprintf(`
receivers:
  ebpf:
    keep_literals: true
    sockets: {include: {netns: [%[1]d]}, exclude: {ports: [%[2]d, %[3]d, %[4]d]}, unix: false}
    packets:
      mode: afpacket
      netns: [%[5]s]
      interfaces: [lo, %[6]s]
      filter: not port %[2]d and not port %[3]d and not port %[4]d
      kinds: [{match: "r?", kind: gateway}, {match: "h?", kind: nic}]
  otlp: {protocols: {grpc: {endpoint: "127.0.0.1:%[2]d"}}}
processors:
  # Three hosts on one machine would all have its name.
  transform:
    trace_statements:
      - set(resource.attributes["host.name"], "host-%[7]d")
      - delete_key(resource.attributes, "host.id")%[8]s
exporters:
  loadbalancing:
    routing_key: traceID
    protocol: {otlp: {tls: {insecure: true}, sending_queue: {queue_size: 100000}}}
    resolver: {static: {hostnames: [%[9]s]}}
service:
  pipelines:
    traces: {receivers: [ebpf, otlp], processors: [%[10]s], exporters: [loadbalancing]}
`, inode(t, n.host[i]), sdkPort, healthPort, healthPort+1, netns, taps, i, complete, strings.Join(gateways, ", "), processors)
}

// links is the link table of a configuration.
func (o *options) links() string {
	if !o.redis {
		return ""
	}
	return fmt.Sprintf(", links: {store: redis, redis: {endpoints: [%q]}}", hubAt+":6390")
}

// gateway is the configuration of the collector in the hub that joins.
func (o *options) gateway(g int, jaeger, file string) string {
	exporters, jaegerExporter := "file", ""
	if jaeger != "" {
		exporters = "file, otlp_grpc"
		jaegerExporter = fmt.Sprintf("\n  otlp_grpc: {endpoint: %q, tls: {insecure: true}, sending_queue: {queue_size: 100000}}", jaeger)
	}
	return fmt.Sprintf(`
receivers:
  otlp: {protocols: {grpc: {endpoint: "%s:%d"}}}
processors:
  tracecompletion: {settle: %v%s}
exporters:
  file: {path: %q, flush_interval: 50ms}%s
service:
  pipelines:
    traces: {receivers: [otlp], processors: [tracecompletion], exporters: [%s]}
`, hubAt, agentPort+g, o.settle, o.links(), file, jaegerExporter, exporters)
}
