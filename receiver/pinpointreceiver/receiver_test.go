package pinpointreceiver

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	meta "github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

func config(t *testing.T, m map[string]any) *Config {
	cfg := defaultConfig()
	if err := confmap.NewFromStringMap(m).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := xconfmap.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		m    map[string]any
		want string
	}{
		{map[string]any{}, "nothing to receive from"},
		{map[string]any{"sniff": map[string]any{"files": []string{"x"}, "ports": []int{}}}, "sniff::ports"},
		{map[string]any{"max_spans": 0, "grpc": map[string]any{"agent": nil}}, "max_spans"},
	} {
		cfg := defaultConfig()
		if err := confmap.NewFromStringMap(c.m).Unmarshal(cfg); err != nil {
			t.Fatal(err)
		}
		if err := xconfmap.Validate(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.m, err)
		}
	}
	cfg := config(t, map[string]any{"grpc": map[string]any{"agent": map[string]any{"endpoint": "0.0.0.0:9991"}}})
	s := cfg.GRPC.servers()
	if len(s) != 1 || s[0].NetAddr.Endpoint != "0.0.0.0:9991" || s[0].MaxRecvMsgSizeMiB != 4 {
		t.Errorf("%+v", s)
	}
}

// run starts a receiver and returns it with a function that stops it and gives
// its spans.
func run(t *testing.T, cfg *Config) (*pinpointReceiver, func() map[string]ptrace.Span) {
	t.Helper()
	return runWith(t, cfg, componenttest.NewNopHost())
}

func runWith(t *testing.T, cfg *Config, host component.Host) (*pinpointReceiver, func() map[string]ptrace.Span) {
	t.Helper()
	sink := new(consumertest.TracesSink)
	r := newReceiver(receivertest.NewNopSettings(meta.Type), cfg, sink)
	if err := r.Start(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	return r, func() map[string]ptrace.Span {
		if r.sniffer != nil {
			<-r.sniffer.read
		}
		if err := r.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		out := map[string]ptrace.Span{}
		for _, td := range sink.AllTraces() {
			for _, rs := range td.ResourceSpans().All() {
				for _, s := range rs.ScopeSpans().At(0).Spans().All() {
					k := s.TraceID().String() + s.SpanID().String()
					if _, twice := out[k]; twice {
						t.Errorf("%s %s: twice", k, s.Name())
					}
					out[k] = s
				}
			}
		}
		return out
	}
}

// TestSniff: captures as a source.
func TestSniff(t *testing.T) {
	dir := corpus.Dir(t)
	for file, want := range map[string]int{
		"01-go-batch/capture.pcap": 197, "03-node-087/capture.pcap": 125, "12-python-c-agent/capture.pcap": 37,
		"10-all-traffic/capture.pcap": 164, "07-reconnect/capture.pcap": 352,
	} {
		_, stop := run(t, config(t, map[string]any{"sniff": map[string]any{"files": []string{filepath.Join(dir, file)}}}))
		if got := len(stop()); got != want {
			t.Errorf("%s: %d spans, want %d", file, got, want)
		}
	}
}

// TestLate: connections that are older than the capture. What comes out is what
// the truth has; the agents that can't be known are counted.
func TestLate(t *testing.T) {
	dir := corpus.Dir(t)
	whole, mid := 0, 0
	for _, l := range corpus.Read(t, filepath.Join(dir, "05-mid-connection/truth.jsonl")) {
		if l.Ev == "msg" && strings.HasPrefix(l.Path, "/v1.Span/") && l.Dir == "c2s" {
			whole++
		}
	}
	corpus.Sniff(t, filepath.Join(dir, "05-mid-connection/capture.pcap"), func(m *calls.Message) {
		if m.Client && m.Conn.B.Port() == portSpan {
			mid++
		}
	})
	r, stop := run(t, config(t, map[string]any{"sniff": map[string]any{"files": []string{filepath.Join(dir, "05-mid-connection/capture.pcap")}}}))
	spans := stop()
	st := r.sniffer.stats()
	t.Logf("%d span messages of %d, %d spans, %v", mid, whole, len(spans), st)
	want := proposed(t, filepath.Join(dir, "05-mid-connection/otel-proposed.jsonl.gz"))
	found := 0
	for k, s := range spans {
		p, ok := want[k]
		if !ok || int64(s.StartTimestamp())/1e6 != p.Start || int64(s.EndTimestamp())/1e6 != p.End {
			t.Errorf("%s %s: invented", k, s.Name())
		}
		if _, doubt := s.Attributes().Get("pinpoint.incomplete"); !doubt && s.ParentSpanID().String() != p.Parent {
			t.Errorf("%s %s: parent %s, want %s", k, s.Name(), s.ParentSpanID(), p.Parent)
		}
		found++
	}
	t.Logf("%d of %d spans that the whole story has", found, len(want))
	if st["path_guessed"] < 400 || st["agent_learned"] == 0 || len(spans) < 1000 {
		t.Errorf("%d spans, %v", len(spans), st)
	}
}

type line struct {
	Trace, ID, Parent string
	Start, End        int64
}

// proposed are the spans that an independent converter makes of the truth.
func proposed(t *testing.T, path string) map[string]line {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]line{}
	for d := json.NewDecoder(z); ; {
		var l line
		if err := d.Decode(&l); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out[l.Trace+l.ID] = l
	}
}

// TestDirect: the messages of a capture, sent to us as agents do, give the same
// spans as the capture itself.
func TestDirect(t *testing.T) {
	dir := corpus.Dir(t)
	r, stop := run(t, config(t, map[string]any{"grpc": map[string]any{
		"agent": map[string]any{"endpoint": "127.0.0.1:0"}, "span": map[string]any{"endpoint": "127.0.0.1:0"}}}))
	if len(r.addrs) != 2 {
		t.Fatalf("%d endpoints", len(r.addrs))
	}
	for _, file := range []string{"01-go-batch/capture.pcap", "03-node-087/capture.pcap"} {
		send(t, r.addrs[0], filepath.Join(dir, file))
	}
	spans := stop()
	if len(spans) != 197+125 {
		t.Errorf("%d spans, want %d", len(spans), 197+125)
	}
	_, stop = run(t, config(t, map[string]any{"sniff": map[string]any{"files": []string{filepath.Join(dir, "01-go-batch/capture.pcap"), filepath.Join(dir, "03-node-087/capture.pcap")}}}))
	for k, s := range stop() {
		d, ok := spans[k]
		if !ok || d.ParentSpanID() != s.ParentSpanID() || d.Name() != s.Name() || d.Attributes().Len() != s.Attributes().Len() {
			t.Errorf("%s %s: not the same when sent", k, s.Name())
		}
	}
}

// send plays the calls of a capture to addr.
func send(t *testing.T, addr net.Addr, file string) { sendOnly(t, addr, file, "") }

// sendOnly plays those whose path begins so.
func sendOnly(t *testing.T, addr net.Addr, file, prefix string) {
	cc, err := grpc.NewClient(addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	streams := map[*calls.Call]grpc.ClientStream{}
	corpus.Sniff(t, file, func(m *calls.Message) {
		if !m.Client || !strings.HasPrefix(m.Call.Path, prefix) {
			return
		}
		h := m.Call.Header
		s := streams[m.Call]
		if s == nil {
			var err error
			out := metadata.NewOutgoingContext(ctx, metadata.Pairs("agentid", h.AgentID, "applicationname", h.ApplicationName, "agentname", h.AgentName,
				"starttime", h.StartTime, "servicetype", h.ServiceType, "protocol.version", h.ProtocolVersion))
			if s, err = cc.NewStream(out, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, h.Path); err != nil {
				t.Fatal(err)
			}
			streams[m.Call] = s
		}
		b := append([]byte(nil), m.Body...)
		if err := s.SendMsg(&b); err != nil {
			t.Fatalf("%s: %v", h.Path, err)
		}
		unary := strings.Contains(h.Path, "/Request") || strings.HasSuffix(h.Path, "Batch") || h.Path == "/v1.Agent/PingSession"
		if !unary {
			return
		}
		var answer []byte
		if err := s.RecvMsg(&answer); err != nil {
			t.Fatalf("%s: %v", h.Path, err)
		}
		if strings.Contains(h.Path, "/Request") != (string(answer) == string(success)) {
			t.Errorf("%s: answered %x", h.Path, answer)
		}
	})
	for c, s := range streams {
		s.CloseSend()
		var answer []byte
		if err := s.RecvMsg(&answer); err != nil && status.Code(err) != codes.Unknown && err.Error() != "EOF" {
			t.Errorf("%s ended with %v", c.Path, err)
		}
	}
}

// disk is a storage extension in memory, and the host that has it.
type disk struct {
	component.StartFunc
	component.ShutdownFunc
	mu sync.Mutex
	m  map[string][]byte
}

func (d *disk) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("disk"): d}
}

func (d *disk) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return d, nil
}

func (d *disk) Get(_ context.Context, k string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.m[k], nil
}

func (d *disk) Set(ctx context.Context, k string, v []byte) error {
	return d.Batch(ctx, storage.SetOperation(k, v))
}

func (d *disk) Delete(ctx context.Context, k string) error {
	return d.Batch(ctx, storage.DeleteOperation(k))
}

func (d *disk) Batch(_ context.Context, ops ...*storage.Operation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range ops {
		switch o.Type {
		case storage.Set:
			d.m[o.Key] = o.Value
		case storage.Delete:
			delete(d.m, o.Key)
		}
	}
	return nil
}

func (d *disk) Close(context.Context) error { return nil }

// TestMemory: the collector that agents report to is restarted, and so are we in
// between: names that were said once are still known.
func TestMemory(t *testing.T) {
	dir := corpus.Dir(t)
	host := &disk{m: map[string][]byte{}}
	id := component.MustNewID("disk")
	unnamed := func(spans map[string]ptrace.Span) (n int) {
		for _, s := range spans {
			if _, ok := s.Attributes().Get("pinpoint.api_id"); ok {
				n++
			}
		}
		return n
	}
	cfg := config(t, map[string]any{"grpc": map[string]any{"agent": map[string]any{"endpoint": "127.0.0.1:0"}}})
	cfg.Storage = &id
	r, stop := runWith(t, cfg, host)
	file := filepath.Join(dir, "01-go-batch/capture.pcap")
	send(t, r.addrs[0], file)
	if n := unnamed(stop()); n != 0 {
		t.Fatalf("%d spans without a name, though all was said", n)
	}
	for _, c := range []struct {
		storage *component.ID
		known   bool
	}{{&id, true}, {nil, false}} {
		cfg.Storage = c.storage
		r, stop = runWith(t, cfg, host)
		sendOnly(t, r.addrs[0], file, "/v1.Span/")
		spans := stop()
		if n := unnamed(spans); len(spans) != 197 || (n == 0) != c.known {
			t.Errorf("storage %v: %d spans, %d without a name", c.storage, len(spans), n)
		}
	}
	bad := component.MustNewID("nothing")
	cfg.Storage = &bad
	if err := newReceiver(receivertest.NewNopSettings(meta.Type), cfg, new(consumertest.TracesSink)).Start(t.Context(), host); err == nil {
		t.Error("a storage that is not there was taken")
	}
}

// TestRefused: who does not say who it is, and methods that nobody knows.
func TestRefused(t *testing.T) {
	r, stop := run(t, config(t, map[string]any{"grpc": map[string]any{"agent": map[string]any{"endpoint": "127.0.0.1:0"}}}))
	defer stop()
	cc, err := grpc.NewClient(r.addrs[0].String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	in, out := []byte{}, []byte{}
	if err := cc.Invoke(t.Context(), "/v1.Agent/RequestAgentInfo", &in, &out); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs("agentid", "a", "starttime", "1"))
	if err := cc.Invoke(ctx, "/v1.Agent/Nothing", &in, &out); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	in = []byte("\xff\xff")
	if err := cc.Invoke(ctx, "/v1.Span/SendSpanBatch", &in, &out); err != nil {
		t.Error(err) // counted, not refused: agents would only send it again
	}
}

// TestTwoWays: what is sent to us, and seen on the wire on its way to the
// collector that it is forwarded to, comes out once.
func TestTwoWays(t *testing.T) {
	k := newCore(defaultConfig(), "")
	spans, points := 0, 0
	done := make(chan struct{})
	k.conv.Metrics = func(md pmetric.Metrics) { points += md.DataPointCount() }
	go func() {
		for b := range k.out {
			spans += b.spans
		}
		close(done)
	}()
	once := 0
	corpus.Sniff(t, filepath.Join(corpus.Dir(t), "01-go-batch/capture.pcap"), func(m *calls.Message) {
		if !m.Client {
			return
		}
		h := m.Call.Header
		id, _ := convert.Headers{AgentID: h.AgentID, Application: h.ApplicationName, Start: h.StartTime, ServiceType: h.ServiceType, Protocol: h.ProtocolVersion}.Identity()
		for from := range sources {
			before := points
			k.put(from, &id, h.Path, m.Body, m.Time)
			if from == sent {
				once += points - before
			}
		}
	})
	k.close(0)
	<-done
	if spans != 197 || once == 0 || points != once {
		t.Errorf("%d spans, want 197; %d points, want %d", spans, points, once)
	}
}
