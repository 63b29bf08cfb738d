// Package pinpoint runs a shop of two applications with Pinpoint's own agent for
// Node.js, Redis and MariaDB, and wants what the agents report as whole traces,
// sent to Hopscope, sniffed, and together with what Hopscope sees itself.
package pinpoint

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/demo"
	"github.com/hopscope/hopscope/test/rig"
)

// installTime is how long npm may take to fetch the agent and what it traces.
const installTime = 90 * time.Second

// modules is a folder with shop.js and its node_modules; where they cannot be
// fetched the test is skipped.
func modules(t *testing.T) string {
	t.Helper()
	fetched, err := rig.NodeModules(t.Context(), "shop", installTime)
	if err != nil {
		t.Skip(err)
	}
	js, err := os.ReadFile("shop/shop.js")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "shop.js"), js, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fetched, filepath.Join(home, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return home
}

// needs are the programs of the shop besides node.
func needs(t *testing.T) string {
	t.Helper()
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	if err := rig.Missing("redis-server", "mariadbd"); err != nil {
		t.Skip(err)
	}
	return bin
}

// ports are where agents report to.
type ports struct{ agent, stat, span int }

func freePorts(t *testing.T) (p ports) {
	t.Helper()
	for _, to := range []*int{&p.agent, &p.stat, &p.span} {
		var err error
		if *to, err = rig.Port(); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// endpoints are the pinpoint receiver's for p.
func (p ports) endpoints(ip string) string {
	return fmt.Sprintf("{agent: {endpoint: '%[1]s:%[2]d'}, stat: {endpoint: '%[1]s:%[3]d'}, span: {endpoint: '%[1]s:%[4]d'}}", ip, p.agent, p.stat, p.span)
}

// shop is the two applications and what they use.
type shop struct {
	front, back, redis, db *rig.Server
	frontIP                string
}

const (
	frontApp = "shop-front"
	backApp  = "shop-back"
)

// open starts the shop; its agents report to to. The front is in the network
// namespace ns, if that is not empty, whose end of the cable is frontIP, ours
// backIP.
func open(t *testing.T, to ports, ns, frontIP, backIP string) *shop {
	t.Helper()
	home := modules(t)
	s := &shop{frontIP: frontIP}
	serve := func(srv *rig.Server, err error) *rig.Server {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Stop() })
		return srv
	}
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	bind := []string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1"}
	if backIP != "127.0.0.1" {
		bind = append(bind, backIP, "--protected-mode", "no")
	}
	s.redis = serve(rig.Serve(port, "redis-server", append(bind, "--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--daemonize", "no", "--loglevel", "warning")...))
	s.db = serve(rig.MariaDB(t.TempDir()))
	s.back = serve(node(home, backApp, "", backIP, backIP, to, "REDIS="+s.redis.Addr(), "MYSQL="+s.db.Addr()))
	s.front = serve(node(home, frontApp, ns, frontIP, backIP, to, fmt.Sprintf("REDIS=%s:%d", backIP, port), fmt.Sprintf("NEXT=http://%s:%d", backIP, s.back.Port)))
	return s
}

// node starts one application with an agent that reports to ports of collector.
func node(home, name, ns, ip, collector string, to ports, env ...string) (*rig.Server, error) {
	port, err := rig.Port()
	if err != nil {
		return nil, err
	}
	env = append(env, fmt.Sprintf("PORT=%d", port), "HOST="+ip, "PINPOINT_AGENT_ID="+name+"-1", "PINPOINT_APPLICATION_NAME="+name, "PINPOINT_SAMPLING_RATE=1",
		"PINPOINT_COLLECTOR_IP="+collector, fmt.Sprintf("PINPOINT_COLLECTOR_TCP_PORT=%d", to.agent),
		fmt.Sprintf("PINPOINT_COLLECTOR_STAT_PORT=%d", to.stat), fmt.Sprintf("PINPOINT_COLLECTOR_SPAN_PORT=%d", to.span))
	cmd := []string{"node", "shop.js"}
	if ns != "" {
		cmd = append([]string{"ip", "netns", "exec", ns}, cmd...)
	}
	p, err := rig.StartIn(home, env, cmd[0], cmd[1:]...)
	if err != nil {
		return nil, err
	}
	ready := func() error {
		_, err := rig.Get(context.Background(), fmt.Sprintf("http://%s:%d/ready", ip, port))
		return err
	}
	if err := p.Until(30*time.Second, ready); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: %w\n%s", name, err, p.Log().Tail(2000))
	}
	return &rig.Server{Process: p, Port: port}, nil
}

// ask orders the things from to to, and wants them.
func (s *shop) ask(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		b, err := rig.Get(t.Context(), fmt.Sprintf("http://%s:%d/order/%d", s.frontIP, s.front.Port, i))
		if err != nil || !bytes.HasPrefix(b, fmt.Appendf(nil, "order %d: %d ", i, i+40)) {
			t.Fatalf("order %d: %q, %v\n%s\n%s", i, b, err, s.front.Log().Tail(1000), s.back.Log().Tail(1000))
		}
	}
}

// orders are the traces that came of orders, by number.
func orders(t *testing.T, path string) map[string]*demo.Trace {
	t.Helper()
	traces, err := demo.Read(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	out := map[string]*demo.Trace{}
	for _, tr := range traces {
		for _, s := range tr.Spans {
			if n, ok := strings.CutPrefix(s.Str("url.path"), "/order/"); ok && s.Str("hopscope.signal.source") == "pinpoint" {
				if out[n] != nil && out[n] != tr {
					t.Errorf("order %s is in two traces", n)
				}
				out[n] = tr
			}
		}
	}
	return out
}

// shape is a trace as a tree: capture point or service, name; children by name.
func shape(tr *demo.Trace) string {
	line := func(s *demo.Span) string {
		place := s.Str("hopscope.capture.point")
		if place == "" {
			place = s.Str("service.name")
		}
		return place + " " + s.Name()
	}
	var b strings.Builder
	var one func(s *demo.Span, depth int)
	one = func(s *demo.Span, depth int) {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("  ", depth), line(s))
		children := slices.Clone(s.Children)
		slices.SortStableFunc(children, func(a, b *demo.Span) int { return strings.Compare(line(a), line(b)) })
		for _, c := range children {
			one(c, depth+1)
		}
	}
	for _, r := range tr.Roots {
		one(r, 0)
	}
	for _, r := range tr.Lost {
		fmt.Fprintf(&b, "lost: %s\n", line(r))
	}
	return b.String()
}
