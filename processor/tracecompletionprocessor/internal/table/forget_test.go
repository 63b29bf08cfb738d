package table

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForget: of spans that are forgotten nothing stays behind.
func TestForget(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "----\n")
		g := parseGolden(t, head)
		tab := New(g.cfg)
		var nodes []*Node
		for _, n := range g.nodes {
			m := *n
			if tab.Add(&m) {
				nodes = append(nodes, &m)
			}
		}
		for _, n := range nodes {
			tab.Settle(n)
		}
		for _, n := range nodes {
			tab.Decide(n)
		}
		for _, n := range nodes {
			tab.Forget(n)
		}
		for name, n := range map[string]int{
			"hops": len(tab.hops), "apps": len(tab.apps), "servers": len(tab.servers), "byLID": len(tab.byLID), "byXID": len(tab.byXID),
			"traces": len(tab.traces), "carriers": len(tab.carriers), "waiting": len(tab.waiting), "request": len(tab.request),
			"syscall": len(tab.syscall), "remote": len(tab.remote),
		} {
			if n != 0 {
				t.Errorf("%s: %d left in %s", filepath.Base(f), n, name)
			}
		}
	}
}
