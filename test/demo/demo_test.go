package demo

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hopscope/hopscope/test/rig"
)

// order is the number in the path, statement or key of a span.
func order(s *Span) string {
	for _, key := range []string{"url.path", "db.query.text"} {
		_, n, ok := strings.Cut(s.Str(key), "order")
		if n = strings.TrimLeft(n, "s/: "); ok && n != "" {
			end := strings.IndexFunc(n, func(r rune) bool { return r < '0' || r > '9' })
			if end < 0 {
				end = len(n)
			}
			return n[:end]
		}
	}
	return ""
}

// TestGateway: each request is one trace, with everything that it led to and
// nothing of another request.
func TestGateway(t *testing.T) {
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the collector could not load BPF programs")
	}
	if err := rig.Missing(Needs...); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	s, err := Gateway(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	// Client, nginx and Python; the database's and the others' own ends.
	whole(t, bin, dir, s, "s-p nginx", "c-p nginx", "s-p python3", "c-p python3", "s-p mariadbd", "s-p redis-server", "s-p dnsmasq", "DNS A")
}

// TestShop: the same for services in three languages, over HTTP and gRPC.
func TestShop(t *testing.T) {
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the collector could not load BPF programs")
	}
	if err := rig.Missing(ShopNeeds...); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	s, err := Shop(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	whole(t, bin, dir, s, "s-p shop GET /orders/{id}", "c-p shop GET /stock/order/{id}", "s-p python3", "c-p python3", "s-p redis-server SET", "c-p shop demo.Prices/Get",
		"s-p shop demo.Prices/Get", "c-p shop GET /tax/order/{id}", "s-p tax GET", "c-p tax GET", "s-p redis-server GET")
}

// whole sends requests and wants each to be one trace that has all parts.
func whole(t *testing.T, bin, dir string, s *System, parts ...string) {
	const requests, atOnce = 60, 4
	traces, err := Watch(bin, dir, s, func() error {
		// nginx shows what it is over the first twenty calls or so; they are not
		// looked at.
		for i := range 40 {
			if err := Ask(fmt.Sprintf("%s%d", s.Front, 100+i)); err != nil {
				return err
			}
		}
		next := make(chan int)
		var wait sync.WaitGroup
		for range atOnce {
			wait.Go(func() {
				for i := range next {
					if err := Ask(fmt.Sprintf("%s%d", s.Front, 5000+i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range requests {
			next <- i
		}
		close(next)
		wait.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, tr := range traces {
		if len(tr.Roots) == 0 || order(tr.Roots[0]) < "5000" || len(order(tr.Roots[0])) != 4 {
			continue
		}
		want := order(tr.Roots[0])
		for _, sp := range tr.Spans {
			if o := order(sp); o != "" && o != want {
				t.Errorf("order %s has a span of order %s: %s", want, o, sp.Name())
			}
		}
		shape := tr.Shape()
		if len(tr.Roots) != 1 || len(tr.Lost) != 0 {
			t.Errorf("order %s: %d roots, %d without their parent\n%s", want, len(tr.Roots), len(tr.Lost), shape)
			continue
		}
		missing := ""
		for _, part := range parts {
			if !strings.Contains(shape, part) {
				missing = part
			}
		}
		if missing == "" {
			n++
		} else {
			t.Logf("not whole, without %s:\n%s", missing, shape)
		}
	}
	t.Logf("%d of %d requests are one whole trace", n, requests)
	if n < requests {
		t.Errorf("%d of %d requests are one whole trace", n, requests)
	}
}
