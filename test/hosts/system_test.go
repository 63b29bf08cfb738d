package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/test/demo"
	"github.com/hopscope/hopscope/test/rig"
)

// options are how the hosts are run.
type options struct {
	sdk      bool          // the shop is instrumented
	redis    bool          // agents complete traces, by a link table in Redis
	gateways int           // collectors in the hub
	settle   time.Duration // of agents and gateways
	slow     []string      // links that are cables
	slowDNS  bool          // dns.py in place of dnsmasq
}

// system is what runs.
type system struct {
	*network
	dir      string
	o        options
	t        *testing.T
	gates    []*rig.Process
	agents   []*rig.Process
	files    []string
	jaeger   string // its query address in the hub
	links    *rig.Server
	programs []*rig.Process
	counted  string  // by the collectors, before they ended
	late     float64 // of the spans that came to gateways
}

const nginxConf = `
daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log stderr warn;
events { worker_connections 1024; }
http { access_log off;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream shop { server %[3]s; keepalive 32; }
  proxy_http_version 1.1;
  server { listen %[2]s;
    location / { proxy_pass http://shop; proxy_set_header Connection ""; }
    location /fresh/ { proxy_pass http://%[3]s/; } } }
`

// start runs everything and waits until it is ready.
func start(t *testing.T, o options) *system {
	t.Helper()
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	s := &system{network: build(t, o.slow...), o: o, t: t}
	dir := t.TempDir()
	sub := func(name string) string {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		return d
	}
	serve := func(ns rig.NetNS, addr string, env []string, name string, args ...string) *rig.Server {
		t.Helper()
		srv, err := ns.Serve(addr, dir, env, name, args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(srv.Kill)
		s.programs = append(s.programs, srv.Process)
		return srv
	}
	h1, h2, h3 := s.host[1], s.host[2], s.host[3]
	db := sub("db")
	if err := os.Mkdir(filepath.Join(db, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	serve(h3, "127.0.0.1:3306", nil, "mariadbd", rig.MariaDBArgs(db, 3306)...)
	redis := []string{"--save", "", "--appendonly", "no", "--dir", dir, "--daemonize", "no", "--loglevel", "warning", "--protected-mode", "no"}
	serve(h3, "127.0.0.1:6379", nil, "redis-server", append(redis, "--port", "6379", "--bind", "127.0.0.1", "10.92.3.2")...)
	source := func(name string) string {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.dir = dir
	slow := []string{"SLOW_STORE=" + s.slowFile("store"), "SLOW_ACCEPT=" + s.slowFile("accept"), "SLOW_DNS=" + s.slowFile("dns")}
	if o.slowDNS {
		serve(h3, "127.0.0.1:53", slow, "/usr/bin/python3", source("dns.py"), "127.0.0.1", "53")
	} else {
		serve(h3, "127.0.0.1:53", nil, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces",
			"--listen-address=127.0.0.1", "--user=root", "--pid-file=", "--port=53", "--address=/demo.test/192.0.2.1")
	}
	serve(h3, storeAt, append(slow, "OTEL_SERVICE_NAME=store"), "/usr/bin/python3", source("../demo/gateway/app.py"), "8082", "3306", "6379", "53", "10.92.3.2")
	if o.redis {
		s.links = serve(s.hub, hubAt+":6390", nil, "redis-server", append(redis, "--port", "6390", "--bind", hubAt)...)
	}

	jaegerOTLP := ""
	if bin := os.Getenv(rig.JaegerEnv); bin != "" {
		jaegerOTLP = s.startJaeger(bin, dir)
	}
	for g := range o.gateways {
		file := filepath.Join(dir, fmt.Sprintf("spans-%d.json", g))
		s.files = append(s.files, file)
		s.gates = append(s.gates, s.collector(s.hub, bin, sub(fmt.Sprint("gateway", g)), o.gateway(g, jaegerOTLP, file)))
	}
	for i := 1; i <= 3; i++ {
		s.agents = append(s.agents, s.collector(s.host[i], bin, sub(fmt.Sprint("agent", i)), s.agent(t, i, &o)))
	}

	env := append(slow, "OTEL_SERVICE_NAME=shop")
	if o.sdk {
		env = append(env, fmt.Sprintf("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:%d", sdkPort))
		serve(h2, shopAt, env, buildShop(t), shopAt, "http://"+storeAt, cacheAt)
	} else {
		args := []string{source("shop.py")}
		for _, a := range []string{shopAt, storeAt, cacheAt} {
			host, port, _ := strings.Cut(a, ":")
			args = append(args, host, port)
		}
		serve(h2, shopAt, env, "/usr/bin/python3", args...)
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, nginxAt, shopAt), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(h1, nginxAt, nil, "nginx", "-p", dir, "-c", conf, "-e", "stderr")
	return s
}

// slowFile is the file that makes a program slow while it is there.
func (s *system) slowFile(what string) string { return filepath.Join(s.dir, "slow-"+what) }

// buildShop compiles the service of the middle: a module of its own.
func buildShop(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "shop")
	c := exec.Command("go", "build", "-C", "shop", "-o", bin, ".")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

const around = `
extensions: {health_check: {endpoint: "127.0.0.1:%[1]d"}}
service:
  extensions: [health_check]
  telemetry:
    logs: {level: warn}
    metrics: {level: detailed, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %[2]d, without_type_suffix: true, without_units: true, without_scope_info: true}}}}]}
`

// collector runs the distribution in a namespace; its health check and metrics
// are on ports of loopback there, by their number in s.
func (s *system) collector(ns rig.NetNS, bin, dir, config string) *rig.Process {
	s.t.Helper()
	port := healthPort
	if ns == s.hub {
		port += 10 * len(s.gates)
	}
	own, more := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "around.yaml")
	for name, text := range map[string]string{own: config, more: fmt.Sprintf(around, port, port+1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	p, err := ns.Start(dir, nil, bin, "--config", own, "--config", more)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = p.Stop()
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", filepath.Base(dir), p.Log().Tail(2000))
		}
	})
	err = p.Until(60*time.Second, func() error {
		_, err := get(ns, fmt.Sprintf("http://127.0.0.1:%d/", port))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func get(ns rig.NetNS, url string) ([]byte, error) { return getBy(ns.Client(0), url) }

func getBy(client *http.Client, url string) ([]byte, error) {
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.200s", url, resp.Status, b)
	}
	return b, err
}

func (s *system) startJaeger(bin, dir string) (otlp string) {
	s.t.Helper()
	conf := filepath.Join(dir, "jaeger.yaml")
	if err := os.WriteFile(conf, []byte(rig.JaegerConfig(16686, 16685, 4317)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p, err := s.hub.Start(dir, nil, bin, "--config", conf)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	err = p.Until(60*time.Second, func() error {
		_, err := get(s.hub, "http://127.0.0.1:16686/api/v3/services")
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.jaeger = "http://127.0.0.1:16686"
	return "127.0.0.1:4317"
}

// ask sends n requests, atOnce at once, numbered from first on.
func (s *system) ask(first, n, atOnce int) {
	s.t.Helper()
	client := s.client.Client(atOnce)
	defer client.CloseIdleConnections()
	var next, failed atomic.Int64
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				url := fmt.Sprintf("http://%s/orders/%d", front, first+int(i))
				resp, err := client.Get(url)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if (err != nil || resp.StatusCode != http.StatusOK) && failed.Add(1) == 1 {
					s.t.Errorf("GET %s: %v %v", url, resp, err)
				}
			}
		})
	}
	wait.Wait()
	if f := failed.Load(); f > 0 {
		s.t.Fatalf("%d of %d requests failed", f, n)
	}
}

// traces waits until everything has settled, ends the collectors, and gives
// what Jaeger has, or without one the gateways' files.
func (s *system) traces() []*demo.Trace {
	s.t.Helper()
	wait := time.Second + s.o.settle
	if s.o.redis {
		wait += s.o.settle
	}
	time.Sleep(wait)
	began := time.Now()
	if err := rig.Until(60*time.Second, s.arrived); err != nil {
		s.t.Log(err)
	} else if d := time.Since(began); d > time.Second {
		s.t.Logf("the last spans came to the gateways, and left them, %v later than on an idle machine", d.Round(time.Millisecond))
	}
	s.counted = s.losses()
	for _, p := range append(s.agents, s.gates...) {
		if err := p.Stop(); err != nil {
			s.t.Error(err)
		}
	}
	var all []ptrace.Traces
	for _, f := range s.files {
		tds, err := demo.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
		all = append(all, tds...)
	}
	if s.jaeger == "" {
		return demo.Traces(all)
	}
	return s.ofJaeger(all)
}

// arrived tells if what agents sent is not with the gateways yet, or not sent on:
// an exporter that is stopped gives up what it has, and on a machine that has
// other things to do that is a lot.
func (s *system) arrived() error {
	var sent, came, gone float64
	s.late = 0
	for i := 1; i <= 3; i++ {
		sent += s.metric(s.host[i], "otelcol_exporter_sent_spans", `exporter="loadbalancing"`)
	}
	for g := range s.gates {
		b, err := get(s.hub, s.metrics(g))
		if err != nil {
			return err
		}
		of := func(what string, labels ...string) float64 {
			return rig.Sum(b, "otelcol_processor_tracecompletion_spans_"+what, labels...)
		}
		// What was sent twice, because the answer took too long, comes twice.
		came += of("received") - of("dropped", `reason="duplicate"`)
		s.late += of("late")
		gone += of("sent") + of("dropped") - of("dropped", `reason="duplicate"`)
	}
	if came < sent || gone < came {
		return fmt.Errorf("of %.0f spans that agents sent %.0f came to gateways, %.0f left them", sent, came, gone)
	}
	return nil
}

func count(all []ptrace.Traces) (n int) {
	for _, td := range all {
		n += td.SpanCount()
	}
	return n
}

// ofJaeger asks Jaeger for the traces that were sent to it, one by one.
func (s *system) ofJaeger(sent []ptrace.Traces) []*demo.Trace {
	s.t.Helper()
	want := map[string]int{}
	for _, t := range demo.Traces(sent) {
		want[t.ID.String()] = len(t.Spans)
	}
	client := s.hub.Client(4)
	defer client.CloseIdleConnections()
	var all []ptrace.Traces
	for id, spans := range want {
		var tds []ptrace.Traces
		err := rig.Until(30*time.Second, func() error {
			b, err := getBy(client, s.jaeger+"/api/v3/traces/"+id)
			if err != nil {
				return err
			}
			if tds, err = envelopes(b); err != nil {
				return err
			}
			if n := count(tds); n < spans {
				return fmt.Errorf("%d of %d spans", n, spans)
			}
			return nil
		})
		if err != nil {
			s.t.Fatalf("jaeger, trace %s: %v", id, err)
		}
		all = append(all, tds...)
	}
	return demo.Traces(all)
}

// envelopes takes OTLP JSON out of {"result": ...}, one after the other.
func envelopes(b []byte) (all []ptrace.Traces, err error) {
	for d := json.NewDecoder(strings.NewReader(string(b))); ; {
		var e struct{ Result json.RawMessage }
		if err := d.Decode(&e); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(e.Result)
		if err != nil {
			return nil, err
		}
		all = append(all, td)
	}
}

// metrics is where the gth collector of a namespace tells of itself.
func (*system) metrics(g int) string {
	return fmt.Sprintf("http://127.0.0.1:%d/metrics", healthPort+1+10*g)
}

// metric sums a counter of the first collector in a namespace.
func (s *system) metric(ns rig.NetNS, name string, labels ...string) float64 {
	s.t.Helper()
	b, err := get(ns, s.metrics(0))
	if err != nil {
		s.t.Fatal(err)
	}
	return rig.Sum(b, name, labels...)
}
