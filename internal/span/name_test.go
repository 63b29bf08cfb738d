package span

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

func TestName(t *testing.T) {
	n := newNames(Names{})
	for _, c := range []struct{ name, op, route, want, wantRoute string }{
		{"", "GET", "/orders/{id}", "GET /orders/{id}", "/orders/{id}"},
		{"", "GET", "", "GET", ""},
		{"", "", "orders", "orders", "orders"},
		{"DNS A", "A", "", "DNS A", ""},
		{"ping", "A", "b", "ping", "b"},
		{"", "", "", "http", ""},
	} {
		for range 2 {
			if got, route := new(place).name(exchange(c.name, c.op, c.route, 80), &n); got != c.want || route != c.wantRoute {
				t.Errorf("%+v: %q, route %q", c, got, route)
			}
		}
	}
	if n.limited.Load() != 0 {
		t.Error("something was limited")
	}
}

func exchange(name, op, route string, port uint16) *session.Exchange {
	x := &session.Exchange{Protocol: httpProto, Conn: &stream.Conn{
		A: netip.AddrPortFrom(netip.IPv4Unspecified(), 40000), B: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Role: stream.RoleClient}}
	x.Req.Msg = l7.Message{Name: name, Op: op, Route: route}
	return x
}

// TestNamesLimited: routes that are no routes fill neither the memory nor the
// names of those who group by them, and leave other services alone.
func TestNamesLimited(t *testing.T) {
	n := newNames(Names{PerSegment: 3, PerPort: 5})
	seen := map[string]int{}
	for i := range 3 * maxNames {
		for _, port := range []uint16{80, 81} {
			got, route := new(place).name(exchange("", "GET", fmt.Sprintf("/users/u%d/orders", i), port), &n)
			if got != "GET "+route {
				t.Fatalf("%q, route %q", got, route)
			}
			if port == 80 {
				seen[route]++
			}
		}
	}
	want := map[string]int{"/users/u0/orders": 1, "/users/u1/orders": 1, "/users/u2/orders": 1, "/users/*/orders": 3*maxNames - 3}
	if !maps.Equal(seen, want) {
		t.Errorf("routes: %v, want %v", seen, want)
	}
	if got := n.limited.Load(); got != 2*(3*maxNames-3) {
		t.Errorf("%d spans were limited, want %d", got, 2*(3*maxNames-3))
	}
	if len(n.made) > maxNames || n.segments > 2*(1+2*4) {
		t.Errorf("%d names are remembered, %d segments", len(n.made), n.segments)
	}
	// Names that are no paths: an operation of its own for each.
	clear(seen)
	for i := range 100 {
		got, _ := new(place).name(exchange(fmt.Sprint("call ", i), "", "", 82), &n)
		seen[got]++
	}
	if len(seen) != 6 || seen["*"] != 95 {
		t.Errorf("names: %v", seen)
	}
	clear(seen)
	for i := range 100 {
		got, route := new(place).name(exchange("", "GET", fmt.Sprint("x", i), 83), &n)
		seen[got]++
		if route != fmt.Sprint("x", i) {
			t.Fatalf("route %q", route)
		}
	}
	if len(seen) != 6 || seen["GET *"] != 95 {
		t.Errorf("names: %v", seen)
	}
	for port := range 2 * maxServices {
		new(place).name(exchange("", "GET", "/", uint16(port)), &n)
	}
	if len(n.services) > maxServices+1 {
		t.Errorf("%d services are remembered", len(n.services))
	}
}

func FuzzHostPort(f *testing.F) {
	for _, s := range []string{"shop.example:8080", "[::1]:80", "[::1", "::1", "a:b:c", ":", "x:99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, port := hostPort(s)
		if n := portNumber(port); n < 0 || n > 65535 {
			t.Errorf("%q: port %d", s, n)
		}
	})
}

func TestHostPort(t *testing.T) {
	for s, want := range map[string][2]string{
		"shop.example:8080": {"shop.example", "8080"}, "shop.example": {"shop.example", ""}, "[::1]:80": {"::1", "80"}, "[::1]": {"::1", ""}, "::1": {"::1", ""},
	} {
		if h, p := hostPort(s); h != want[0] || p != want[1] {
			t.Errorf("%s: %q %q", s, h, p)
		}
	}
}
