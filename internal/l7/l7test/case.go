// Package l7test examines protocols: it plays cases, which are bytes both sides
// sent and the exchanges that are in them, whole, cut at every byte, with each
// chunk missing, and truncated to every length.
package l7test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

// Chunk is one line of a case: what one side sent at once.
type Chunk struct {
	Side l7.Side
	B    []byte
}

// Case is one file of testdata:
//
//	# comment
//	@ port 6379          server port (detection order); default: the protocol's first
//	@ udp                datagrams instead of a stream
//	@ midstream          the connection is older than the capture
//	@ optional NAME      the case is about a lossy situation: skip the variants NAME (cut, missing, truncated)
//	                     oneway: what is answered in the whole may be one-way in part of it, when the part
//	                     that is missing is the agreement to answer
//	@ rule KEY=VALUE...  a rule that takes something out: as (trace_id, request_id, an attribute), from
//	                     (response), protocols (one), endpoint, match, and header, query, form or json
//	> "bytes"            what the client sent: a Go string literal, or x"68 65 78"
//	< "bytes"            what the server sent; several literals on a line are joined
//	----
//	the exchanges, as Format prints them
type Case struct {
	Name      string
	Path      string
	Port      uint16
	UDP       bool
	Midstream bool
	Rules     []l7.Rule
	Skip      map[string]bool
	Chunks    []Chunk
	Want      string
	head      string // the file up to and with the ---- line
}

// Load reads the cases of a protocol's testdata folder.
func Load(dir string) ([]*Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var cases []*Case
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		c, err := parse(string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		c.Path, c.Name = f, strings.TrimSuffix(filepath.Base(f), ".txt")
		cases = append(cases, c)
	}
	return cases, nil
}

func parse(s string) (*Case, error) {
	c := &Case{Skip: map[string]bool{}}
	head, want, ok := strings.Cut(s, "\n----\n")
	if !ok {
		return nil, fmt.Errorf("no ---- line")
	}
	c.head, c.Want = head+"\n----\n", want
	for i, line := range strings.Split(head, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		rest := strings.TrimSpace(line[1:])
		var err error
		switch line[0] {
		case '@':
			err = c.directive(rest)
		case '>', '<':
			side := l7.Client
			if line[0] == '<' {
				side = l7.Server
			}
			var b []byte
			b, err = literal(rest)
			c.Chunks = append(c.Chunks, Chunk{side, b})
		default:
			err = fmt.Errorf("starts with %q", line[0])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return c, nil
}

func (c *Case) directive(s string) error {
	f := strings.Fields(s)
	switch {
	case len(f) == 2 && f[0] == "port":
		n, err := strconv.ParseUint(f[1], 10, 16)
		c.Port = uint16(n)
		return err
	case s == "udp":
		c.UDP = true
	case s == "midstream":
		c.Midstream = true
	case len(f) >= 2 && f[0] == "rule":
		r, err := rule(f[1:])
		c.Rules = append(c.Rules, r)
		return err
	case len(f) >= 2 && f[0] == "optional":
		for _, n := range f[1:] {
			c.Skip[n] = true
		}
	default:
		return fmt.Errorf("unknown directive %q", s)
	}
	return nil
}

func rule(fields []string) (r l7.Rule, err error) {
	for _, f := range fields {
		k, v, _ := strings.Cut(f, "=")
		switch k {
		case "as":
			r.Key = v
			r.Means = map[string]l7.Meaning{"trace_id": l7.MeansTraceID, "request_id": l7.MeansRequestID}[v]
		case "from":
			r.Response = v == "response"
		case "protocols":
			r.Protocols = []string{v}
		case "endpoint":
			r.Endpoint, err = regexp.Compile(v)
		case "match":
			r.Match, err = regexp.Compile(v)
		case "header", "query", "form", "json":
			r.Name = v
			r.Source = map[string]l7.Source{"header": l7.SourceHeader, "query": l7.SourceQuery, "form": l7.SourceForm, "json": l7.SourceJSON}[k]
		default:
			err = fmt.Errorf("unknown key of a rule %q", k)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// literal joins "go string" and x"hex" literals; "..."*N repeats.
func literal(s string) ([]byte, error) {
	var out []byte
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		hex := s[0] == 'x'
		if hex {
			s = s[1:]
		}
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			return nil, fmt.Errorf("no literal at %.20q", s)
		}
		s = s[len(q):]
		v, err := strconv.Unquote(q)
		if err != nil {
			return nil, err
		}
		b := []byte(v)
		if hex {
			b = b[:0]
			clean := strings.Join(strings.Fields(v), "")
			if len(clean)%2 != 0 {
				return nil, fmt.Errorf("odd hex %q", v)
			}
			for i := 0; i < len(clean); i += 2 {
				n, err := strconv.ParseUint(clean[i:i+2], 16, 8)
				if err != nil {
					return nil, err
				}
				b = append(b, byte(n))
			}
		}
		times := 1
		if strings.HasPrefix(s, "*") {
			j := 1
			for j < len(s) && s[j] >= '0' && s[j] <= '9' {
				j++
			}
			if times, err = strconv.Atoi(s[1:j]); err != nil || times < 1 || times > 1<<20 {
				return nil, fmt.Errorf("bad repetition %q", s[:j])
			}
			s = s[j:]
		}
		for range times {
			out = append(out, b...)
		}
	}
	return out, nil
}

// Dir is where the cases of the protocol named name lie, seen from the test of
// any package directly below internal/l7.
func Dir(name string) string { return filepath.Join("..", name, "testdata") }

func load(t testing.TB) []*Case {
	t.Helper()
	cases, err := Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("testdata holds no case")
	}
	return cases
}
