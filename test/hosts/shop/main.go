// Shop is the service in the middle of the three hosts of this test: plain
// net/http, asked by the gateway, asking the store. With OTEL_EXPORTER_OTLP_ENDPOINT
// set it is instrumented with the OpenTelemetry SDK as its documentation says;
// without, nothing in it knows of tracing.
//
//	shop LISTEN STORE-URL REDIS
//
// GET /orders/N counts N in Redis, which has no instrumentation in either case,
// and fetches STORE-URL/orders/N.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(listen, store, redis string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s := &shop{store: store, cache: newCache(redis, 32), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	var handler http.Handler = s
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		end, err := instrument(ctx)
		if err != nil {
			return err
		}
		defer end()
		handler = otelhttp.NewHandler(s, "orders")
		s.client.Transport = otelhttp.NewTransport(s.client.Transport)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if slow, _ := time.ParseDuration(os.Getenv("SHOP_SLOW_ACCEPT")); slow > 0 {
		l = slowListener{l, slow}
	}
	srv := &http.Server{Handler: handler}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	fmt.Println("ready")
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// instrument sets the SDK up; end sends what is left.
func instrument(ctx context.Context) (end func(), err error) {
	exp, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, err
	}
	res, err := resource.New(ctx, resource.WithFromEnv(), resource.WithHost(), resource.WithProcess(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, err
	}
	tp := trace.NewTracerProvider(trace.WithBatcher(exp, trace.WithBatchTimeout(200*time.Millisecond), trace.WithMaxQueueSize(1<<16)), trace.WithResource(res))
	otel.SetTracerProvider(tp)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = tp.Shutdown(ctx)
	}, nil
}

type shop struct {
	store  string
	cache  *cache
	client *http.Client
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	order := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if err := s.cache.count("shop:" + order); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, s.store+"/orders/"+order, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := s.client.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(b)
}

// cache is as much of a Redis client as INCR needs: a pool of connections, one
// command at a time on each.
type cache struct {
	addr string
	free chan *conn
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func newCache(addr string, size int) *cache {
	c := &cache{addr: addr, free: make(chan *conn, size)}
	for range size {
		c.free <- nil
	}
	return c
}

func (c *cache) count(key string) error {
	k := <-c.free
	defer func() { c.free <- k }()
	if k == nil {
		n, err := net.Dial("tcp", c.addr)
		if err != nil {
			return err
		}
		k = &conn{n, bufio.NewReader(n)}
	}
	err := k.ask(key)
	if err != nil {
		_ = k.Close()
		k = nil
	}
	return err
}

func (k *conn) ask(key string) error {
	if _, err := fmt.Fprintf(k, "*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key); err != nil {
		return err
	}
	line, err := k.r.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, ":") {
		err = fmt.Errorf("redis says %q", line)
	}
	return err
}

// slowListener accepts late: what the kernel has taken waits for the process.
type slowListener struct {
	net.Listener
	late time.Duration
}

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	time.Sleep(l.late)
	return c, err
}
