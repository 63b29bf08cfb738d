package table

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/hopscope/hopscope/internal/hop"
)

var update = flag.Bool("update", false, "write what was found into the goldens")

// A golden is spans, one a line, and the traces that come of them:
//
//	@ max_spans 3                         a guard, or an option
//	NAME POINT START-END key=value ...    a hop (POINT a capture point) or an app span (client, server, internal)
//	----
//	trace and its spans as a tree
//
// Keys: host proc service trace parent xid lid carried=TRACE/SPAN own caller as received
// rid (both messages) ridresp sys sysresp linked judged udp provisional system port remote.
type golden struct {
	nodes []*Node
	names map[hop.Key]string
	cfg   Config
	learn [][3]string
	// ordered: a guard decides by what came first.
	ordered bool
}

func num(s string) uint64 {
	if s == "" {
		return 0
	}
	return xxhash.Sum64String(s)
}

func traceID(s string) (t TraceID) {
	if s != "" {
		copy(t[:], fmt.Sprintf("%-16.16s", s))
	}
	return t
}

func parseGolden(t *testing.T, head string) *golden {
	g := &golden{names: map[hop.Key]string{}, cfg: Config{Guards: Guards{MaxSpans: 10000, MaxDuration: 10 * time.Minute, MaxSiblings: 64}, Reparent: true, Skew: true}}
	for _, line := range strings.Split(head, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if f[0] == "@" {
			switch f[1] {
			case "max_spans":
				g.cfg.Guards.MaxSpans, _ = strconv.Atoi(f[2])
			case "max_siblings":
				g.cfg.Guards.MaxSiblings, _ = strconv.Atoi(f[2])
			case "max_duration":
				g.cfg.Guards.MaxDuration, _ = time.ParseDuration(f[2])
			case "ordered":
				g.ordered = true
			case "fold":
				g.cfg.Fold = true
			case "drop":
				g.cfg.Drop = true
			case "no_reparent":
				g.cfg.Reparent = false
			case "adjust":
				g.cfg.Adjust = true
			case "learn":
				g.learn = append(g.learn, [3]string{f[2], f[3], strings.Join(f[4:], "")})
			default:
				t.Fatalf("unknown option %q", line)
			}
			continue
		}
		n := &Node{Span: hop.Key(num(f[0])), Index: int32(len(g.nodes))}
		g.names[n.Span] = f[0]
		p, isHop := hop.Parse(f[1])
		n.Point = p
		switch {
		case isHop:
		case f[1] == "server":
			n.Server = true
		case f[1] == "client":
			n.Client = true
		case f[1] != "internal":
			t.Fatalf("what is %q", line)
		}
		a, b, _ := strings.Cut(f[2], "-")
		start, err1 := strconv.ParseInt(a, 10, 64)
		end, err2 := strconv.ParseInt(b, 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("times of %q", line)
		}
		n.Start, n.End = start*1e6, end*1e6
		carried, rare := Carried{}, Rare{}
		for _, kv := range f[3:] {
			k, v, _ := strings.Cut(kv, "=")
			switch k {
			case "host":
				n.Host = uint32(num(v)) | 1
			case "proc":
				n.Process = uint32(num(v)) | 1
			case "service":
				n.Service = uint32(num(v)) | 1
			case "trace":
				n.Trace = traceID(v)
			case "parent":
				n.Parent = hop.Key(num(v))
				g.names[n.Parent] = v
			case "xid":
				n.XID = hop.Key(num("x" + v))
			case "lid":
				n.LID = hop.Key(num("l" + v))
				g.names[hop.Wire(n.LID)] = "wire:" + v
			case "carried":
				tr, sp, _ := strings.Cut(v, "/")
				carried.Trace, carried.Span = traceID(tr), hop.Key(num(sp))
				g.names[carried.Span] = sp
			case "own":
				carried.Own = true
			case "received":
				n.Received = true
			case "caller":
				carried.Caller = hop.Key(num(v))
				g.names[carried.Caller] = v
			case "as":
				rare.Own = hop.Key(num(v))
			case "rid":
				rare.RequestID = num(v)
			case "ridresp":
				rare.ResponseID = num(v)
			case "sys":
				rare.SyscallRequest = num(v)
			case "sysresp":
				rare.SyscallResponse = num(v)
			case "linked":
				n.Linked = true
			case "provisional":
				n.Provisional = true
			case "system":
				n.System = num(v)
			case "judged":
				n.Judged = true
			case "udp":
				n.UDP = true
			case "remote":
				n.Remote = num(v)
			case "port":
				p, _ := strconv.Atoi(v)
				n.PeerPort = uint16(p)
			default:
				t.Fatalf("unknown key %q", line)
			}
		}
		if carried.Trace != (TraceID{}) {
			n.Carried = &carried
		}
		if rare != (Rare{}) {
			n.Rare = &rare
		}
		g.nodes = append(g.nodes, n)
	}
	return g
}

// run adds the nodes in the given order and prints the traces.
func (g *golden) run(order []int) string {
	t := New(g.cfg)
	for _, i := range order {
		n := *g.nodes[i]
		t.Add(&n)
	}
	for _, l := range g.learn {
		t.Learn(hop.Key(num("l"+l[0])), traceID(l[1]), l[2] == "provisional")
	}
	return g.print(t)
}

type decided struct {
	n *Node
	d Decision
}

func (g *golden) print(t *Table) string {
	var all []decided
	for _, n := range t.hops {
		all = append(all, decided{n: n})
	}
	for _, n := range t.apps {
		all = append(all, decided{n: n})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].n.Index < all[j].n.Index })
	for i := range all {
		t.Settle(all[i].n)
	}
	for i := range all {
		all[i].d = t.Decide(all[i].n)
	}
	traces := map[TraceID][]decided{}
	dropped := 0
	for _, d := range all {
		if d.d.Drop {
			dropped++
			continue
		}
		traces[d.d.Trace] = append(traces[d.d.Trace], d)
	}
	var blocks []string
	for id, ds := range traces {
		var b strings.Builder
		there := map[hop.Key]bool{}
		for _, d := range ds {
			there[d.d.Span] = true
		}
		name := strings.TrimSpace(string(id[:]))
		if ds[0].d.Provisional {
			name = "provisional"
			for _, n := range g.nodes {
				if id == TraceID(hop.TraceID(n.LID)) || id == TraceID(hop.TraceID(n.XID)) {
					name = "provisional of " + g.names[n.Span]
					break
				}
				if id == n.Trace {
					name = "provisional " + strings.TrimSpace(string(id[:]))
				}
			}
			for _, l := range g.learn {
				if id == traceID(l[1]) {
					name = "provisional " + l[1]
				}
			}
		}
		fmt.Fprintf(&b, "trace %s\n", name)
		var walk func(parent hop.Key, depth int)
		walk = func(parent hop.Key, depth int) {
			for _, d := range ds {
				if d.d.Parent == parent {
					g.line(&b, d, depth, false)
					walk(d.d.Span, depth+1)
				}
			}
		}
		walk(0, 1)
		for _, d := range ds {
			if d.d.Parent != 0 && !there[d.d.Parent] {
				g.line(&b, d, 1, true)
				walk(d.d.Span, 2)
			}
		}
		blocks = append(blocks, b.String())
	}
	sort.Strings(blocks)
	out := strings.Join(blocks, "")
	if dropped > 0 {
		out += fmt.Sprintf("dropped %d\n", dropped)
	}
	return out
}

func (g *golden) line(b *strings.Builder, d decided, depth int, elsewhere bool) {
	fmt.Fprintf(b, "%s%s", strings.Repeat("  ", depth), g.names[d.n.Span])
	if d.d.Span != d.n.Span {
		b.WriteString(" as " + g.names[d.d.Span])
	}
	if elsewhere {
		b.WriteString(" under " + g.names[d.d.Parent] + " elsewhere")
	}
	if d.n.Point != hop.Unknown {
		fmt.Fprintf(b, " +%dms", d.d.Added/1e6)
	}
	if d.d.Inconsistent {
		b.WriteString(" inconsistent")
	}
	if d.d.Rooted {
		b.WriteString(" was a root")
	}
	if d.d.Original != 0 {
		b.WriteString(" was under " + g.names[d.d.Original])
	}
	if d.d.Evidence != NoEvidence {
		b.WriteString(" by " + d.d.Evidence.String() + " " + d.d.Evidence.Confidence())
	}
	if d.d.LinkTrace != (TraceID{}) {
		b.WriteString(" linked to " + g.names[d.d.LinkSpan])
	}
	for _, f := range d.d.Folded {
		b.WriteString(" [" + f.Point.Code() + "]")
	}
	if d.d.Shift != 0 {
		fmt.Fprintf(b, " shifted %dms", d.d.Shift/1e6)
	}
	b.WriteByte('\n')
}

// TestGoldens runs each golden in its own order, and shuffled: the traces are
// the same.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			head, want, _ := strings.Cut(string(text), "----\n")
			g := parseGolden(t, head)
			order := make([]int, len(g.nodes))
			for i := range order {
				order[i] = i
			}
			got := g.run(order)
			if *update {
				if err := os.WriteFile(f, []byte(head+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				want = got
			}
			if got != want {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 200 {
				if g.ordered {
					break
				}
				r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
				more := append(append([]int(nil), order...), order[:len(order)/2]...) // and some twice
				if s := g.run(more); s != want {
					t.Fatalf("in order %v\n%swant\n%s", more, s, want)
				}
			}
			g.again(t, want)
		})
	}
}

// again joins what is joined: nothing may change.
func (g *golden) again(t *testing.T, want string) {
	if len(g.learn) > 0 || g.cfg.Fold || g.cfg.Drop || g.cfg.Adjust {
		return
	}
	first := New(g.cfg)
	for _, n := range g.nodes {
		m := *n
		first.Add(&m)
	}
	second := New(g.cfg)
	h := &golden{names: map[hop.Key]string{}, cfg: g.cfg, nodes: g.nodes}
	for k, v := range g.names {
		h.names[k] = v
	}
	before := map[int32]Decision{}
	var nodes []*Node
	for _, n := range first.hops {
		nodes = append(nodes, n)
	}
	for _, n := range first.apps {
		nodes = append(nodes, n)
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Index < nodes[j].Index })
	var next []*Node
	for _, n := range nodes {
		first.Settle(n)
	}
	for _, n := range nodes {
		d := first.Decide(n)
		before[n.Index] = d
		m := *g.nodes[n.Index]
		m.Trace, m.Span, m.Parent, m.Provisional = d.Trace, d.Span, d.Parent, d.Provisional
		if d.Original != 0 {
			r := *m.rare()
			r.Original = d.Original
			m.Rare = &r
		}
		m.Rooted = m.Rooted || d.Rooted
		m.Linked = m.Linked || d.Evidence > ByPropagation
		next = append(next, &m)
	}
	for _, n := range next {
		second.Add(n)
	}
	for _, n := range next {
		second.Settle(n)
	}
	for _, n := range next {
		d, b := second.Decide(n), before[n.Index]
		if d.Trace != b.Trace || d.Span != b.Span || d.Parent != b.Parent {
			t.Errorf("%s changed when joined again: span %x parent %x (%s), was %x %x (%s)", g.names[g.nodes[n.Index].Span], d.Span, d.Parent, g.names[d.Parent], b.Span, b.Parent, g.names[b.Parent])
		}
	}
}
