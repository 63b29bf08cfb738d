package l7test

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

// DetectMatrix shows every protocol the first chunk of each direction of every
// other protocol's cases, whole and cut, and fails for each false claim. It
// runs in a package beside the protocols' folders.
func DetectMatrix(t *testing.T, protocols []*l7.Protocol) {
	for _, owner := range protocols {
		folder := owner.Folder
		if folder == "" {
			folder = owner.Name
		}
		cases, err := Load(Dir(folder))
		if err != nil {
			t.Fatal(err)
		}
		if len(cases) == 0 {
			t.Errorf("%s: no cases in %s", owner.Name, Dir(folder))
		}
		for _, c := range cases {
			if c.Midstream {
				continue // may start anywhere: claims are a matter of luck
			}
			for _, ch := range c.first() {
				for _, p := range protocols {
					// A weak protocol is asked on its own ports only.
					if p == owner || p.Weak || p.Transport&transport(c, owner) == 0 {
						continue
					}
					if v := p.Detect(ch.B); v >= l7.Request {
						t.Errorf("%s claims %s/%s: %.60q", p.Name, owner.Name, c.Name, ch.B)
					}
				}
				if v := owner.Detect(ch.B); v == l7.Request && ch.Side == l7.Server || v == l7.Response && ch.Side == l7.Client {
					t.Errorf("%s takes its own %s for the other side's: %.60q", owner.Name, ch.Side, ch.B)
				}
			}
		}
	}
}

func transport(c *Case, p *l7.Protocol) l7.Transport {
	if c.UDP {
		return l7.UDP
	}
	if p.Transport == l7.UDP {
		return l7.UDP
	}
	return l7.TCP
}

// first is the first chunk of each direction.
func (c *Case) first() []Chunk {
	var out []Chunk
	var seen [2]bool
	for _, ch := range c.Chunks {
		if !seen[ch.Side] && len(ch.B) > 0 {
			seen[ch.Side] = true
			out = append(out, ch)
		}
	}
	return out
}
