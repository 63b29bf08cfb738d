// Package demo runs small systems without one line of tracing code, watches
// them with the built distribution, and shows each request as one trace.
package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/test/rig"
)

// watched is the collector of the demos: what is captured, joined, written as
// OTLP JSON.
const watched = `
receivers:
  ebpf:
    keep_literals: true
    golang: {uprobes: auto}
    sockets:
      include: {ports: [%s]}
processors:
  tracecompletion: {settle: 1s}
exporters:
  file: {path: %q, flush_interval: 50ms}
service:
  pipelines:
    traces: {receivers: [ebpf], processors: [tracecompletion], exporters: [file]}
`

// System is programs that run, and where to ask them.
type System struct {
	Front    string // URL; an order number is appended
	Ports    []int  // to capture
	programs []*rig.Server
	hooked   bool // it has programs of Go, whose functions are to be hooked first
}

// Stop ends the programs.
func (s *System) Stop() {
	for _, p := range slices.Backward(s.programs) {
		p.Kill()
	}
}

func (s *System) add(srv *rig.Server, err error) (*rig.Server, error) {
	if err == nil {
		s.programs = append(s.programs, srv)
		s.Ports = append(s.Ports, srv.Port)
	}
	return srv, err
}

// Needs are the programs that Gateway runs.
var Needs = []string{"nginx", "/usr/bin/python3", "mariadbd", "redis-server", "dnsmasq"}

// Gateway starts nginx in front of a Python service that asks a name server,
// MariaDB and Redis. sources is the folder of this package.
func Gateway(dir, sources string) (*System, error) {
	s := &System{}
	fail := func(err error) (*System, error) {
		s.Stop()
		return nil, err
	}
	db, err := s.add(rig.MariaDB(dir))
	if err != nil {
		return fail(err)
	}
	redis, err := s.add(rig.Redis(dir))
	if err != nil {
		return fail(err)
	}
	port, err := rig.Port()
	if err != nil {
		return fail(err)
	}
	names, err := s.add(rig.Serve(port, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces",
		"--listen-address=127.0.0.1", "--user=root", "--pid-file=", fmt.Sprintf("--port=%d", port), "--address=/demo.test/192.0.2.1"))
	if err != nil {
		return fail(err)
	}
	if port, err = rig.Port(); err != nil {
		return fail(err)
	}
	app, err := s.add(rig.Serve(port, "/usr/bin/python3", filepath.Join(sources, "gateway", "app.py"),
		fmt.Sprint(port), fmt.Sprint(db.Port), fmt.Sprint(redis.Port), fmt.Sprint(names.Port)))
	if err != nil {
		return fail(err)
	}
	front, err := s.add(proxy(dir, app.Port))
	if err != nil {
		return fail(err)
	}
	s.Front = front.URL("/orders/")
	return s, nil
}

func proxy(dir string, to int) (*rig.Server, error) {
	port, err := rig.Port()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "gateway.conf")
	text := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/gateway.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream app { server 127.0.0.1:%[3]d; keepalive 16; }
  server { listen 127.0.0.1:%[2]d; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } } }
`, dir, port, to)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return rig.Serve(port, "nginx", "-p", dir, "-c", conf, "-e", "stderr")
}

// ShopNeeds are the programs that Shop runs or builds with.
var ShopNeeds = []string{"go", "gcc", "/usr/bin/python3", "redis-server"}

// Shop builds and starts four services in three languages: one of Go in front,
// which asks one of Python over HTTP and one of Go over gRPC, which asks one of
// C; they keep things in Redis. sources is the folder of this package.
func Shop(dir, sources string) (*System, error) {
	s := &System{}
	fail := func(err error) (*System, error) {
		s.Stop()
		return nil, err
	}
	shop, tax := filepath.Join(dir, "shop"), filepath.Join(dir, "tax")
	for _, build := range [][]string{
		{"go", "build", "-o", shop, "./" + filepath.ToSlash(filepath.Join(sources, "shop"))},
		{"gcc", "-O2", "-pthread", "-o", tax, filepath.Join(sources, "tax", "tax.c")},
	} {
		if out, err := exec.Command(build[0], build[1:]...).CombinedOutput(); err != nil {
			return fail(fmt.Errorf("%s: %w: %s", strings.Join(build, " "), err, out))
		}
	}
	redis, err := s.add(rig.Redis(dir))
	if err != nil {
		return fail(err)
	}
	at := map[string]*rig.Server{"redis": redis}
	for _, p := range []struct {
		name    string
		command []string
		asks    []string
	}{
		{"tax", []string{tax}, []string{"redis"}},
		{"stock", []string{"/usr/bin/python3", filepath.Join(sources, "stock", "app.py")}, []string{"redis"}},
		{"prices", []string{shop, "prices"}, []string{"tax"}},
		{"front", []string{shop, "front"}, []string{"stock", "prices"}},
	} {
		port, err := rig.Port()
		if err != nil {
			return fail(err)
		}
		args := append(p.command[1:len(p.command):len(p.command)], fmt.Sprint(port))
		for _, to := range p.asks {
			args = append(args, fmt.Sprint(at[to].Port))
		}
		if at[p.name], err = s.add(rig.Serve(port, p.command[0], args...)); err != nil {
			return fail(err)
		}
	}
	s.Front, s.hooked = at["front"].URL("/orders/"), true
	return s, nil
}

// Watch runs the distribution over s while do works, and returns the traces.
func Watch(bin, dir string, s *System, do func() error) ([]*Trace, error) {
	out := filepath.Join(dir, "spans.json")
	ports := make([]string, len(s.Ports))
	for i, p := range s.Ports {
		ports[i] = fmt.Sprint(p)
	}
	c, err := rig.StartCollector(bin, dir, fmt.Sprintf(watched, strings.Join(ports, ", "), out))
	if err != nil {
		return nil, err
	}
	if s.hooked {
		err = hooked(c)
	}
	if err == nil {
		err = do()
	}
	time.Sleep(1500 * time.Millisecond) // what the last request left settles
	if e := c.Stop(); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return Read(out)
}

// hooked waits until the collector has hooked the executables that are there: it
// goes through all that run, and the number stays.
func hooked(c *rig.Collector) error {
	last, since := 0.0, time.Now()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		n, err := c.Sum("otelcol_receiver_ebpf_golang_executables")
		if err != nil {
			return err
		}
		if n != last {
			last, since = n, time.Now()
		}
		if n > 0 && time.Since(since) > time.Second {
			return nil
		}
	}
	return errors.New("no function of a program of Go was hooked in 20 s")
}

// Ask sends one request.
func Ask(url string) error {
	_, err := rig.Get(context.Background(), url)
	return err
}

// Span is one span of a trace.
type Span struct {
	ptrace.Span
	Resource pcommon.Map
	Children []*Span
}

// Str is an attribute of the span or its resource as text.
func (s *Span) Str(key string) string {
	if v, ok := s.Attributes().Get(key); ok {
		return v.AsString()
	}
	if v, ok := s.Resource.Get(key); ok {
		return v.AsString()
	}
	return ""
}

// Trace is the spans of one trace id.
type Trace struct {
	ID    pcommon.TraceID
	Spans []*Span
	// Roots name no parent; Lost name one that is not there.
	Roots, Lost []*Span
}

// Read gives the traces of a file that the file exporter wrote.
func Read(path string) ([]*Trace, error) {
	all, err := ReadFile(path)
	return Traces(all), err
}

// ReadFile gives the batches of such a file.
func ReadFile(path string) (all []ptrace.Traces, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			return nil, err
		}
		all = append(all, td)
	}
	return all, nil
}

// Traces sorts spans into traces.
func Traces(all []ptrace.Traces) []*Trace {
	byID := map[pcommon.TraceID]*Trace{}
	var traces []*Trace
	for _, td := range all {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, sp := range ss.Spans().All() {
					t := byID[sp.TraceID()]
					if t == nil {
						t = &Trace{ID: sp.TraceID()}
						byID[t.ID] = t
						traces = append(traces, t)
					}
					t.Spans = append(t.Spans, &Span{Span: sp, Resource: rs.Resource().Attributes()})
				}
			}
		}
	}
	for _, t := range traces {
		t.link()
	}
	slices.SortFunc(traces, func(a, b *Trace) int { return int(a.Spans[0].StartTimestamp()) - int(b.Spans[0].StartTimestamp()) })
	return traces
}

func (t *Trace) link() {
	slices.SortFunc(t.Spans, func(a, b *Span) int { return int(a.StartTimestamp()) - int(b.StartTimestamp()) })
	by := map[pcommon.SpanID]*Span{}
	for _, s := range t.Spans {
		by[s.SpanID()] = s
	}
	for _, s := range t.Spans {
		switch p := by[s.ParentSpanID()]; {
		case p != nil:
			p.Children = append(p.Children, s)
		case s.ParentSpanID().IsEmpty():
			t.Roots = append(t.Roots, s)
		default:
			t.Lost = append(t.Lost, s)
		}
	}
}

// Print draws the trace: place, span, service, when it began and how long it
// took, in microseconds.
func (t *Trace) Print(w io.Writer) {
	fmt.Fprintf(w, "trace %s\n", t.ID)
	from := t.Spans[0].StartTimestamp()
	var draw func(s *Span, before, mine string)
	draw = func(s *Span, before, mine string) {
		name := fmt.Sprintf("%s%s%s", before, mine, s.Name())
		fmt.Fprintf(w, "%-52s %-4s %-12s %+7d %7d us  %s\n", name, s.Str(semconv.CapturePoint), s.Str(semconv.ServiceName),
			int64(s.StartTimestamp()-from)/1000, int64(s.EndTimestamp()-s.StartTimestamp())/1000, s.Str(semconv.LinkEvidence))
		switch mine {
		case "├─ ":
			before += "│  "
		case "└─ ":
			before += "   "
		}
		for i, c := range s.Children {
			mark := "├─ "
			if i == len(s.Children)-1 {
				mark = "└─ "
			}
			draw(c, before, mark)
		}
	}
	for _, s := range append(append([]*Span(nil), t.Roots...), t.Lost...) {
		draw(s, "  ", "")
	}
}

// Shape is the trace as names and capture points, for comparison.
func (t *Trace) Shape() string {
	var b bytes.Buffer
	var walk func(s *Span, depth int)
	walk = func(s *Span, depth int) {
		fmt.Fprintf(&b, "%s%s %s %s\n", strings.Repeat(" ", depth), s.Str(semconv.CapturePoint), s.Str(semconv.ServiceName), s.Name())
		for _, c := range s.Children {
			walk(c, depth+1)
		}
	}
	for _, s := range t.Roots {
		walk(s, 0)
	}
	return b.String()
}
