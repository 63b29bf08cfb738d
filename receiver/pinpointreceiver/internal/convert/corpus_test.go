package convert

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
)

var update = flag.Bool("update", false, "write the goldens")

// converted are the spans of a capture.
func converted(t testing.TB, file string) ([]ptrace.Traces, Stats) {
	var out []ptrace.Traces
	store := NewStore(0, 0)
	c := New(Config{}, store, func(td ptrace.Traces, _ int) { out = append(out, td) })
	var now int64
	corpus.Sniff(t, file, func(m *calls.Message) {
		now = m.Time
		h := &m.Call.Header
		id, ok := Headers{h.AgentID, h.AgentName, h.ApplicationName, h.ServiceName, h.StartTime, h.ServiceType, h.ProtocolVersion}.Identity()
		if ok && m.Client {
			c.Put(store.Agent(&id), h.Path, m.Body, now)
			c.Tick(now)
		}
	})
	c.Flush(now)
	return out, c.Stats()
}

type proposed struct {
	Trace, ID, Parent, Kind, Service, Agent, Tx, Name string
	Start, End                                        int64
	St                                                int32
}

func readProposed(t *testing.T, path string) (out []proposed) {
	f, err := os.Open(path)
	var r io.Reader = f
	if err != nil {
		if f, err = os.Open(path + ".gz"); err != nil {
			t.Fatal(err)
		}
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	defer f.Close()
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var p proposed
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// TestCorpus: the spans that an independent converter makes of the same captures:
// the same ids, parents and times, each once.
func TestCorpus(t *testing.T) {
	dir := corpus.Dir(t)
	for _, name := range []string{"01-go-batch", "03-node-087", "06-concurrent-large", "07-reconnect", "10-all-traffic", "12-python-c-agent"} {
		t.Run(name, func(t *testing.T) {
			want := map[string]proposed{}
			ids := map[string]bool{}
			for _, p := range readProposed(t, filepath.Join(dir, name, "otel-proposed.jsonl")) {
				want[p.Trace+" "+p.ID] = p
				ids[p.Trace+" "+p.ID] = true
			}
			tds, st := converted(t, filepath.Join(dir, name, "capture.pcap"))
			seen := map[string]int{}
			spans, parents, orphans := 0, 0, 0
			for _, td := range tds {
				for _, rs := range td.ResourceSpans().All() {
					for _, s := range rs.ScopeSpans().At(0).Spans().All() {
						spans++
						k := fmt.Sprint(s.TraceID(), " ", s.SpanID())
						if seen[k]++; seen[k] > 1 {
							t.Errorf("%s %s: twice", k, s.Name())
						}
						p, ok := want[k]
						if !ok {
							t.Errorf("%s %s: not expected", k, s.Name())
							continue
						}
						if int64(s.StartTimestamp())/ms != p.Start || int64(s.EndTimestamp())/ms != p.End {
							t.Errorf("%s %s: %d to %d, want %d to %d", k, s.Name(), s.StartTimestamp()/ms, s.EndTimestamp()/ms, p.Start, p.End)
						}
						if svc, _ := rs.Resource().Attributes().Get("service.name"); svc.Str() != p.Service {
							t.Errorf("%s: service %s, want %s", k, svc.Str(), p.Service)
						}
						parent := s.ParentSpanID().String()
						if parent != p.Parent {
							parents++
							if ids[p.Trace+" "+p.Parent] {
								t.Errorf("%s %s: parent %s, want %s", k, s.Name(), parent, p.Parent)
							}
						}
						if parent != "" && !ids[p.Trace+" "+parent] {
							orphans++
						}
					}
				}
			}
			for k, p := range want {
				if seen[k] == 0 {
					t.Errorf("%s %s %s: missing", k, p.Kind, p.Name)
				}
			}
			t.Logf("%d spans, %d parents better known than proposed, %d without a parent that is there; %+v", spans, parents, orphans, st)
			if st.Unreadable > 0 || st.BadVersion > 0 {
				t.Errorf("%+v", st)
			}
			corpus.Golden(t, filepath.Join("testdata", name+".golden.gz"), tds, *update)
		})
	}
}
