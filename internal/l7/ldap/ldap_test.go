package ldap

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func BenchmarkSearch(b *testing.B) {
	cases, err := l7test.Load("testdata")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range cases {
		if c.Name != "search" {
			continue
		}
		p, m := Protocol.New(l7.DefaultOptions()), l7.Message{Text: &l7.Text{}}
		b.ReportAllocs()
		for b.Loop() {
			m.Reset()
			if n, err := p.Parse(l7.Client, l7.Window{B: c.Chunks[2].B}, &m); n == 0 {
				b.Fatal(err)
			}
		}
	}
}
