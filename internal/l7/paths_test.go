package l7

import (
	"regexp"
	"strings"
	"testing"
)

// TestRoute: what looks like an id is replaced, words stay, the user's patterns
// come first, and a route has an end.
func TestRoute(t *testing.T) {
	p := &Paths{Patterns: []PathPattern{
		{regexp.MustCompile(`^/u/[^/]+$`), "/u/{name}"},
		{regexp.MustCompile(`^/u/`), "/u/*"},
	}}
	for path, want := range map[string]string{
		"/":                 "/",
		"":                  "",
		"*":                 "*",
		"/orders":           "/orders",
		"/orders/4711":      "/orders/{id}",
		"/orders/4711/":     "/orders/{id}/",
		"/orders/4711/item": "/orders/{id}/item",
		"/a/2cf24dba-5fb0-4c6b-8b1e-1a2b3c4d5e6f": "/a/{id}",
		"/a/da39a3ee5e6b4b0d3255bfef95601890":     "/a/{id}",
		"/a/2024-05-01/report":                    "/a/{id}/report",
		"/v1/users":                               "/v1/users",
		"/api/v2/oauth2/token":                    "/api/v2/oauth2/token",
		"/a/" + strings.Repeat("x", 41):           "/a/{id}",
		"/a/b/c/d/e/f/g/h/i/j":                    "/a/b/c/d/e/f/g/h/*",
		"/a/" + strings.Repeat("/word", 100):      "/a//word/word/word/word/word/word/*",
		"/u/jo":                                   "/u/{name}",
		"/u/jo/4711":                              "/u/*",
	} {
		if got := p.Route(new(Text), path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	if got := (&Paths{MaxSegments: 2}).Route(new(Text), "/a/1/c/d"); got != "/a/{id}/*" {
		t.Errorf("two segments: %q", got)
	}
	if got := (*Paths)(nil).Route(new(Text), "/a/1"); got != "/a/{id}" {
		t.Errorf("without settings: %q", got)
	}
	words := strings.Repeat("/"+strings.Repeat("w", 39), 8)
	if got := p.Route(new(Text), words); len(got) > maxRoute || !strings.HasSuffix(got, "/*") || !strings.HasPrefix(words, strings.TrimSuffix(got, "/*")) {
		t.Errorf("long words: %q", got)
	}
}
