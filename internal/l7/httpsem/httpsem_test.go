package httpsem

import (
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

func TestTarget(t *testing.T) {
	for _, c := range []struct{ in, path, route, query string }{
		{"/orders/4711?user=bob&flag&x=1", "/orders/4711", "/orders/{id}", "user&flag&x"},
		{"/", "/", "/", ""},
		{"*", "*", "*", ""},
		{"/a?", "/a", "/a", ""},
		{"/a?" + strings.Repeat("z", 100) + "&b=1", "/a", "/a", "b"},
		{"/a?=secret&&c=d", "/a", "/a", "c"},
	} {
		for _, kept := range []bool{true, false} {
			m := l7.Message{Text: &l7.Text{}}
			SetTarget(l7.DefaultOptions(), &m, c.in, kept)
			q := ""
			if len(m.Attrs) > 0 {
				q = m.Attrs[0].Str
			}
			if m.Target != c.path || m.Route != c.route || q != c.query {
				t.Errorf("%s: %q %q %q", c.in, m.Target, m.Route, q)
			}
		}
	}
}

func TestMethod(t *testing.T) {
	m := l7.Message{Text: &l7.Text{}}
	if SetMethod(&m, "PATCH"); m.Op != "PATCH" || len(m.Attrs) != 0 {
		t.Errorf("%+v", m)
	}
	if SetMethod(&m, "get"); m.Op != "_OTHER" || m.Attrs[0].Str != "get" {
		t.Errorf("%+v", m)
	}
}

func TestKeep(t *testing.T) {
	o := l7.DefaultOptions()
	o.RequestHeaders = map[string]bool{"x-a": true, "cookie": true}
	m := l7.Message{Text: &l7.Text{}}
	Keep(o, &m, true, "x-a", "1")
	Keep(o, &m, true, "x-b", "2")
	Keep(o, &m, true, "cookie", "secret")
	Keep(o, &m, false, "x-a", "3")
	if len(m.Attrs) != 2 || m.Attrs[0] != (l7.Attr{Key: "http.request.header.x-a", Str: "1", Kind: l7.AttrList}) || m.Attrs[1].Str != "REDACTED" {
		t.Errorf("%+v", m.Attrs)
	}
}

func TestStatus(t *testing.T) {
	for code, want := range map[int]l7.Status{0: l7.StatusUnset, 101: l7.StatusOK, 304: l7.StatusOK, 404: l7.StatusClientError, 503: l7.StatusServerError} {
		if StatusOf(code) != want {
			t.Errorf("%d: %v", code, StatusOf(code))
		}
	}
}
