package protocols

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

// TestDetectMatrix shows every protocol the beginnings of every other
// protocol's cases: none may claim what is not its own.
func TestDetectMatrix(t *testing.T) { l7test.DetectMatrix(t, All()) }

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		if p.Name == "" || p.Detect == nil || p.New == nil || p.Transport&(l7.TCP|l7.UDP) == 0 {
			t.Errorf("%q: incomplete", p.Name)
		}
		if seen[p.Name] {
			t.Errorf("%q: listed twice", p.Name)
		}
		seen[p.Name] = true
	}
}
