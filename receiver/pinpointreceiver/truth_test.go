package pinpointreceiver

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	meta "github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

// The truth of a capture, as the collector that was reported to wrote it down
// with another decoder.
type (
	truthEvent struct {
		Sequence, Depth, StartElapsed, EndElapsed, AsyncEvent int64
		NextEvent                                             struct{ MessageEvent struct{ NextSpanID num } }
	}
	truthSpan struct {
		TransactionID struct {
			AgentID                  string
			AgentStartTime, Sequence num
		}
		SpanID, ParentSpanID, StartTime, KeyTime num
		Elapsed, ApplicationServiceType          int64
		LocalAsyncID                             *struct{ AsyncID, Sequence int64 }
		SpanEvent                                []truthEvent
	}
	truthMessage struct {
		Span, SpanChunk *truthSpan
	}
)

// num is a 64-bit number, which is a string there.
type num int64

func (n *num) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = num(v)
	return err
}

// truth is a span that must come out. Its times are 0 where they can't be told
// from the message alone.
type truth struct {
	agent, parent string
	start, end    int64
	what          string
}

func id8(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// truths reads what must come of the messages in a truth file, by trace and span
// id. The ids are those that the README promises, made anew.
func truths(t *testing.T, path string) map[string]truth {
	type space struct {
		tx, span         string
		async, asyncPart int64
	}
	type placed struct {
		seq, depth int64
		id         string
	}
	out := map[string]truth{}
	agents := map[string]string{} // of a call
	spaces := map[space][]placed{}
	owners := map[string]string{} // of asynchronous work
	trace := map[string]string{}
	one := func(agent string, m truthMessage, old bool) {
		s, chunk := m.Span, m.Span == nil
		if chunk {
			s = m.SpanChunk
		}
		from := s.TransactionID.AgentID
		if from == "" {
			from = agent
		}
		tx := fmt.Sprintf("%s^%d^%d", from, s.TransactionID.AgentStartTime, s.TransactionID.Sequence)
		sum := sha256.Sum256([]byte(tx))
		tr := hex.EncodeToString(sum[:16])
		trace[tx] = tr
		span := fmt.Sprintf("%016x", uint64(s.SpanID))
		if !chunk {
			x := truth{agent: agent, start: int64(s.StartTime), end: int64(s.StartTime) + s.Elapsed, what: "span"}
			if s.ParentSpanID != -1 {
				x.parent = id8(fmt.Sprintf("N|%s|%d", tx, s.SpanID))
			}
			out[tr+span] = x
		}
		at := space{tx: tx, span: strconv.FormatInt(int64(s.SpanID), 10)}
		if s.LocalAsyncID != nil {
			at.async, at.asyncPart = s.LocalAsyncID.AsyncID, s.LocalAsyncID.Sequence
		}
		start, depth := int64(s.StartTime+s.KeyTime), int64(0)
		relative := old && (s.ApplicationServiceType == 1300 || s.ApplicationServiceType == 1500 || s.ApplicationServiceType == 1700)
		for i, e := range s.SpanEvent {
			if e.Depth != 0 || i == 0 {
				depth = max(e.Depth, 1)
			}
			start += e.StartElapsed
			id := id8(fmt.Sprintf("E|%s|%s|%d|%d|%d", tx, at.span, at.async, at.asyncPart, e.Sequence))
			if next := e.NextEvent.MessageEvent.NextSpanID; next != 0 && next != -1 {
				id = id8(fmt.Sprintf("N|%s|%d", tx, next))
			} else if e.AsyncEvent != 0 {
				id = id8(fmt.Sprintf("A|%s|%s|%d", tx, at.span, e.AsyncEvent))
			}
			if e.AsyncEvent != 0 {
				owners[fmt.Sprint(tx, at.span, e.AsyncEvent)] = id
			}
			x := truth{agent: agent, start: start, end: start + e.EndElapsed, what: fmt.Sprintf("event %d", e.Sequence)}
			if relative {
				x.start, x.end = 0, 0
			}
			out[tr+id] = x
			spaces[at] = append(spaces[at], placed{e.Sequence, depth, id})
		}
	}
	old := map[string]bool{}
	for _, l := range corpus.Read(t, path) {
		call := fmt.Sprint(l.Conn, " ", l.Ordinal)
		switch {
		case l.Ev == "headers":
			agents[call] = strings.Join(l.Metadata["agentid"], "")
			old[call] = len(l.Metadata["protocol.version"]) == 0
		case l.Ev != "msg" || l.Dir != "c2s" || !strings.HasPrefix(l.Path, "/v1.Span/"):
		case strings.HasSuffix(l.Path, "Batch"):
			var m struct{ Span []truthMessage }
			if err := json.Unmarshal(l.JSON, &m); err != nil {
				t.Fatal(err)
			}
			for _, s := range m.Span {
				one(agents[call], s, old[call])
			}
		default:
			var m truthMessage
			if err := json.Unmarshal(l.JSON, &m); err != nil {
				t.Fatal(err)
			}
			one(agents[call], m, old[call])
		}
	}
	// Parents: the nearest event before it that is one level up.
	for at, list := range spaces {
		slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.seq, b.seq) })
		n, _ := strconv.ParseInt(at.span, 10, 64)
		for i, e := range list {
			parent := fmt.Sprintf("%016x", uint64(n))
			if at.async != 0 {
				if o := owners[fmt.Sprint(at.tx, at.span, at.async)]; o != "" {
					parent = o
				}
			}
			for j := i - 1; j >= 0; j-- {
				if list[j].depth == e.depth-1 {
					parent = list[j].id
					break
				}
			}
			x := out[trace[at.tx]+e.id]
			x.parent = parent
			out[trace[at.tx]+e.id] = x
		}
	}
	return out
}

var update = flag.Bool("update", false, "write the goldens")

// TestTruth: every span and event of the truth comes out exactly once, of its
// agent, at its time, under its parent; of damaged captures, and of connections
// that are older than the capture, nothing comes that is not so.
func TestTruth(t *testing.T) {
	dir := corpus.Dir(t)
	for _, c := range []struct {
		file, truth string
		least       float64 // share of the truth that must come
		golden      string
	}{
		{"01-go-batch/capture.pcap", "", 1, ""},
		{"03-node-087/capture.pcap", "", 1, ""},
		{"06-concurrent-large/capture.pcap.gz", "", 1, ""},
		{"07-reconnect/capture.pcap", "", 1, ""},
		{"10-all-traffic/capture.pcap", "", 1, ""},
		{"11b-java-batch/capture.pcap", "", 1, "11b-java-batch"},
		{"12-python-c-agent/capture.pcap", "", 1, ""},
		{"15-linktype-any-ipv6/capture-lo.pcapng", "", 1, "15-lo"},
		{"15-linktype-any-ipv6/capture-sll2.pcap", "", 1, "15-sll2"},
		{"16-derived-damage/02-reordered-duplicated.pcap", "16-derived-damage/02.truth.jsonl", 1, "16-02-reordered"},
		{"05-mid-connection/capture.pcap", "", 0.9, "05-mid-connection"},
		{"16-derived-damage/02-lost-6pct.pcap", "16-derived-damage/02.truth.jsonl", 0.3, "16-02-lost"},
		{"16-derived-damage/02-snaplen200.pcap", "16-derived-damage/02.truth.jsonl", 0, "16-02-snaplen"},
		{"16-derived-damage/sll2-kernel-drops.pcap", "16-derived-damage/sll2-kernel-drops.truth.jsonl", 0.9, "16-kernel-drops"},
	} {
		t.Run(c.file, func(t *testing.T) {
			if c.truth == "" {
				c.truth = filepath.Join(filepath.Dir(c.file), "truth.jsonl")
			}
			want := truths(t, filepath.Join(dir, c.truth))
			sink := new(consumertest.TracesSink)
			r := newReceiver(receivertest.NewNopSettings(meta.Type), config(t, map[string]any{"sniff": map[string]any{
				"files": []string{filepath.Join(dir, c.file)}, "processes": false}}), sink)
			if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
			<-r.sniffer.read
			if err := r.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.golden != "" { // the others have theirs beside the converter
				corpus.Golden(t, filepath.Join("testdata", c.golden+".golden.gz"), sink.AllTraces(), *update)
			}
			seen := map[string]bool{}
			doubt, dangling, joined := 0, 0, 0
			for _, td := range sink.AllTraces() {
				for _, rs := range td.ResourceSpans().All() {
					agent, _ := rs.Resource().Attributes().Get("service.instance.id")
					for _, s := range rs.ScopeSpans().At(0).Spans().All() {
						k := s.TraceID().String() + s.SpanID().String()
						w, ok := want[k]
						if !ok || seen[k] {
							t.Errorf("%s %s: in the truth %t, already seen %t", k, s.Name(), ok, seen[k])
							continue
						}
						seen[k] = true
						if agent.Str() != w.agent {
							t.Errorf("%s %s %s: of %s, want %s", k, w.what, s.Name(), agent.Str(), w.agent)
						}
						if start, end := int64(s.StartTimestamp())/1e6, int64(s.EndTimestamp())/1e6; w.start != 0 && (start != w.start || end != w.end) {
							t.Errorf("%s %s %s: %d to %d, want %d to %d", k, w.what, s.Name(), start, end, w.start, w.end)
						}
						parent := ""
						if !s.ParentSpanID().IsEmpty() {
							parent = s.ParentSpanID().String()
						}
						_, inc := s.Attributes().Get("pinpoint.incomplete")
						switch {
						case parent == w.parent:
						case inc && w.what != "span":
							doubt++
						default:
							t.Errorf("%s %s %s: parent %q, want %q", k, w.what, s.Name(), parent, w.parent)
						}
						if w.what == "span" && parent != "" {
							if _, ok := want[s.TraceID().String()+parent]; ok {
								joined++
							} else {
								dangling++
							}
						}
					}
				}
			}
			t.Logf("%d of %d spans; %d hang higher than in the truth and say so; of PSpans that were called, %d by a span of the truth, %d by nobody's", len(seen), len(want), doubt, joined, dangling)
			if float64(len(seen)) < c.least*float64(len(want)) {
				t.Errorf("%d of %d spans", len(seen), len(want))
			}
			if c.least == 1 {
				for k, w := range want {
					if !seen[k] {
						t.Errorf("%s %s of %s: missing", k, w.what, w.agent)
					}
				}
			}
		})
	}
}
