package pinpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// sentConfig takes what agents send; sniffedConfig takes it from the wire.
const (
	sentConfig = `
receivers:
  pinpoint: {grpc: %s, storage: file_storage}
extensions:
  file_storage: {directory: %s}
exporters:
  file: {path: %s, flush_interval: 100ms, append: true}
  %s
service:
  pipelines:
    traces: {receivers: [pinpoint], exporters: [file%s]}
`
	sniffedConfig = `
receivers:
  pinpoint: {sniff: {interfaces: [lo], ports: [%d, %d, %d]}, storage: file_storage}
extensions:
  file_storage: {directory: %s}
exporters:
  file: {path: %s, flush_interval: 100ms, append: true}
service:
  pipelines:
    traces: {receivers: [pinpoint], exporters: [file]}
`
	withStorage = `
service:
  extensions: [health_check, file_storage]
`
)

// whole is what every order is, as the agents have it.
const whole = `shop-front /order/{id}
  shop-front express.route.GET
    shop-front http.request
      shop-front Asynchronous Invocation
        shop-front GET
          shop-back /stock/{id}
            shop-back express.route.GET
              shop-back redis.GET.call
                shop-back Asynchronous Invocation
                  shop-back redis.GET.end
  shop-front redis.SET.call
    shop-front Asynchronous Invocation
      shop-front redis.SET.end
`

// meanwhile is the first of the orders that are made while the collector is away.
const meanwhile = 900000

// start runs the distribution with a storage.
func start(t *testing.T, bin, config string) *rig.Collector {
	t.Helper()
	c, err := rig.StartCollector(bin, t.TempDir(), config, withStorage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	return c
}

// TestAgent: real agents report to Hopscope, and the same is sniffed by another
// one. Each order is one trace over both applications, every span under its
// parent, before and after a restart of the one they report to; after that of the
// one that listens, which must know from its storage what agents do not say
// again.
func TestAgent(t *testing.T) {
	bin := needs(t)
	modules(t)
	to, dir := freePorts(t), t.TempDir()
	out := map[string]string{"sent": filepath.Join(dir, "sent.json"), "sniffed": filepath.Join(dir, "sniffed.json")}
	store := map[string]string{}
	for name := range out {
		store[name] = filepath.Join(dir, "store-"+name)
		if err := os.Mkdir(store[name], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	jaegerURL, exporter, more := "", "", ""
	if os.Getenv(rig.JaegerEnv) != "" {
		var otlp string
		jaegerURL, otlp = jaeger(t)
		exporter, more = fmt.Sprintf("otlp_grpc: {endpoint: '%s', tls: {insecure: true}}", otlp), ", otlp_grpc"
	}
	sent := fmt.Sprintf(sentConfig, to.endpoints("127.0.0.1"), store["sent"], out["sent"], exporter, more)
	sniffed := fmt.Sprintf(sniffedConfig, to.agent, to.stat, to.span, store["sniffed"], out["sniffed"])

	collector := start(t, bin, sent)
	var listener *rig.Collector
	if os.Geteuid() == 0 {
		listener = start(t, bin, sniffed)
	} else {
		t.Log("not root: nothing is sniffed")
		delete(out, "sniffed")
	}
	s := open(t, to, "", "127.0.0.1", "127.0.0.1")

	n := 0
	// good asks for orders until one has come out everywhere (agents connect when
	// they like), then for more, of which every one must.
	good := func(what string, names ...string) {
		t.Helper()
		began := time.Now()
		for {
			s.ask(t, n, n+1)
			n++
			if err := rig.Until(2*time.Second, func() error { return missing(t, out, names, n-1, n) }); err == nil {
				break
			} else if time.Since(began) > 60*time.Second {
				t.Fatalf("%s: %v\n%s", what, err, s.front.Log().Tail(2000))
			}
		}
		from := n
		n += 20
		s.ask(t, from, n)
		if err := rig.Until(20*time.Second, func() error { return missing(t, out, names, from, n) }); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, name := range names {
			all := orders(t, out[name])
			for i := from; i < n; i++ {
				tr := all[fmt.Sprint(i)]
				if got := shape(tr); got != whole {
					t.Errorf("%s, %s: order %d is\n%s", what, name, i, got)
				}
				for _, sp := range tr.Spans {
					if sp.Str("pinpoint.incomplete") != "" || sp.Str("pinpoint.api_id") != "" {
						t.Errorf("%s, %s: order %d: %s is incomplete, or nameless", what, name, i, sp.Name())
					}
				}
			}
		}
		t.Logf("%s: orders %d to %d, the first one after %s", what, from, n-1, time.Since(began).Round(time.Millisecond))
	}
	both := []string{"sent", "sniffed"}
	if listener == nil {
		both = both[:1]
	}
	good("at first", both...)

	// The collector that agents report to is restarted, in the middle of orders.
	stop := make(chan struct{})
	busy := make(chan error, 1)
	go func() {
		for i := meanwhile; ; i++ {
			select {
			case <-stop:
				busy <- nil
				return
			default:
				if _, err := rig.Get(t.Context(), s.front.URL(fmt.Sprintf("/order/%d", i))); err != nil {
					busy <- err
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	if err := collector.Stop(); err != nil {
		t.Error(err)
	}
	start(t, bin, sent)
	close(stop)
	if err := <-busy; err != nil {
		t.Errorf("an application failed while the collector was away: %v", err)
	}
	good("after a restart of the collector", both...)

	if listener != nil {
		if err := listener.Stop(); err != nil {
			t.Error(err)
		}
		listener = start(t, bin, sniffed)
		good("after a restart of the listener", both...)
		guessed, err := listener.Sum("otelcol_receiver_pinpoint_guessed")
		if err != nil || guessed == 0 {
			t.Errorf("%v messages were placed without their headers (%v): connections were not older than the listener", guessed, err)
		}
	}
	if jaegerURL != "" {
		inJaeger(t, jaegerURL, n-1)
	}
}

// missing tells which of the orders are not whole yet.
func missing(t *testing.T, out map[string]string, names []string, from, to int) error {
	for _, name := range names {
		all := orders(t, out[name])
		for i := from; i < to; i++ {
			tr := all[fmt.Sprint(i)]
			if tr == nil {
				return fmt.Errorf("%s: order %d has no trace", name, i)
			}
			if n := strings.Count(whole, "\n"); len(tr.Spans) < n {
				return fmt.Errorf("%s: order %d has %d of %d spans:\n%s", name, i, len(tr.Spans), n, shape(tr))
			}
		}
	}
	return nil
}
