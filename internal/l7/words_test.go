package l7

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestWords: what Word and Routed hand out is what they were given, whatever came
// before, and stays when the bytes are used again; what comes again is one string.
func TestWords(t *testing.T) {
	text, paths := &Text{}, DefaultPaths()
	buf := make([]byte, 0, 2*maxWord)
	type given struct{ got, want string }
	var all []given
	word := func(s string) string {
		buf = append(buf[:0], s...)
		got := text.Word(buf)
		for i := range buf {
			buf[i] = 0xa5
		}
		all = append(all, given{got, s})
		return got
	}
	for i := range 4000 {
		// Of every length, some again and again, some once.
		word(fmt.Sprintf("/orders/%d", i%7))
		word(strings.Repeat("x", i%(maxWord+20)) + strconv.Itoa(i%3))
		word(fmt.Sprintf("id-%d", i))
		s := fmt.Sprintf("/shop/%d/items", i%5)
		buf = append(buf[:0], s...)
		path, route := text.Routed(paths, buf)
		if path != s || route != "/shop/{id}/items" {
			t.Fatalf("%q is %q %q", s, path, route)
		}
	}
	for _, g := range all {
		if g.got != g.want {
			t.Fatalf("got %q, want %q", g.got, g.want)
		}
	}
	text = &Text{} // with no others around
	word("again")
	second := word("again")
	if third := word("again"); unsafe.StringData(second) != unsafe.StringData(third) {
		t.Error("what comes again is copied again")
	}
	if n := testing.AllocsPerRun(100, func() { text.Routed(paths, append(buf[:0], "/a/b/4711"...)) }); n > 0 {
		t.Errorf("%v allocations for a path that comes again", n)
	}
	// Other rules of naming, other routes.
	own := &Paths{MaxSegments: 1}
	for range 3 {
		if _, route := text.Routed(own, append(buf[:0], "/a/b/4711"...)); route != "/a/*" {
			t.Errorf("route %q, want /a/*", route)
		}
		if _, route := text.Routed(paths, append(buf[:0], "/a/b/4711"...)); route != "/a/b/{id}" {
			t.Errorf("route %q, want /a/b/{id}", route)
		}
	}
}

func TestUint(t *testing.T) {
	text := &Text{}
	for p := uint64(1); ; p *= 10 {
		for _, v := range []uint64{p - 1, p, p + 1, 5 * p} {
			if got := text.Uint(v); got != strconv.FormatUint(v, 10) {
				t.Errorf("%d is %s", v, got)
			}
		}
		if p > math.MaxUint64/10 {
			break
		}
	}
	if got := text.Uint(math.MaxUint64); got != "18446744073709551615" {
		t.Errorf("got %s", got)
	}
}
