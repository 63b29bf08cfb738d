// Package causality measures which calls the receiver hangs on the right
// request, without any header: real servers of several kinds are driven by a
// load whose requests carry nonces through all their calls, in a place that the
// tracker does not look at, and the links are compared with the nonces.
package causality

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/test/rig"
)

// requestsEnv is how many requests each case gets at each concurrency.
const requestsEnv = "HOPSCOPE_CAUSALITY_REQUESTS"

const defaultRequests = 400

// minPrecision is what every case must reach at every concurrency.
const minPrecision = 0.999

// server is one way to serve requests and make calls.
type server struct {
	name  string
	needs []string
	// with is what it is built with, where that depends on the machine, and why it
	// is not what it should be.
	with func() (string, error)
	// start runs it on port; it calls backend and more: Redis, a database.
	start func(dir string, port, backend int, more ...int) (*rig.Server, error)
	// database: it calls MySQL too.
	database bool
	// close: one request a connection.
	close bool
	// paths is how many paths are asked for, with the nonce in a header; 0: each
	// request has a path of its own, which is its nonce.
	paths int
	// more is more of the receiver's configuration.
	more string
	// recall wanted at concurrency 64; at 1 it is 1. 0: none is.
	recall float64
}

func python(file string, more ...string) func(string, int, int, ...int) (*rig.Server, error) {
	return func(_ string, port, backend int, others ...int) (*rig.Server, error) {
		args := []string{filepath.Join("servers", file), fmt.Sprint(port), fmt.Sprint(backend)}
		for _, p := range others {
			args = append(args, fmt.Sprint(p))
		}
		args = append(args, more...)
		return rig.Serve(port, "/usr/bin/python3", args...)
	}
}

// gunicorn runs workers that serve one connection each, as it does by default.
func gunicorn(_ string, port, backend int, more ...int) (*rig.Server, error) {
	return rig.Serve(port, "env", fmt.Sprintf("UPSTREAMS=%d %d", backend, more[0]), "gunicorn", "--chdir", "servers", "--workers", "4",
		"--backlog", "512", "--bind", fmt.Sprintf("127.0.0.1:%d", port), "wsgi:application")
}

func nginx(keepalive string, more ...string) func(string, int, int, ...int) (*rig.Server, error) {
	return func(dir string, port, backend int, _ ...int) (*rig.Server, error) {
		conf := filepath.Join(dir, "proxy.conf")
		text := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/proxy.pid; error_log stderr;
events { worker_connections 2048; }
http { access_log off; keepalive_requests 1000000;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream up { server 127.0.0.1:%[3]d; %[4]s }
  server { listen 127.0.0.1:%[2]d; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; %[5]s } } }
`, dir, port, backend, keepalive, strings.Join(more, " "))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return rig.Serve(port, "nginx", "-p", dir, "-c", conf, "-e", "stderr")
	}
}

func haproxy(dir string, port, backend int, _ ...int) (*rig.Server, error) {
	conf := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf("global\n maxconn 4096\n nbthread 1\ndefaults\n mode http\n timeout client 20s\n timeout server 20s\n timeout connect 5s\nlisten l\n bind 127.0.0.1:%d\n server s 127.0.0.1:%d\n", port, backend)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return rig.Serve(port, "haproxy", "-db", "-f", conf)
}

func goServer(_ string, port, backend int, more ...int) (*rig.Server, error) {
	return rig.Serve(port, goapp, "server", fmt.Sprint(port), fmt.Sprint(backend), fmt.Sprint(more[0]))
}

func node(_ string, port, backend int, _ ...int) (*rig.Server, error) {
	modules, _ := express()
	framework, _ := nodeWith()
	return rig.Serve(port, "env", "NODE_PATH="+modules, "node", filepath.Join("servers", "app.js"), fmt.Sprint(port), fmt.Sprint(backend), framework)
}

// installTime is how long npm may take to fetch express.
const installTime = 30 * time.Second

// express is the folder that Node finds it in.
var express = sync.OnceValues(func() (string, error) {
	return rig.NodeModules(context.Background(), filepath.Join("servers", "express"), installTime)
})

// nodeWith is what the server of Node is built with: where npm cannot fetch
// express, with what Node has of its own.
func nodeWith() (string, error) {
	if _, err := express(); err != nil {
		return "http", err
	}
	return "express", nil
}

// goapp is the path of the built Go servers.
var goapp string

var servers = []server{
	{name: "threads, blocking, MySQL and Redis (Python)", needs: []string{"/usr/bin/python3", "mariadbd"}, start: python("sql.py"), database: true, recall: 0.99},
	{name: "threads, blocking (Python)", needs: []string{"/usr/bin/python3"}, start: python("threads.py"), recall: 0.99},
	{name: "pre-fork (Python)", needs: []string{"/usr/bin/python3"}, start: python("prefork.py"), close: true, recall: 0.99},
	{name: "gunicorn", needs: []string{"gunicorn"}, start: gunicorn, close: true, recall: 0.99},
	{name: "pool behind a queue (Python)", needs: []string{"/usr/bin/python3"}, start: python("pool.py")},
	{name: "asyncio, 100 connections", needs: []string{"/usr/bin/python3"}, start: python("aio.py", "100")},
	{name: "asyncio, 4 connections", needs: []string{"/usr/bin/python3"}, start: python("aio.py", "4")},
	{name: "Node, parallel calls", needs: []string{"node"}, with: nodeWith, start: node},
	{name: "nginx, upstream keep-alive", needs: []string{"nginx"}, start: nginx("keepalive 256;"), recall: 0.95},
	{name: "nginx, upstream keep-alive, 3 paths", needs: []string{"nginx"}, start: nginx("keepalive 256;"), paths: 3, recall: 0.95},
	{name: "nginx, new connections", needs: []string{"nginx"}, start: nginx(""), recall: 0.95},
	{name: "nginx, its own X-Request-ID", needs: []string{"nginx"}, start: nginx("keepalive 256;", "proxy_set_header X-Request-ID $request_id; add_header X-Request-ID $request_id;"), recall: 0.95},
	{name: "HAProxy", needs: []string{"haproxy"}, start: haproxy, recall: 0.99},
	{name: "HAProxy, 100 paths", needs: []string{"haproxy"}, start: haproxy, paths: 100},
	{name: "Go net/http", start: goServer},
	{name: "Go net/http, uprobes", start: goServer, more: "golang: {uprobes: auto}", recall: 0.99},
}

func TestCausality(t *testing.T) {
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the collector could not load BPF programs")
	}
	if err := rig.Missing("redis-server"); err != nil {
		t.Skip(err)
	}
	goapp = filepath.Join(t.TempDir(), "goapp")
	if out, err := exec.Command("go", "build", "-o", goapp, "./servers/goapp").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	requests := defaultRequests
	if s := os.Getenv(requestsEnv); s != "" {
		if requests, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	redis, err := rig.Redis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Kill()
	ups := upstreams{redis: redis.Port}
	if rig.Missing("mariadbd") == nil {
		db, err := rig.MariaDB(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Kill()
		ups.database = db.Port
	}
	backPort := port(t)
	backend, err := rig.Serve(backPort, goapp, "backend", fmt.Sprint(backPort))
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Kill()
	ups.backend = backend.Port
	var rows []row
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			if err := rig.Missing(s.needs...); err != nil {
				t.Skip(err)
			}
			name := s.name
			if s.with != nil {
				what, err := s.with()
				if err != nil {
					t.Log(err)
				}
				name += " (" + what + ")"
			}
			this := row{name: name, results: map[int]result{}}
			for _, c := range concurrencies {
				n := requests
				if c == 1 {
					n /= 2
				}
				r := measure(t, bin, s, ups, c, n)
				this.results[c] = r
				if r.precision() < minPrecision {
					t.Errorf("at %d: %d of %d links are wrong", c, r.wrong, r.right+r.wrong)
				}
				if want := s.recall; c == 1 && r.recall() < 1 || c == 64 && r.recall() < want {
					t.Errorf("at %d: recall %.4f, %d of %d calls linked", c, r.recall(), r.right, r.calls)
				}
			}
			rows = append(rows, this)
		})
	}
	text := table(rows)
	t.Logf("links against nonces\n%s", text)
	if page := os.Getenv(pageEnv); page != "" {
		if t.Failed() || len(rows) < len(servers) {
			t.Fatalf("%s is left as it is: %d of %d servers were measured, or some not well", page, len(rows), len(servers))
		}
		if err := intoPage(page, text); err != nil {
			t.Fatal(err)
		}
	}
}

func port(t *testing.T) int {
	p, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// upstreams are the ports of what the servers call.
type upstreams struct{ backend, redis, database int }

type result struct {
	calls, right, wrong int
	evidence            map[string]int
}

func (r result) recall() float64 { return float64(r.right) / float64(max(1, r.calls)) }

func (r result) precision() float64 {
	if r.right+r.wrong == 0 {
		return math.NaN()
	}
	return float64(r.right) / float64(r.right+r.wrong)
}

const config = `
receivers:
  ebpf:
    keep_literals: true
    headers: {capture_request: [x-nonce]}
    %s
    sockets:
      include: {ports: %s}
exporters:
  file: {path: %q, flush_interval: 50ms}
service:
  pipelines:
    traces: {receivers: [ebpf], exporters: [file]}
`

// measure runs one server under a load and scores the links of its calls.
func measure(t *testing.T, bin string, s server, ups upstreams, concurrency, requests int) result {
	dir := t.TempDir()
	front := port(t)
	ports := []int{front, ups.backend, ups.redis}
	if s.database {
		ports = append(ports, ups.database)
	}
	srv, err := s.start(dir, front, ports[1], ports[2:]...)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Kill()
	out := filepath.Join(dir, "spans.json")
	c, err := rig.StartCollector(bin, dir, fmt.Sprintf(config, s.more, strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), out))
	if err != nil {
		t.Fatal(err)
	}
	// What the collector learns of a process it has learned by now.
	load(t, s, srv.URL("/warm/w"), concurrency, 2*concurrency)
	time.Sleep(500 * time.Millisecond)
	load(t, s, srv.URL("/in/"), concurrency, requests)
	time.Sleep(300 * time.Millisecond) // answers on their way to the collector
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	r := score(t, out, front, map[int64]bool{int64(ups.backend): true, int64(ups.redis): true, int64(ups.database): s.database})
	if r.calls < requests {
		t.Errorf("at %d: %d calls seen of %d requests", concurrency, r.calls, requests)
	}
	t.Logf("%d at once: %d calls, right %d, wrong %d, evidence %v", concurrency, r.calls, r.right, r.wrong, r.evidence)
	return r
}

// load sends requests with nonces, so many at once, and checks the answers.
func load(t *testing.T, s server, url string, concurrency, requests int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, DisableKeepAlives: s.close}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	next := make(chan int)
	var wait sync.WaitGroup
	for range concurrency {
		wait.Go(func() {
			for i := range next {
				nonce := fmt.Sprintf("n%dx", i)
				req, err := http.NewRequest(http.MethodGet, url+nonce, nil)
				if err != nil {
					t.Error(err)
					continue
				}
				if s.paths > 0 {
					req.URL.Path = fmt.Sprintf("/p%d", i%s.paths)
					req.Header.Set("X-Nonce", path.Base(url+nonce))
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					continue
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if !bytes.Contains(b, []byte(nonce)) {
					t.Errorf("%s answered %q", nonce, b)
				}
			}
		})
	}
	for i := range requests {
		next <- i
	}
	close(next)
	wait.Wait()
}

// nonces leaves out those of warming up, which begin with w.
var nonces = regexp.MustCompile(`\bn\d+x`)

// score compares each call's parent with the request of the same nonce.
func score(t *testing.T, file string, front int, upstream map[int64]bool) result {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type call struct {
		nonce, evidence string
		parent          pcommon.SpanID
	}
	var calls []call
	requests := map[pcommon.SpanID]string{}
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					str := func(k string) string {
						if v, ok := s.Attributes().Get(k); ok {
							return v.AsString()
						}
						return ""
					}
					nonce := nonces.FindString(str("http.request.header.x-nonce") + " " + str("url.path") + " " + str("db.query.text"))
					server, ok := s.Attributes().Get(semconv.ServerPort)
					if !ok {
						continue
					}
					switch point := str(semconv.CapturePoint); {
					case nonce == "":
					case point == "s-p" && server.Int() == int64(front):
						requests[s.SpanID()] = nonce
					case point == "c-p" && upstream[server.Int()]:
						calls = append(calls, call{nonce, str(semconv.LinkEvidence), s.ParentSpanID()})
					}
				}
			}
		}
	}
	res := result{calls: len(calls), evidence: map[string]int{}}
	for _, c := range calls {
		switch {
		case c.parent.IsEmpty():
		case requests[c.parent] == c.nonce:
			res.right++
			res.evidence[c.evidence]++
		default:
			res.wrong++
			res.evidence["wrong by "+c.evidence]++
		}
	}
	return res
}
