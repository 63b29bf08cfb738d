package main

import (
	"encoding/json"
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

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/span"
)

// measure says where a number of DeepFlow's is here.
type measure struct {
	key string // the attribute; wait is computed. None: it is not told
	// less is how much smaller DeepFlow's is: it counts from behind a length or a
	// head of that many bytes.
	less   int64
	answer bool   // it says something in answers only, and is zero in requests
	zero   bool   // a zero says that there is none
	why    string // not the same everywhere, or not here, because
}

// ids are the fields that tell which exchange a line is of.
var ids = map[string]string{"brpc": "correlation_id", "dns": "request_id", "dubbo": "request_id", "http": "stream_id", "kafka": "correlation_id",
	"mongo": "request_id", "rocketmq": "opaque", "some_ip": "session_id", "tars": "request_id"}

// numbers are those of one span, by attribute.
type numbers map[string]int64

// TestDeepFlowNumbers is TestDeepFlow for numbers, each in the attribute that is
// meant, once for each message that has it: of the exchange with the line's id,
// where the protocol has one.
func TestDeepFlowNumbers(t *testing.T) {
	results, err := filepath.Glob(filepath.Join(corpus(t), "deepflow/flow_generator/*/*.result"))
	if err != nil || len(results) < 40 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	all := map[field]*reading{}
	for _, result := range results {
		protocol := filepath.Base(filepath.Dir(result))
		ours := numbersOf(t, strings.TrimSuffix(result, ".result")+".pcap")
		b, err := os.ReadFile(result)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			answer, said := readNumbers(line)
			id, has := int64(0), false
			for _, v := range said {
				if v.name == ids[protocol] {
					id, has = v.n, true
				}
			}
			for _, v := range said {
				f, m := measureOf(protocol, v.name)
				if m == nil {
					t.Errorf("%s: %s of %s is not measured", filepath.Base(result), v.name, protocol)
					continue
				}
				if m.answer && !answer || m.zero && v.n == 0 || v.name == ids[protocol] && v.n == 0 {
					continue
				}
				r := all[f]
				if r == nil {
					r = &reading{where: map[string]int{}}
					all[f] = r
				}
				r.values++
				switch {
				case m.key == "":
				case ours.take(v.name, m, v.n, id, has):
					r.found++
				case r.missing == "":
					r.missing = fmt.Sprintf("%s: %d", filepath.Base(result), v.n)
				}
			}
		}
	}
	var rows strings.Builder
	for _, f := range slices.SortedFunc(maps.Keys(all), func(a, b field) int {
		return strings.Compare(a.protocol+" "+a.name, b.protocol+" "+b.name)
	}) {
		r := all[f]
		_, m := measureOf(f.protocol, f.name)
		key, why := "", ""
		if m.key != "" {
			key = "`" + m.key + "`"
			if m.less != 0 {
				key += fmt.Sprintf(" - %d", m.less)
			}
		}
		if r.found < r.values {
			if why = m.why; why == "" {
				t.Errorf("%s: %s: %d of %d, without %s", f.protocol, f.name, r.found, r.values, r.missing)
			}
		} else if m.why != "" && m.key != "" && f.protocol != "" {
			if _, own := measures[f]; own {
				t.Errorf("%s: %s: all found, and yet %q", f.protocol, f.name, m.why)
			}
		}
		fmt.Fprintf(&rows, "| %s | `%s` | %d | %d | %s | %s |\n", f.protocol, f.name, r.values, r.found, key, why)
	}
	written(t, "deepflow.md", "numbers", "| protocol | its field | values | the same | where | why not |\n| --- | --- | --- | --- | --- | --- |\n"+rows.String())
}

// measureOf is the measure of a protocol's field, or that of all protocols.
func measureOf(protocol, name string) (field, *measure) {
	for _, p := range []string{protocol, ""} {
		if m, ok := measures[field{p, name}]; ok {
			return field{protocol, name}, &m
		}
	}
	return field{}, nil
}

// values are the numbers of a capture's spans: of each exchange, by its id, and
// how often there still is which for a field.
type values struct {
	spans []numbers
	left  map[string]map[int64]int
}

// of is how often there is which number in the attribute key, for a field.
func (v *values) of(name, key string) map[int64]int {
	left := v.left[name]
	if left == nil {
		left = map[int64]int{}
		for _, s := range v.spans {
			if n, ok := s[key]; ok {
				left[n]++
			}
		}
		v.left[name] = left
	}
	return left
}

// take finds n among ours: in an exchange with that id, if there is one with such
// a number, else in any, each once.
func (v *values) take(name string, m *measure, n, id int64, has bool) bool {
	near := []int64{n + m.less}
	if m.key == wait {
		near = append(near, n+1, n-1)
	}
	known := false
	for _, of := range v.spans {
		if !has {
			break
		}
		if got, ok := of[m.key]; ok && of[requestID] == id {
			if slices.Contains(near, got) {
				return true
			}
			known = true
		}
	}
	if known {
		return false
	}
	left := v.of(name, m.key)
	for _, n := range near {
		if left[n] > 0 {
			if m.key != requestID { // request and answer have the same
				left[n]--
			}
			return true
		}
	}
	return false
}

type number struct {
	name string
	n    int64
}

var (
	debugNumber = regexp.MustCompile(`\b(\w+): (?:Some\()?(-?\d+)\)?[,}\s]`)
	quoted      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	saidOf      = regexp.MustCompile(`msg_type"?: ?"?(\w+)`)
	freeText    = regexp.MustCompile(`\b(?:request|result): .*?  ?(req_size|err_msg|res_size):`)
)

// readNumbers is the numbers in a line of a result, and whether it is an answer.
func readNumbers(line string) (answer bool, all []number) {
	if m := saidOf.FindStringSubmatch(line); m != nil {
		answer = m[1] != "Request"
	}
	if i := strings.LastIndexByte(line, '}'); strings.HasPrefix(line, "{\"") && i > 0 {
		d := json.NewDecoder(strings.NewReader(line[:i+1]))
		d.UseNumber()
		var v any
		if d.Decode(&v) == nil {
			walkNumbers("", v, func(name string, n int64) { all = append(all, number{name, n}) })
			return answer, all
		}
	}
	line = freeText.ReplaceAllString(quoted.ReplaceAllString(line, `""`), "$1:")
	for _, m := range debugNumber.FindAllStringSubmatch(line+" ", -1) {
		if n, err := strconv.ParseInt(m[2], 10, 64); err == nil {
			all = append(all, number{m[1], n})
		}
	}
	return answer, all
}

func walkNumbers(name string, v any, f func(name string, n int64)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walkNumbers(k, v[k], f)
		}
	case []any:
		for _, v := range v {
			walkNumbers(name, v, f)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			f(name, n)
		}
	}
}

// numbersOf is what the spans of a capture have that is a number, or a text that
// is one.
func numbersOf(t *testing.T, path string) *values {
	t.Helper()
	p, err := newPlayer(options{format: "none", point: "rest"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	all := &values{left: map[string]map[int64]int{}}
	p.builder = span.New(span.Config{}, func(td ptrace.Traces, _ int) {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					of := numbers{}
					for k, v := range s.Attributes().All() {
						if n, err := strconv.ParseInt(v.AsString(), 10, 64); err == nil {
							of[k] = n
						}
					}
					if end, ok := of["hopscope.request.end_time"]; ok && of["hopscope.response.start_time"] > 0 {
						of[wait] = (of["hopscope.response.start_time"] - end) / 1000
					}
					all.spans = append(all.spans, of)
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
