// Package hosts runs four services on three hosts, which are network
// namespaces, each with the distribution as its agent, and wants every request
// to be one trace: in order of the path, with nothing of another request.
//
// HOSTS_REQUESTS and HOSTS_AT_ONCE make runs longer (200 requests, 16 at once),
// HOSTS_SETTLE (5s) makes spans wait for others shorter, HOSTS_COLD leaves the connections between services to be opened by the
// requests that are judged.
package hosts

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/test/demo"
	"github.com/hopscope/hopscope/test/rig"
)

// nonce is the number of the request that a span belongs to, by what it says
// itself: the path, statement, key or name asked for. 0: it says nothing.
func nonce(s *demo.Span) int {
	for _, key := range []string{"url.path", "url.full", "http.target", "db.query.text", "dns.question.name"} {
		text := s.Str(key)
		for _, before := range []string{"/orders/", "order ", "order:", "shop:", "order"} {
			_, n, ok := strings.Cut(text, before)
			if !ok {
				continue
			}
			if end := strings.IndexFunc(n, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
				n = n[:end]
			}
			if v, err := strconv.Atoi(n); err == nil {
				return v
			}
		}
	}
	return 0
}

// verdict is what a run showed.
type verdict struct {
	requests, whole      int
	links, wrong         int // parents that are there, and of another request
	lost, twice, foreign int // no parent there; the same hop again; traces of two requests
	several              int // requests in more than one trace
	roots                int // traces of a request with more than one root
	examples             []string
	kinds                map[string]int
}

func (v *verdict) example(format string, args ...any) {
	// A few of each kind.
	if v.kinds == nil {
		v.kinds = map[string]int{}
	}
	if v.kinds[format]++; v.kinds[format] <= 2 {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// judge looks at requests first to first+n-1: whole is the shape of a trace in
// which nothing is missing.
func judge(traces []*demo.Trace, first, n int, whole string) *verdict {
	v := &verdict{requests: n}
	where := map[int][]*demo.Trace{}
	for _, t := range traces {
		of := map[int]bool{}
		seen := map[string]bool{}
		for _, s := range t.Spans {
			k := nonce(s)
			if k != 0 {
				of[k] = true
			}
			if id := s.SpanID().String(); seen[id] {
				v.twice++
				v.example("twice in %s: %s", t.ID, line(s))
			} else {
				seen[id] = true
			}
			if x := s.Str(semconv.ExchangeXID); x != "" {
				place := strings.Join([]string{x, s.Str(semconv.CapturePoint), s.Str("host.name"), s.Str("network.interface.name")}, " ")
				if seen[place] {
					v.twice++
					v.example("one place twice in %s: %s %s", t.ID, place, line(s))
				}
				seen[place] = true
			}
			for _, c := range s.Children {
				if kc := nonce(c); k != 0 && kc != 0 {
					if v.links++; k != kc {
						v.wrong++
						v.example("order %d under %d: %s under %s", kc, k, line(c), line(s))
					}
				}
			}
		}
		if len(of) > 1 {
			v.foreign++
			v.example("a trace of orders %v", of)
		}
		mine := false
		for k := range of {
			if k >= first && k < first+n {
				where[k] = append(where[k], t)
				mine = true
			}
		}
		if mine {
			v.lost += len(t.Lost)
			for _, s := range t.Lost {
				v.example("names a parent that is not there: %s", line(s))
			}
		}
	}
	for k := first; k < first+n; k++ {
		switch ts := where[k]; {
		case len(ts) == 0:
			v.example("order %d has no trace", k)
		case len(ts) > 1:
			v.several++
			text := ""
			for _, t := range ts {
				text += "\n" + shape(t)
			}
			v.example("order %d is %d traces:%s", k, len(ts), text)
		default:
			t := ts[0]
			s := shape(t)
			if len(t.Roots) > 1 {
				v.roots++
			}
			if s == whole {
				v.whole++
			} else {
				v.example("order %d:\n%s", k, s)
			}
		}
	}
	return v
}

func line(s *demo.Span) string {
	return fmt.Sprintf("%s %s %s %s %s %s", point(s), s.Str(semconv.ServiceName), s.Name(), s.Str("network.interface.name"), s.Str(semconv.LinkEvidence), s.Str(semconv.LinkConfidence))
}

func point(s *demo.Span) string {
	if p := s.Str(semconv.CapturePoint); p != "" {
		return p
	}
	return "app"
}

// shape is a trace as text: capture point and where, or the service; children
// in order of their start, brothers that start together in order of text.
func shape(t *demo.Trace) string {
	var walk func(s *demo.Span, depth int) string
	walk = func(s *demo.Span, depth int) string {
		if s.Name() == "LOGIN" {
			return "" // of the connection, with the first request that needs one
		}
		where := s.Str("network.interface.name")
		if where == "" {
			where = s.Str(semconv.ServiceName)
		}
		text := fmt.Sprintf("%s%s %s %s\n", strings.Repeat(" ", depth), point(s), where, s.Name())
		for _, c := range s.Children {
			text += walk(c, depth+1)
		}
		return text
	}
	text := ""
	for _, s := range slices.Concat(t.Roots, t.Lost) {
		text += walk(s, 0)
	}
	return text
}

func (v *verdict) String() string {
	return fmt.Sprintf("%d of %d requests are one whole trace; %d links, %d wrong; %d spans without their parent, %d duplicates, %d traces of several requests, %d requests in several traces, %d traces with several roots",
		v.whole, v.requests, v.links, v.wrong, v.lost, v.twice, v.foreign, v.several, v.roots)
}

// must are the acceptance's numbers. If anything is missing it is told, and what
// the collectors counted.
func (s *system) must(v *verdict) {
	t := s.t
	t.Helper()
	t.Logf("%s; %.0f spans came to a gateway when another one of their exchange had left it", v, s.late)
	if v.lost+v.twice+v.foreign+v.several > 0 || v.wrong*1000 > v.links || v.links == 0 || v.whole*100 < v.requests*95 {
		t.Errorf("missed: want 95 %% whole, 99.9 %% of links right, nothing lost, twice, foreign or apart")
	}
	if v.whole < v.requests {
		for _, e := range v.examples {
			t.Log(e)
		}
		t.Logf("before they ended, the collectors counted\n%s", s.counted)
	}
}

// number is the environment's, for longer runs.
func number(name string, else_ int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return else_
}

// duration is the environment's likewise.
func duration(name string, else_ time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil {
		return d
	}
	return else_
}

func needsJaeger(t *testing.T) {
	t.Helper()
	if os.Getenv(rig.JaegerEnv) == "" {
		t.Skipf("%s is not set: make test-e2e builds Jaeger and sets it", rig.JaegerEnv)
	}
}

// settle is the default: on a machine that has other things to do, a span of a
// host may be seconds behind those of another one.
var settle = duration("HOSTS_SETTLE", 5*time.Second)

func atOnce() int { return number("HOSTS_AT_ONCE", 16) }

// warmUp sends the first requests, in which programs show what they are. HOSTS_COLD
// leaves the connections to be opened by the requests that are judged.
func (s *system) warmUp() {
	s.ask(1000, 100, 1)
	if os.Getenv("HOSTS_COLD") == "" {
		s.ask(2000, 100, atOnce())
	}
}

// TestJaegerHosts: the shop is instrumented; the gateway in front of it sees
// requests without any id.
func TestJaegerHosts(t *testing.T) {
	needsJaeger(t)
	s := start(t, options{sdk: true, gateways: 1, settle: settle})
	n := number("HOSTS_REQUESTS", 200)
	s.warmUp()
	began := time.Now()
	s.ask(10000, n, atOnce())
	t.Logf("%d requests in %v", n, time.Since(began))
	s.must(judge(s.traces(), 10000, n, withSDK))
}

// TestJaegerHeaderFree: nothing is instrumented and no header carries an id. All
// spans come to one gateway, which joins them.
func TestJaegerHeaderFree(t *testing.T) {
	needsJaeger(t)
	headerFree(t)
}

// TestHostsHeaderFree: the same, by what the gateway sends.
func TestHostsHeaderFree(t *testing.T) {
	if os.Getenv(rig.JaegerEnv) != "" {
		t.Skip("TestJaegerHeaderFree does this")
	}
	headerFree(t)
}

func headerFree(t *testing.T) {
	t.Helper()
	s := start(t, options{gateways: 1, settle: settle})
	n := number("HOSTS_REQUESTS", 200)
	s.warmUp()
	s.ask(10000, n, atOnce())
	s.must(judge(s.traces(), 10000, n, withoutSDK))
}

// TestHostsApp: the shop is instrumented, and no collector sees all: agents tell
// each other trace ids through Redis, two gateways get what was routed by them.
// The id that is first known in the shop comes up to the gateway before it, and
// down to the store.
func TestHostsApp(t *testing.T) {
	s := start(t, options{sdk: true, redis: true, gateways: 2, settle: settle})
	n := number("HOSTS_REQUESTS", 200)
	s.warmUp()
	s.ask(10000, n, atOnce())
	s.logLinks()
	s.must(judge(s.traces(), 10000, n, withSDK))
}

// logLinks says what agents put and found.
func (s *system) logLinks() {
	time.Sleep(s.o.settle + time.Second)
	for i := 1; i <= 3; i++ {
		text := ""
		for _, what := range []string{"put", "put_error", "get", "hit", "get_late", "chained"} {
			text += fmt.Sprintf(" %s %.0f", what, s.metric(s.host[i], operations, fmt.Sprintf("result=%q", what)))
		}
		s.t.Logf("agent %d:%s", i, text)
	}
}

const operations = "otelcol_processor_tracecompletion_link_operations"

// TestHostsRedis: the same with nothing instrumented. In the middle Redis is
// killed: spans go on, each with an id of its host's own.
func TestHostsRedis(t *testing.T) {
	s := start(t, options{redis: true, gateways: 2, settle: settle})
	n := number("HOSTS_REQUESTS", 200)
	s.warmUp()
	s.ask(10000, n, atOnce())
	time.Sleep(s.o.settle + time.Second)
	s.links.Kill()
	s.ask(20000, n, atOnce())
	time.Sleep(s.o.settle + time.Second)
	for i := 1; i <= 3; i++ {
		late, failed := s.metric(s.host[i], operations, `result="get_late"`), s.metric(s.host[i], operations, `result="put_error"`)
		t.Logf("agent %d: %.0f look-ups and %.0f entries failed after Redis was killed", i, late, failed)
		if late == 0 || failed == 0 {
			t.Errorf("agent %d: what failed is not counted", i)
		}
		in, out := s.metric(s.host[i], "otelcol_processor_tracecompletion_spans_received"), s.metric(s.host[i], "otelcol_processor_tracecompletion_spans_sent")
		dropped := s.metric(s.host[i], "otelcol_processor_tracecompletion_spans_dropped")
		if in != out+dropped {
			t.Errorf("agent %d: %.0f spans in, %.0f out, %.0f dropped", i, in, out, dropped)
		}
	}
	traces := s.traces()
	s.must(judge(traces, 10000, n, withoutSDK))

	// Without Redis: every span is there, apart, and says so.
	perRequest := map[int]int{}
	for _, tr := range traces {
		of := map[int]bool{}
		for _, sp := range tr.Spans {
			k := nonce(sp)
			if k < 20000 || k >= 20000+n {
				continue
			}
			of[k] = true
			perRequest[k]++
			if sp.Str(semconv.TraceProvisional) != "true" {
				t.Fatalf("order %d without Redis is not provisional: %s", k, line(sp))
			}
		}
		if len(of) > 1 {
			t.Errorf("a trace of orders %v", of)
		}
	}
	want, whole := strings.Count(withoutSDK, "\n"), 0
	for _, spans := range perRequest {
		if spans == want {
			whole++
		}
	}
	t.Logf("without Redis: %d of %d requests have all their %d spans", whole, n, want)
	if whole < n*99/100 {
		t.Error("spans are missing")
	}
}
