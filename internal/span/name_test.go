package span

import (
	"fmt"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
)

func TestName(t *testing.T) {
	var n names
	for _, c := range []struct{ name, op, route, want string }{
		{"", "GET", "/orders/{id}", "GET /orders/{id}"},
		{"", "GET", "", "GET"},
		{"", "", "orders", "orders"},
		{"DNS A", "A", "", "DNS A"},
		{"", "", "", "http"},
	} {
		x := &session.Exchange{Protocol: httpProto}
		x.Req.Msg = l7.Message{Name: c.name, Op: c.op, Route: c.route}
		if got := new(place).name(x, &n); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	// Routes that are no routes must not fill the memory.
	for i := range 3 * maxNames {
		x := &session.Exchange{Protocol: httpProto}
		x.Req.Msg = l7.Message{Op: "GET", Route: fmt.Sprint("/", i)}
		if got := new(place).name(x, &n); got != fmt.Sprint("GET /", i) || len(n.of2) > maxNames {
			t.Fatalf("%q, %d remembered", got, len(n.of2))
		}
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
