package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/span"
)

var update = flag.Bool("update", false, "write the tables of docs/protocols/deepflow.md and corpus.md")

// field is one of those that DeepFlow read of a capture.
type field struct{ protocol, name string }

// reading is what became of the values of a field.
type reading struct {
	values, found int
	where         map[string]int
	missing       string // one of those that are not found
}

// differences says why values that DeepFlow reads are not among ours. A field
// that is not here must be found, in every capture.
var differences = map[field]string{
	{"amqp", "req_type"}:             "`connection.start`, `tune` and `secure`, which the broker asks before anybody wants anything, are passed over with the credentials in their answers; header and body frames are part of their publish or delivery",
	{"amqp", "resp_text"}:            "the text of a close is told where it is an error; a normal shutdown is none",
	{"dns", "opcode"}:                "told by the span's name where it is no standard query",
	{"mysql", "endpoint"}:            "names of users are not told; a connection that agreed upon compression is given up",
	{"nats", "sid"}:                  "the number of a subscription means something to its client only",
	{"pulsar", "consumer_name"}:      "names that clients and brokers make up for connections are not told",
	{"pulsar", "producer_name"}:      "names that clients and brokers make up for connections are not told",
	{"some_ip", "exception"}:         "told where there is one",
	{"some_ip", "request_type"}:      "`hopscope.session.type` tells requests from what is one-way",
	{"some_ip", "version"}:           "the protocol has one version; the interface's is not told",
	{"tars", "ret"}:                  "the number is told: `rpc.response.status_code`",
	{"dubbo", "field"}:               "its test names `EagleEye-TraceID` as a trace header; here `propagation` names such",
	{"memcached", "request"}:         "of the keys the command and the first are told, the number of the others",
	{"memcached", "result"}:          "the first word; keys, flags and sizes behind it say nothing new",
	{"mongo", "request"}:             "values are `?`",
	{"mongo", "response"}:            "documents that are found are not told",
	{"redis", "request"}:             "values are `?`",
	{"nats", "header_version"}:       "there is one",
	{"pulsar", "broker_service_url"}: "the broker that a lookup names is not told",
	{"mongo", "op_code_name"}:        "OP_MSG says nothing: the command in it is told (`db.operation.name`)",
	{"mysql", "request_resource"}:    "literals are `?`, lists of them one `?`, comments are cut",
	{"mysql", "response_exception"}:  "what it quotes of the statement is left out",
	{"nats", "go_version"}:           "of the server's INFO name and version are told",
	{"nats", "host"}:                 "of the server's INFO name and version are told",
	{"nats", "server_id"}:            "of the server's INFO name and version are told",
	{"nats", "version"}:              "the version is the server's; those of client libraries are not told",
	{"rocketmq", "remark"}:           "told where it says what went wrong",
	{"rocketmq", "resp_code_name"}:   "the number is told: `hopscope.response.code`",
	{"rocketmq", "version"}:          "4.9.4 for V4_9_4",
	{"dns", "response_result"}:       "answers have no times to live; of an error no SOA",
	{"openwire", "connection_id"}:    "ids of connections and sessions are not told; the client's (`messaging.client.id`) and those of messages are",
	{"pulsar", "auth_method_name"}:   "how a client proves who it is is not told",
	{"pulsar", "client_version"}:     "versions of libraries are not told, the protocol's is",
	{"pulsar", "server_version"}:     "versions of libraries are not told, the protocol's is",
}

// ignored fields are DeepFlow's bookkeeping, or the same value under a second
// name.
var ignored = map[string]bool{"msg_type": true, "response_status": true, "status": true, "direction": true, "resp_status": true}

var (
	debugField = regexp.MustCompile(`(\w+): (?:Some\()?"((?:[^"\\]|\\.)*)"`)
	plainField = regexp.MustCompile(`\b(request|result|err_msg): ([^"{}]*?)  ?(?:req_size|err_msg|res_size):`)
)

// TestDeepFlow: what DeepFlow reads of its own captures, its results lying beside
// them, is in our spans, or docs/protocols/deepflow.md says why not.
func TestDeepFlow(t *testing.T) {
	results, err := filepath.Glob(filepath.Join(corpus(t), "deepflow/flow_generator/*/*.result"))
	if err != nil || len(results) < 40 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	all := map[field]*reading{}
	for _, result := range results {
		protocol := filepath.Base(filepath.Dir(result))
		ours := attributesOf(t, strings.TrimSuffix(result, ".result")+".pcap")
		b, err := os.ReadFile(result)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			read(line, func(name, v string) {
				if v == "" || ignored[name] {
					return
				}
				f := field{protocol, name}
				r := all[f]
				if r == nil {
					r = &reading{where: map[string]int{}}
					all[f] = r
				}
				r.values++
				if where := find(ours, v); where != "" {
					r.found++
					r.where[where]++
				} else if r.missing == "" {
					r.missing = filepath.Base(result) + ": " + v
				}
			})
		}
	}
	var rows strings.Builder
	for _, f := range slices.SortedFunc(maps.Keys(all), func(a, b field) int {
		return strings.Compare(a.protocol+" "+a.name, b.protocol+" "+b.name)
	}) {
		r := all[f]
		why := differences[f]
		if r.found < r.values && why == "" {
			t.Errorf("%s: %s: %d of %d, without %.120s", f.protocol, f.name, r.found, r.values, r.missing)
		}
		if r.found == r.values {
			why = ""
		}
		fmt.Fprintf(&rows, "| %s | `%s` | %d | %d | %s | %s |\n", f.protocol, f.name, r.values, r.found, places(r.where), why)
	}
	written(t, "deepflow.md", "captures", "| protocol | its field | values | found | where | why not |\n| --- | --- | --- | --- | --- | --- |\n"+rows.String())
}

// written: the part called mark of a page of docs/protocols is want.
func written(t *testing.T, page, mark, want string) {
	t.Helper()
	doc, begin, end := "../../docs/protocols/"+page, "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok1 || !ok2:
		t.Fatalf("%s has no %q ... %q", doc, begin, end)
	case got == want:
	case *update:
		if err := os.WriteFile(doc, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date (go test ./cmd/hopscope-replay -update)", doc)
	}
}

// places is where most values are found, the two most common.
func places(where map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(where), func(a, b string) int {
		if where[a] != where[b] {
			return where[b] - where[a]
		}
		return strings.Compare(a, b)
	})
	if len(keys) > 2 {
		keys = keys[:2]
	}
	return strings.Join(keys, ", ")
}

// read gives f the texts in a line of a result: JSON, or Rust's debug form.
func read(line string, f func(name, v string)) {
	if i := strings.LastIndexByte(line, '}'); strings.HasPrefix(line, "{\"") && i > 0 {
		var v any
		if json.Unmarshal([]byte(line[:i+1]), &v) == nil {
			walk("", v, f)
			return
		}
	}
	for _, m := range debugField.FindAllStringSubmatch(line, -1) {
		v, err := strconv.Unquote(`"` + m[2] + `"`)
		if err != nil {
			v = m[2]
		}
		f(m[1], v)
	}
	for _, m := range plainField.FindAllStringSubmatch(line, -1) {
		f(m[1], m[2])
	}
}

func walk(name string, v any, f func(name, v string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, v := range v {
			walk(k, v, f)
		}
	case []any:
		for _, v := range v {
			walk(name, v, f)
		}
	case string:
		f(name, v)
	}
}

// content are the attributes that what was said on the wire is in.
var content = regexp.MustCompile(`^(client|db|dns|error|exception|http|messaging|rpc|server|tls|url|user_agent)\.(.*\..*|[a-rt-z].*|s[a-xz].*)$|` +
	`^(client|server)\.address$|^network\.protocol\.version$|^hopscope\.(session|response|propagation|request_id|messaging|rpc|http|db)\.`)

// attributesOf is every text that the spans of a capture have, and where.
func attributesOf(t *testing.T, path string) map[string]string {
	t.Helper()
	p, err := newPlayer(options{format: "none", point: "rest"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	p.builder = span.New(span.Config{}, func(td ptrace.Traces, _ int) {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					for k, v := range s.Attributes().All() {
						if !content.MatchString(k) {
							continue
						}
						texts(v, func(text string) {
							if at, ok := out[text]; !ok || k < at {
								out[text] = k
							}
						})
					}
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
	return out
}

func texts(v pcommon.Value, f func(string)) {
	if v.Type() == pcommon.ValueTypeSlice {
		for _, e := range v.Slice().All() {
			texts(e, f)
		}
		return
	}
	f(strings.ToLower(v.AsString()))
}

// find is where v is among ours: as it is, as a part, or by a beginning that is
// long enough for more than chance.
func find(ours map[string]string, v string) string {
	const enough = 16
	v = strings.ToLower(strings.TrimSpace(v))
	if where, ok := ours[v]; ok {
		return "`" + where + "`"
	}
	best := ""
	for text, where := range ours {
		part := len(v) > 2 && strings.Contains(text, v) || len(text) > 3 && 3*len(text) >= len(v) && strings.Contains(v, text)
		if !part && len(text) >= enough && len(v) >= enough {
			part = text[:enough] == v[:enough]
		}
		if part && (best == "" || where < best) {
			best = where
		}
	}
	if best == "" {
		return ""
	}
	return "`" + best + "`"
}
