package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/receiver/ebpfreceiver/internal/metadata"
	"github.com/hopscope/hopscope/receiver/ebpfreceiver/internal/metadatatest"
)

func testConfig() *Config {
	c := defaultConfig()
	c.Process.ProcRoot = "testdata/noproc"
	return c
}

func make1(t *testing.T, cfg *Config, next consumer.Traces, p *player) *ebpfReceiver {
	t.Helper()
	r, err := newReceiver(receivertest.NewNopSettings(metadata.Type), cfg, next, func(kernel.Config) (capture, error) { return p, nil })
	if err != nil {
		t.Fatal(err)
	}
	r.known = []*l7.Protocol{lines}
	return r
}

func count(sink *consumertest.TracesSink) (spans, failed int) {
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					spans++
					if s.Status().Code() == ptrace.StatusCodeError {
						failed++
					}
				}
			}
		}
	}
	return spans, failed
}

// TestPlay: exactly the exchanges that happened come out, whatever the workers
// and the size of batches.
func TestPlay(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for _, batch := range []int{1, 7, 1024} {
			t.Run(fmt.Sprintf("workers %d batch %d", workers, batch), func(t *testing.T) {
				records := [][]byte{clockRecord()}
				var talks []*talk
				for i := range 9 {
					tk := newTalk(uint64(i+1), uint32(100+i/2), event.RoleClient)
					tk.asks(30)
					tk.data(event.Send, "ask last\n") // never answered
					tk.gone()
					talks = append(talks, tk)
				}
				for i := 0; ; i++ { // interleaved
					more := false
					for _, tk := range talks {
						if i < len(tk.out) {
							records, more = append(records, tk.out[i]), true
						}
					}
					if !more {
						break
					}
				}
				p := newPlayer(records...)
				cfg := testConfig()
				cfg.Workers, cfg.Batch.MaxSpans, cfg.Batch.Queue = workers, batch, 1000
				sink := new(consumertest.TracesSink)
				r := make1(t, cfg, sink, p)
				if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
					t.Fatal(err)
				}
				<-p.played
				if err := r.Shutdown(context.Background()); err != nil {
					t.Fatal(err)
				}
				if spans, failed := count(sink); spans != 9*31 || failed != 9*10 {
					t.Errorf("%d spans, %d failed, want %d and %d", spans, failed, 9*31, 9*10)
				}
				if p.closed.Load() != 1 {
					t.Errorf("capture closed %d times", p.closed.Load())
				}
			})
		}
	}
}

// TestAge: spans wait no longer than batch::max_age, also when nothing follows.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := newTalk(1, 100, event.RoleServer)
		tk.data(event.Recv, "ask 1\n")
		tk.data(event.Send, "ok 1\n")
		now := time.Now().UnixNano()
		ck := event.Event{Head: event.Head{Kind: event.KindClock}, Clock: event.Clock{Offset: now}}
		for _, workers := range []int{1, 2} {
			p := newPlayer(append([][]byte{ck.Append(nil)}, tk.out...)...)
			cfg := testConfig()
			cfg.Workers = workers
			sink := new(consumertest.TracesSink)
			r := make1(t, cfg, sink, p)
			if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
			<-p.played
			time.Sleep(cfg.Batch.MaxAge + 2*clockInterval)
			synctest.Wait()
			if n := sink.SpanCount(); n != 1 {
				t.Errorf("%d workers: %d spans after %v, want 1", workers, n, cfg.Batch.MaxAge)
			}
			if err := r.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestLifecycle: Shutdown without Start, twice, and Start that fails.
func TestLifecycle(t *testing.T) {
	r := make1(t, testConfig(), consumertest.NewNop(), newPlayer())
	if err := r.Shutdown(context.Background()); err != nil {
		t.Error("without Start:", err)
	}
	r = make1(t, testConfig(), consumertest.NewNop(), newPlayer())
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if _, err := newReceiver(receivertest.NewNopSettings(metadata.Type), testConfig(), nil, startCapture); err == nil {
		t.Error("no next consumer, and no error")
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("load: %w", fs.ErrPermission), "run as root"},
		{fmt.Errorf("read: %w", fs.ErrNotExist), "BTF"},
		{kernel.ErrUnsupported, "Linux"},
		{errors.New("other"), "README"},
	} {
		r, err := newReceiver(receivertest.NewNopSettings(metadata.Type), testConfig(), consumertest.NewNop(), func(kernel.Config) (capture, error) { return nil, c.err })
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(context.Background(), componenttest.NewNopHost()); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want the remedy %q", c.err, err, c.want)
		}
		if err := r.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	cfg := testConfig()
	cfg.Record.Path = t.TempDir() + "/no/such/folder/x"
	p := newPlayer()
	if err := make1(t, cfg, consumertest.NewNop(), p).Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "record::path") || p.closed.Load() != 1 {
		t.Errorf("recording to nowhere: %v, capture closed %d times", err, p.closed.Load())
	}
}

// host collects the statuses that are reported.
type host struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *host) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *host) all() []*componentstatus.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

// TestStatus: what is blind is a recoverable error, an end of capture a
// permanent one.
func TestStatus(t *testing.T) {
	h := &host{Host: componenttest.NewNopHost()}
	p := newPlayer()
	p.hooks = append(p.hooks, kernel.Hook{Prog: "hs_uring", At: "tp_btf/io_uring_complete", For: "bytes moved by io_uring", Err: "not in this kernel"})
	p.err = errors.New("ring is gone")
	r := make1(t, testConfig(), consumertest.NewNop(), p)
	if err := r.Start(context.Background(), h); err != nil {
		t.Fatal(err)
	}
	r.readers.Wait()
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	ev := h.all()
	if len(ev) != 2 || ev[0].Status() != componentstatus.StatusRecoverableError || !strings.Contains(ev[0].Err().Error(), "bytes moved by io_uring") ||
		ev[1].Status() != componentstatus.StatusPermanentError || !strings.Contains(ev[1].Err().Error(), "ring is gone") {
		t.Errorf("statuses: %v", ev)
	}
}

// TestSlow: a next component that does not return holds up nobody; what does
// not fit the queue is counted.
func TestSlow(t *testing.T) {
	tk := newTalk(1, 100, event.RoleClient)
	tk.asks(100)
	p := newPlayer(append([][]byte{clockRecord()}, tk.out...)...)
	cfg := testConfig()
	cfg.Batch.MaxSpans, cfg.Batch.Queue = 10, 2
	hold := make(chan struct{})
	stuck, err := consumer.NewTraces(func(ctx context.Context, _ ptrace.Traces) error {
		select {
		case <-hold:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := make1(t, cfg, stuck, p)
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	<-p.played // the reader came through
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no time left to shut down
	if err := r.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	q := r.pipeline.out
	if all := q.emitted.Load() + q.full.Load() + q.refused.Load(); all != 100 || q.full.Load() < 70 || q.emitted.Load() != 0 {
		t.Errorf("emitted %d, queue full %d, refused %d", q.emitted.Load(), q.full.Load(), q.refused.Load())
	}
	close(hold)
}

func TestRefused(t *testing.T) {
	tk := newTalk(1, 100, event.RoleClient)
	tk.asks(5)
	r := make1(t, testConfig(), consumertest.NewErr(errors.New("no")), newPlayer(append([][]byte{clockRecord()}, tk.out...)...))
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	<-r.capture.(*player).played
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if q := r.pipeline.out; q.refused.Load() != 5 || q.emitted.Load() != 0 {
		t.Errorf("refused %d, emitted %d", q.refused.Load(), q.emitted.Load())
	}
}

func TestTelemetry(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(context.Background()) }()
	tk := newTalk(1, 100, event.RoleClient)
	tk.asks(3)
	unknown := newTalk(2, 100, event.RoleClient)
	for range 8 {
		unknown.data(event.Send, "what is this")
	}
	records := append([][]byte{clockRecord(), []byte("short")}, tk.out...)
	p := newPlayer(append(records, unknown.out...)...)
	p.stats.LostTurns[0][1], p.stats.LostTurns[1][2], p.stats.LostTurns[1][1] = 3, 4, 100
	p.stats.LostCalls[0][1], p.stats.LostCalls[1][2] = 5, 6
	p.hooks = append(p.hooks, kernel.Hook{Prog: "hs_uring"})
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	r, err := newReceiver(set, testConfig(), consumertest.NewNop(), func(kernel.Config) (capture, error) { return p, nil })
	if err != nil {
		t.Fatal(err)
	}
	r.known = []*l7.Protocol{lines}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	<-p.played
	r.pipeline.shards[0].tick(time.Now().UnixNano()) // publishes what is counted for every exchange
	points := func(v int64, attrs ...attribute.KeyValue) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: v, Attributes: attribute.NewSet(attrs...)}
	}
	proto := attribute.String("protocol", "lines")
	ignore := metricdatatest.IgnoreTimestamp()
	one := func(p ...metricdata.DataPoint[int64]) []metricdata.DataPoint[int64] { return p }
	metadatatest.AssertEqualReceiverEbpfReceived(t, tel, one(points(int64(len(p.records)), attribute.String("source", "sockets"))), ignore)
	metadatatest.AssertEqualReceiverEbpfParsed(t, tel, one(points(3, proto)), ignore)
	metadatatest.AssertEqualReceiverEbpfConnectionsOpened(t, tel, one(points(2)), ignore)
	metadatatest.AssertEqualReceiverEbpfConnections(t, tel, one(points(2)), ignore)
	metadatatest.AssertEqualReceiverEbpfConnectionsRecognized(t, tel, one(points(1, proto)), ignore)
	metadatatest.AssertEqualReceiverEbpfLostExchanges(t, tel, one(points(7)), ignore)
	metadatatest.AssertEqualReceiverEbpfHookAttached(t, tel, one(points(1, attribute.String("prog", "hs_exec")), points(0, attribute.String("prog", "hs_uring"))), ignore)
	got, err := tel.GetMetric("otelcol_receiver_ebpf_dropped")
	if err != nil {
		t.Fatal(err)
	}
	dropped := map[string]int64{}
	for _, dp := range got.Data.(metricdata.Sum[int64]).DataPoints {
		stage, _ := dp.Attributes.Value("stage")
		reason, _ := dp.Attributes.Value("reason")
		dropped[stage.AsString()+"/"+reason.AsString()] = dp.Value
	}
	for k, want := range map[string]int64{"kernel/ring_full": 11, "stream/bad_record": 1, "session/unknown_protocol": 1, "emit/queue_full": 0} {
		if n, ok := dropped[k]; !ok || n != want {
			t.Errorf("dropped %s: %d (%v), want %d", k, n, ok, want)
		}
	}
	if len(p.muted) != 1 || p.muted[0] != 2 {
		t.Errorf("muted %v, want socket 2", p.muted)
	}
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestUnparsed(t *testing.T) {
	tk := newTalk(1, 100, event.RoleClient)
	for range 20 {
		tk.data(event.Send, "what is this")
	}
	cfg := testConfig()
	cfg.Unparsed.Ports = []uint16{7000}
	sink := new(consumertest.TracesSink)
	p := newPlayer(append([][]byte{clockRecord()}, tk.out...)...)
	r := make1(t, cfg, sink, p)
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	<-p.played
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if sink.SpanCount() != 20 || len(p.muted) != 0 {
		t.Fatalf("%d spans, muted %v", sink.SpanCount(), p.muted)
	}
	s := sink.AllTraces()[0].ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	if v, _ := s.Attributes().Get("hopscope.payload.request"); s.Name() != "unparsed" || string(v.Bytes().AsRaw()) != "what is this" {
		t.Errorf("span %q with payload %q", s.Name(), v.AsString())
	}
}

// TestRaise: where messages do not take turns, every call is captured to the full.
func TestRaise(t *testing.T) {
	numbered := *lines
	numbered.Pairing = l7.ByStream
	for _, c := range []struct {
		proto *l7.Protocol
		want  int
	}{{lines, 0}, {&numbered, 1}} {
		tk := newTalk(7, 100, event.RoleClient)
		tk.asks(3)
		p := newPlayer(append([][]byte{clockRecord()}, tk.out...)...)
		r := make1(t, testConfig(), consumertest.NewNop(), p)
		r.known = []*l7.Protocol{c.proto}
		if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		<-p.played
		if err := r.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(p.raised) != c.want || c.want == 1 && p.raised[0] != 7 {
			t.Errorf("raised %v, want %d", p.raised, c.want)
		}
	}
}

// TestBurst: where a call moves many messages, of which too little is kept, more
// is asked for; of the next connections to that server, too, at once.
func TestBurst(t *testing.T) {
	before, tk, after := newTalk(6, 100, event.RoleClient), newTalk(7, 100, event.RoleClient), newTalk(8, 100, event.RoleClient)
	before.asks(1)
	tk.asks(3)
	after.asks(1)
	kept := []byte(strings.Repeat("ask 1\n", 10))
	tk.add(event.Event{Head: event.Head{Kind: event.KindData}, Payload: kept, Data: event.Data{Dir: event.Send,
		Pos: tk.pos[event.Send], Other: tk.pos[event.Recv], Wire: 600, Captured: uint32(len(kept))}})
	p := newPlayer(slices.Concat([][]byte{clockRecord()}, before.out, tk.out, after.out)...)
	r := make1(t, testConfig(), consumertest.NewNop(), p)
	r.known = []*l7.Protocol{lines}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	<-p.played
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.bursts, []uint64{7, 8}) {
		t.Errorf("more of %v, want of sockets 7 and 8", p.bursts)
	}
}

// TestRecord: what was recorded plays again.
func TestRecord(t *testing.T) {
	tk := newTalk(1, 100, event.RoleClient)
	tk.asks(3)
	cfg := testConfig()
	cfg.Record.Path = filepath.Join(t.TempDir(), "x.rec")
	p := newPlayer(append([][]byte{clockRecord()}, tk.out...)...)
	r := make1(t, cfg, consumertest.NewNop(), p)
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	<-p.played
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(cfg.Record.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rd, err := event.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		if _, err := rd.Next(); err != nil {
			break
		}
	}
	if n != len(p.records) {
		t.Errorf("%d records in the file, want %d", n, len(p.records))
	}
}
