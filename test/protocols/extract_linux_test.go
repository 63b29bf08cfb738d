package protocols

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// TestExtract: the example takes transaction numbers out of the traffic of a
// proxy, a gRPC service, a Kafka broker and Redis, at every place alike, and
// nothing else comes to light.
func TestExtract(t *testing.T) {
	needs(t, "nginx", "curl", "redis-server", "redis-cli")
	nginx, err := rig.Nginx(t.TempDir(), 1, `
		location = /transfers { return 200 '{"result": {"code": "R-17"}}'; }
		location /front/ { rewrite ^/front(/.*) $1 break; proxy_pass http://$server_addr:$server_port; }`)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	redis, err := rig.Redis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Stop()
	grpc, kafka := peerServer(t, "grpc-server"), peerServer(t, "kafka-server")

	// What the spans of the example say: the number, and the trace that it makes.
	traces := map[string]map[string]bool{}
	c := watchWith(t, exampleReceiver(t, "extract"), func(s ptrace.Span) string {
		txn := tally.Attr(s, "hopscope.propagation.trace_id")
		if txn != "-" {
			if traces[txn] == nil {
				traces[txn] = map[string]bool{}
			}
			traces[txn][s.TraceID().String()] = true
		}
		for k, v := range s.Attributes().All() {
			if strings.Contains(v.AsString(), "secret") {
				t.Errorf("%s: %s is %q", s.Name(), k, v.AsString())
			}
		}
		return strings.Join([]string{tally.Attr(s, "hopscope.capture.point"), tally.Attr(s, "network.protocol.name"), s.Name(), txn,
			tally.Attr(s, "hopscope.propagation.format"), tally.Attr(s, "bank.branch"), tally.Attr(s, "bank.result")}, " ")
	}, nginx.Port, redis.Port, grpc, kafka)

	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	curl := func(path string, args ...string) {
		run("curl", append([]string{"-s", "-S", nginx.URL(path)}, args...)...)
	}
	curl("/transfers", "-H", "X-Branch: B7", "-H", "Content-Type: application/json", "-d", `{"pin": "secret", "transaction": {"number": "TX-2026-1"}}`)
	// As a program sends it that does not know how long it will be.
	curl("/transfers", "-H", "Transfer-Encoding: chunked", "-d", `{"transaction": {"number": "TX-2026-2"}, "pin": "secret"}`)
	curl("/front/transfers", "-d", `{"transaction": {"number": "TX-2026-3"}}`)
	curl("/legacy/book", "-d", "pin=secret&ref=DE-0815")
	curl("/status?pin=secret&txn=TX-2026-4")
	curl("/else?txn=TX-2026-5", "-d", `{"transaction": {"number": "TX-2026-6"}}`)
	run("redis-cli", "-p", fmt.Sprint(redis.Port), "SET", "txn:TX-2026-7", "secret")
	client(t, "grpc", fmt.Sprintf("127.0.0.1:%d", grpc), 10)
	client(t, "kafka", fmt.Sprintf("127.0.0.1:%d", kafka), 10)

	count{
		"http POST /transfers TX-2026-1 custom B7 R-17": 1,
		"http POST /transfers TX-2026-2 custom - R-17":  1,
		"http POST /transfers TX-2026-3 custom - R-17":  1, // behind the proxy
		"http POST /front/transfers - - - R-17":         1, // another endpoint
		"http POST /legacy/book 0815 custom":            1,
		"http GET /status TX-2026-4 custom":             1,
		"http POST /else - -":                           1,
		"redis SET TX-2026-7 custom":                    1,
		"grpc test.Orders/Get T4711 custom":             10,
		"grpc test.Orders/Chat T4711 custom":            10,
		"kafka Produce orders":                          10,
	}.check(t, c)
	if got := slices.Sorted(maps.Keys(traces)); len(got) < 7 {
		t.Errorf("numbers: %v", got)
	}
	for txn, ids := range traces {
		if len(ids) != 1 {
			t.Errorf("%s is %d traces", txn, len(ids))
		}
	}
}

// exampleReceiver is the receiver's part of an example's configuration.
func exampleReceiver(t *testing.T, name string) *ebpfreceiver.Config {
	t.Helper()
	path := filepath.Join("..", "..", "examples", name, "config.yaml")
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	all, err := confmaptest.LoadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := all.Sub("receivers::ebpf")
	if err != nil {
		t.Fatal(err)
	}
	cfg := ebpfreceiver.NewFactory().CreateDefaultConfig().(*ebpfreceiver.Config)
	if err := sub.Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}
