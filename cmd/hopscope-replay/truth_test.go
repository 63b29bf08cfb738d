package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/span"
)

// told is one exchange: what the truth beside a capture has of it, or a span of ours.
type told struct {
	proto, client, server string
	what                  string // the operation or its target, what both have in the same words; "" where they have not
	code                  string // "" where it has none
	begin, end            float64
}

// connection is what the truth and the spans are compared by.
type connection struct{ proto, client, server string }

// row is a protocol's in the table.
type row struct {
	truth    int
	compared [len(aspects)]int
	shortfall
}

// aspects are what is compared of an exchange that both have.
var aspects = [...]string{"begin", "what", "code", "end"}

// shortfall is what one capture lacks of a protocol, has beyond the truth, and
// has differently.
type shortfall struct {
	missing, extra int
	differ         [len(aspects)]int
}

// truthNames are the truth's names of protocols that have others here.
var truthNames = map[string]string{"pgsql": "postgresql", "mongo": "mongodb", "memcache": "memcached", "cql": "cassandra", "fcgi": "fastcgi", "http1": "http"}

// notRead are protocols of the truth that nothing here reads.
var notRead = map[string]bool{"rpc": true, "sip": true}

// codeKeys are where a span's code is.
var codeKeys = []string{"http.response.status_code", "rpc.grpc.status_code", "rpc.response.status_code", "db.response.status_code", "dns.response_code", "hopscope.response.code"}

// TestTruth: the corpus has beside each capture what other programs find in it
// (tshark; for NATS and some others a reader of its own). What is not found
// here, what is found beyond it, and codes that differ are those that reasons
// lists, capture by capture, with a proof for each where tshark is installed;
// docs/protocols/corpus.md is made of it.
func TestTruth(t *testing.T) {
	root := filepath.Join(corpus(t), "packets")
	rows, short := map[string]*row{}, map[place]shortfall{}
	captures := 0
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".truth.jsonl.gz") {
			return err
		}
		captures++
		capture := strings.TrimSuffix(path, ".truth.jsonl.gz")
		name := strings.TrimPrefix(capture, root+"/")
		for proto, s := range compare(truthOf(t, path), spansOf(t, capture), rows) {
			if s != (shortfall{}) {
				short[place{proto, name}] = s
			}
		}
		return nil
	})
	if err != nil || captures < 400 {
		t.Fatalf("%d captures, %v", captures, err)
	}
	for at, s := range short {
		if r := reasons[at]; r.shortfall != s {
			t.Errorf("%s in %s: %+v, explained are %+v", at.proto, at.capture, s, r.shortfall)
		}
	}
	for at := range reasons {
		if _, ok := short[at]; !ok {
			t.Errorf("%s in %s is explained, and nothing is missing", at.proto, at.capture)
		}
	}
	written(t, "corpus.md", "rows", truthTable(rows))
	written(t, "corpus.md", "reasons", reasonsTable())
}

// truthOf reads a file of truth: exchanges and requests without an answer, not
// answers without a request.
func truthOf(t *testing.T, path string) (all []told) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v struct {
			Proto, Client, Server, Type string
			Resource, Code              any
			Req                         *float64 `json:"t_req"`
			Resp                        *float64 `json:"t_resp"`
			End                         *float64 `json:"t_resp_end"`
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if strings.HasPrefix(v.Type, "(") || notRead[v.Proto] {
			continue
		}
		client, _, _ := strings.Cut(v.Client, "%")
		s := told{proto: v.Proto, client: client, server: v.Server}
		if name, ok := truthNames[v.Proto]; ok {
			s.proto = name
		}
		if v.Req != nil {
			s.begin = *v.Req
		} else if v.Resp != nil {
			s.begin = *v.Resp
		}
		if v.End != nil && s.proto != "tls" { // there the ServerHello, here the server's last message in the open
			s.end = *v.End
		}
		resource, _ := v.Resource.(string)
		if s.proto == "redis" && half(v.Type, resource) {
			continue
		}
		s.what = whatTruth(s.proto, v.Type, resource)
		switch c := v.Code.(type) {
		case float64:
			s.code = strconv.FormatFloat(c, 'f', -1, 64)
		case string:
			s.code, _, _ = strings.Cut(c, " ") // of Redis' errors the first word
		}
		all = append(all, s)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// half: a command that lies in two segments, of which the truth has the first
// half, or what is left of the second, beside the whole.
func half(op, resource string) bool {
	return op == "" || op == "SET" && !strings.Contains(resource, " ")
}

// spansOf plays a capture.
func spansOf(t *testing.T, path string) (all []told) {
	t.Helper()
	p, err := newPlayer(options{format: "none", point: "rest"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	p.builder = span.New(span.Config{}, func(td ptrace.Traces, _ int) {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					all = append(all, toldBy(s))
				}
			}
		}
	})
	p.take = cause.NewTracker(p.builder.Put).Put
	if err := p.play(path); err != nil {
		t.Fatal(err)
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	return all
}

func toldBy(s ptrace.Span) told {
	attr := func(key string) string {
		if v, ok := s.Attributes().Get(key); ok {
			return v.AsString()
		}
		return ""
	}
	end := func(which string) string {
		return attr("network."+which+".address") + ":" + attr("network."+which+".port")
	}
	x := told{proto: attr("network.protocol.name"), client: end("local"), server: end("peer"), begin: float64(s.StartTimestamp()) / 1e9}
	if attr("hopscope.response.bytes") != "" {
		x.end = float64(s.EndTimestamp()) / 1e9
	}
	if s.Kind() == ptrace.SpanKindServer || s.Kind() == ptrace.SpanKindConsumer {
		x.client, x.server = x.server, x.client
	}
	if x.proto == "http" && strings.HasPrefix(attr("network.protocol.version"), "2") {
		x.proto = "http2"
	}
	for _, key := range codeKeys {
		if x.code = attr(key); x.code != "" {
			break
		}
	}
	x.what = whatOurs(x.proto, attr)
	return x
}

// compare adds what the two say to rows, and gives what is not the same, of the
// protocols that the truth of this capture has.
func compare(truth, ours []told, rows map[string]*row) map[string]shortfall {
	type both struct{ truth, ours []told }
	of, named := map[connection]*both{}, map[string]bool{}
	entry := func(x told) *both {
		c := connection{x.proto, x.client, x.server}
		if of[c] == nil {
			of[c] = &both{}
		}
		return of[c]
	}
	for _, x := range truth {
		named[x.proto] = true
		b := entry(x)
		b.truth = append(b.truth, x)
	}
	for _, x := range ours {
		if named[x.proto] {
			b := entry(x)
			b.ours = append(b.ours, x)
		}
	}
	short := map[string]shortfall{}
	for c, b := range of {
		r := rows[c.proto]
		if r == nil {
			r = &row{}
			rows[c.proto] = r
		}
		s := short[c.proto]
		r.truth += len(b.truth)
		found := pair(b.truth, b.ours, func(truth, ours told) {
			r.compared[0]++
			if !at(truth.begin, ours.begin) {
				s.differ[0]++ // they are two exchanges: nothing else is to be compared
				return
			}
			for i, v := range [...]struct {
				both, same bool
			}{
				{truth.what != "" && ours.what != "", truth.what == ours.what},
				{truth.code != "" && ours.code != "", truth.code == ours.code},
				{truth.end != 0 && ours.end != 0, at(truth.end, ours.end)},
			} {
				if v.both {
					r.compared[1+i]++
				}
				if v.both && !v.same {
					s.differ[1+i]++
				}
			}
		})
		s.missing += len(b.truth) - found
		s.extra += len(b.ours) - found
		short[c.proto] = s
	}
	for proto, s := range short {
		r := rows[proto]
		r.missing += s.missing
		r.extra += s.extra
		for i := range s.differ {
			r.differ[i] += s.differ[i]
		}
	}
	return short
}

// at: the same moment. The truth's are numbers of 16 digits.
func at(a, b float64) bool { return math.Abs(a-b) <= 3e-6 }

func moment(t float64) string { return strconv.FormatFloat(t, 'f', 6, 64) }

// pair gives f each exchange of a connection that both have, and says how many:
// those that begin at one moment, most alike first, then what is left in order.
func pair(truth, ours []told, f func(truth, ours told)) (found int) {
	order := func(a, b told) int { return cmp.Compare(a.begin, b.begin) }
	slices.SortStableFunc(truth, order)
	slices.SortStableFunc(ours, order)
	used := make([]bool, len(ours))
	var rest []told
	from := 0
	for _, x := range truth {
		for from < len(ours) && (used[from] || ours[from].begin < x.begin && !at(ours[from].begin, x.begin)) {
			from++
		}
		best, most := -1, -1
		for i := from; i < len(ours) && at(ours[i].begin, x.begin); i++ {
			if n := likeness(x, ours[i]); !used[i] && n > most {
				best, most = i, n
			}
		}
		if best < 0 {
			rest = append(rest, x)
			continue
		}
		used[best] = true
		found++
		f(x, ours[best])
	}
	for i := range ours {
		if !used[i] && len(rest) > 0 {
			f(rest[0], ours[i])
			rest = rest[1:]
			found++
		}
	}
	return found
}

func likeness(a, b told) (n int) {
	for i, same := range [...]bool{a.code == b.code, at(a.end, b.end), a.what == b.what} {
		if same {
			n += 1 << i
		}
	}
	return n
}

func truthTable(rows map[string]*row) string {
	var b strings.Builder
	b.WriteString("| protocol | exchanges | found | beyond the truth | what: compared, differ | code | end |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	byTruth := func(a, b string) int {
		if d := rows[b].truth - rows[a].truth; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	}
	for _, proto := range slices.SortedFunc(maps.Keys(rows), byTruth) {
		r := rows[proto]
		fmt.Fprintf(&b, "| %s | %d | %.1f %% | %d |", proto, r.truth, 100*float64(r.truth-r.missing)/float64(max(1, r.truth)), r.extra)
		for i := 1; i < len(aspects); i++ {
			fmt.Fprintf(&b, " %d, %d |", r.compared[i], r.differ[i])
		}
		b.WriteString("\n")
	}
	return b.String()
}

func reasonsTable() string {
	var b strings.Builder
	b.WriteString("| protocol | capture | missing | beyond | differ | why | frames |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, at := range inOrder() {
		r := reasons[at]
		frames := ""
		if r.frames > 0 {
			frames = fmt.Sprintf("%d of `%s`", r.frames, strings.ReplaceAll(r.filter, "|", "\\|"))
		} else if r.same != "" {
			frames = "as in " + r.same
		}
		var differ []string
		for i, name := range aspects {
			if n := r.differ[i]; n > 0 {
				differ = append(differ, fmt.Sprint(name, " ", n))
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", at.proto, at.capture, some(r.missing), some(r.extra), strings.Join(differ, ", "), r.why, frames)
	}
	return b.String()
}

func some(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func inOrder() []place {
	return slices.SortedFunc(maps.Keys(reasons), func(a, b place) int {
		return strings.Compare(a.proto+" "+a.capture, b.proto+" "+b.capture)
	})
}

// TestReasons: each reason's frames are in its capture, says tshark; and what is
// found beyond the truth in a damaged capture is there in the whole one.
func TestReasons(t *testing.T) {
	root := filepath.Join(corpus(t), "packets")
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Log("no tshark (Debian: tshark): the frames that reasons name are not looked at")
	}
	for _, at := range inOrder() {
		r := reasons[at]
		if r.frames == 0 && r.same == "" {
			t.Errorf("%s in %s: a reason without a proof", at.proto, at.capture)
		}
		if r.tags {
			t.Run(at.proto+" "+at.capture, func(t *testing.T) { tags(t, root, at) })
		}
		if r.same != "" {
			t.Run(at.proto+" "+at.capture, func(t *testing.T) { within(t, root, at, r.same) })
		}
		if tshark == "" || r.frames == 0 {
			continue
		}
		t.Run(at.proto+" "+at.capture, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(tshark, "-n", "-r", filepath.Join(root, at.capture), "-Y", r.filter).Output()
			// A capture that is cut in the middle of a packet makes it fail at its end.
			if n := strings.Count(string(out), "\n"); n != r.frames {
				t.Errorf("%d frames, want %d (%v)\n%.800s", n, r.frames, err, out)
			}
		})
	}
}

// within: each span of the capture begins where one of the whole capture does.
// The latter may end earlier.
func within(t *testing.T, root string, at place, whole string) {
	var begin, last = map[string]bool{}, 0.0
	key := func(x told) string { return x.proto + x.client + x.server + moment(x.begin) }
	for _, x := range spansOf(t, filepath.Join(root, whole)) {
		begin[key(x)] = true
		last = max(last, x.begin)
	}
	n, later := 0, 0
	for _, x := range spansOf(t, filepath.Join(root, at.capture)) {
		switch {
		case x.proto != at.proto:
		case begin[key(x)]:
			n++
		case x.begin > last:
			later++
		default:
			t.Errorf("%+v is not in %s", x, whole)
		}
	}
	if n == 0 || later > n/5 {
		t.Errorf("%d in both, %d behind its end", n, later)
	}
}

// tags: where a span of ours ends, the truth has an answer whose tag is the
// operation (`UPDATE 1`), and so it is the right answer, whichever request the
// truth gives it to.
func tags(t *testing.T, root string, at place) {
	answers := map[string]string{} // of a client at a moment
	key := func(x told) string { return x.client + " " + moment(x.end) }
	for _, x := range truthOf(t, filepath.Join(root, at.capture)+".truth.jsonl.gz") {
		if x.proto == at.proto && x.end != 0 && x.code != "" {
			answers[key(x)] += x.code + " "
		}
	}
	right := 0
	for _, x := range spansOf(t, filepath.Join(root, at.capture)) {
		tag, ok := answers[key(x)]
		if x.proto != at.proto || x.what == "" || x.code != "" || !ok {
			continue
		}
		if x.what == "END" {
			x.what = "COMMIT"
		}
		if !strings.Contains(tag, x.what) {
			t.Errorf("%+v ends with the answer to %s", x, tag)
		}
		right++
	}
	if right < 1000 {
		t.Errorf("%d answers", right)
	}
}
