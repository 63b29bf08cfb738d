package tracecompletionprocessor

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/links"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadata"
)

// shared is a link table of the tests, which can be away.
type shared struct {
	mu    sync.Mutex
	m     map[links.Key]links.Trace
	away  bool
	stats links.Stats
}

func (s *shared) Put(entries []links.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if s.away {
			s.stats.PutErrors++
			continue
		}
		if was, ok := s.m[e.Key]; !ok || !e.Trace.Provisional {
			s.m[e.Key] = e.Trace
		} else if was.Provisional == e.Trace.Provisional {
			continue // the first stays, as in Redis
		}
	}
}

func (s *shared) Get(ctx context.Context, keys []links.Key, out []links.Trace) error {
	s.mu.Lock()
	away := s.away
	for i, k := range keys {
		if !away {
			out[i] = s.m[k]
		}
	}
	s.mu.Unlock()
	if away {
		<-ctx.Done()
		return errors.New("away")
	}
	return nil
}

func (s *shared) Stats() links.Stats        { return s.stats }
func (*shared) Close(context.Context) error { return nil }

// side is one hop of the exchange of key lid, as the receiver of a host makes
// it: with the trace id of the host's own root.
type side struct {
	host   string
	point  hop.Point
	lid    hop.Key
	root   hop.Key
	parent hop.Key // the exchange that caused it
	trace  [16]byte
}

func (h *side) span(start time.Time) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(semconv.HostName, h.host)
	rs.Resource().Attributes().PutInt(semconv.ProcessPID, 1)
	s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetTraceID(pcommon.TraceID(hop.TraceID(h.root)))
	if h.trace != ([16]byte{}) {
		s.SetTraceID(h.trace)
	}
	s.SetSpanID(hop.SpanID(h.lid, h.point, h.host, "").Bytes())
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Duration(h.lid) * time.Millisecond)))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Second)))
	b := h.lid.Bytes()
	m := s.Attributes()
	m.PutStr(semconv.ExchangeLID, hex.EncodeToString(b[:]))
	m.PutStr(semconv.CapturePoint, h.point.Code())
	if h.parent != 0 {
		s.SetParentSpanID(hop.SpanID(h.parent, hop.ServerProcess, h.host, "").Bytes())
		m.PutStr(semconv.LinkEvidence, "thread")
	}
	if h.trace == ([16]byte{}) {
		m.PutBool(semconv.TraceProvisional, true)
	}
	return td
}

// TestHostsTell: hosts that see one part each of a call chain without headers
// give all of it one trace id, by what they tell each other; also the id of an
// application that is known on one of them only, up the path and down.
func TestHostsTell(t *testing.T) {
	app := [16]byte{15: 7}
	for _, c := range []struct {
		name  string
		knows string // the host where the app's id is known
	}{{"nobody", ""}, {"the first", "a"}, {"the middle", "b"}, {"the last", "d"}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := &shared{m: map[links.Key]links.Trace{}}
				// a calls b over a gateway r that sees packets, b calls d.
				hops := []side{
					{host: "a", point: hop.ServerProcess, lid: 1, root: 1},
					{host: "a", point: hop.ClientNIC, lid: 2, root: 2},
					{host: "a", point: hop.ClientProcess, lid: 2, root: 1, parent: 1},
					{host: "r", point: hop.ClientGateway, lid: 2, root: 2},
					{host: "r", point: hop.ServerGateway, lid: 2, root: 2},
					{host: "b", point: hop.ServerProcess, lid: 2, root: 2},
					{host: "b", point: hop.ClientNIC, lid: 3, root: 3},
					{host: "b", point: hop.ClientProcess, lid: 3, root: 2, parent: 2},
					{host: "d", point: hop.ServerNIC, lid: 3, root: 3},
					{host: "d", point: hop.ServerProcess, lid: 3, root: 3},
				}
				sinks, all := map[string]*consumertest.TracesSink{}, map[string]*completion{}
				for _, host := range []string{"a", "r", "b", "d"} {
					sinks[host] = new(consumertest.TracesSink)
					p, err := newCompletion(createDefaultConfig().(*Config), processortest.NewNopSettings(metadata.Type), sinks[host])
					if err != nil {
						t.Fatal(err)
					}
					p.links = table
					if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
						t.Fatal(err)
					}
					all[host] = p
				}
				from := time.Now()
				for i, h := range hops {
					if h.host == c.knows && h.point.Process() {
						h.trace = app
					}
					if err := all[h.host].ConsumeTraces(context.Background(), h.span(from)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Duration(i*37%100) * time.Millisecond) // agents batch
				}
				time.Sleep(10 * time.Second)
				want := pcommon.TraceID(hop.TraceID(1))
				if c.knows != "" {
					want = app
				}
				there, ids := map[pcommon.SpanID]bool{}, map[pcommon.SpanID]int{}
				var got []ptrace.Span
				for _, host := range []string{"a", "r", "b", "d"} {
					if err := all[host].Shutdown(context.Background()); err != nil {
						t.Fatal(err)
					}
					for _, s := range spans(sinks[host]) {
						there[s.SpanID()] = true
						ids[s.SpanID()]++
						got = append(got, s)
						if s.TraceID() != want {
							v, _ := s.Attributes().Get(semconv.CapturePoint)
							t.Errorf("%s %s: trace %s, want %s", host, v.Str(), s.TraceID(), want)
						}
					}
				}
				if len(got) != len(hops) || len(ids) != len(hops) {
					t.Errorf("%d spans with %d ids of %d", len(got), len(ids), len(hops))
				}
				roots := 0
				for _, s := range got {
					if s.ParentSpanID().IsEmpty() {
						roots++
					} else if !there[s.ParentSpanID()] {
						t.Errorf("%s: its parent is not there", s.SpanID())
					}
				}
				if roots != 1 {
					t.Errorf("%d roots", roots)
				}
			})
		})
	}
}

// TestTableAway: without a link table spans leave as they would, on time, with
// an id of their own, and what failed is counted.
func TestTableAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &shared{m: map[links.Key]links.Trace{}, away: true}
		sink := new(consumertest.TracesSink)
		p, err := newCompletion(createDefaultConfig().(*Config), processortest.NewNopSettings(metadata.Type), sink)
		if err != nil {
			t.Fatal(err)
		}
		p.links = table
		if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		const n = 20000
		td := ptrace.NewTraces()
		for i := range n {
			h := side{host: "b", point: hop.ServerProcess, lid: hop.Key(i + 10), root: hop.Key(i + 10)}
			h.span(time.Now()).ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
		}
		_ = p.ConsumeTraces(context.Background(), td)
		time.Sleep(p.cfg.Settle + p.pause() + time.Millisecond)
		if sink.SpanCount() != n {
			t.Errorf("%d of %d spans have left on time", sink.SpanCount(), n)
		}
		if p.lookupErrors.Load() < n {
			t.Errorf("%d failed look-ups are counted, for %d exchanges", p.lookupErrors.Load(), n)
		}
		for _, s := range spans(sink) {
			if v, _ := s.Attributes().Get(semconv.TraceProvisional); !v.Bool() {
				t.Fatal("not provisional")
			}
		}
		_ = p.Shutdown(context.Background())
	})
}

// TestGatewayCompletes: a host that got no answer in time sends its part on with
// an id of its own; a gateway that looks into the same table gives it the trace
// that it is part of.
func TestGatewayCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &shared{m: map[links.Key]links.Trace{}}
		open := func(next consumer.Traces) *completion {
			p, err := newCompletion(createDefaultConfig().(*Config), processortest.NewNopSettings(metadata.Type), next)
			if err != nil {
				t.Fatal(err)
			}
			p.links = table
			if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
			return p
		}
		sink := new(consumertest.TracesSink)
		gateway := open(sink)
		a, b := open(consumertest.NewNop()), open(gateway)
		for _, h := range []side{{host: "a", point: hop.ServerProcess, lid: 1, root: 1}, {host: "a", point: hop.ClientProcess, lid: 2, root: 1, parent: 1}} {
			_ = a.ConsumeTraces(context.Background(), h.span(time.Now()))
		}
		away := func(is bool) {
			table.mu.Lock()
			table.away = is
			table.mu.Unlock()
		}
		away(true)
		for _, h := range []side{{host: "b", point: hop.ServerProcess, lid: 2, root: 2}, {host: "b", point: hop.ClientProcess, lid: 3, root: 2, parent: 2}} {
			_ = b.ConsumeTraces(context.Background(), h.span(time.Now()))
		}
		time.Sleep(6 * time.Second)
		away(false)
		time.Sleep(6 * time.Second)
		got := spans(sink)
		for _, s := range got {
			if s.TraceID() != pcommon.TraceID(hop.TraceID(1)) {
				t.Errorf("trace %s, want that of the first host", s.TraceID())
			}
		}
		if len(got) != 2 || got[0].ParentSpanID() != pcommon.SpanID(hop.Wire(2).Bytes()) || got[1].ParentSpanID() != got[0].SpanID() {
			t.Errorf("%d spans, parents %s and %s", len(got), got[0].ParentSpanID(), got[1].ParentSpanID())
		}
		for _, p := range []*completion{a, b, gateway} {
			_ = p.Shutdown(context.Background())
		}
	})
}
