package kafka

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

// BenchmarkProduce reads a Produce of one record with a traceparent, and its
// answer.
func BenchmarkProduce(b *testing.B) { benchmark(b, "produce", 18) }

// BenchmarkFetch reads a Fetch and the answer of two records.
func BenchmarkFetch(b *testing.B) { benchmark(b, "fetch", 18) }

func benchmark(b *testing.B, name string, at int) {
	cases, err := l7test.Load("testdata")
	if err != nil {
		b.Fatal(err)
	}
	var req, resp []byte
	for _, c := range cases {
		if c.Name == name {
			req, resp = c.Chunks[at].B, c.Chunks[at+1].B
		}
	}
	p := Protocol.New(l7.DefaultOptions())
	m := l7.Message{Text: &l7.Text{}}
	b.SetBytes(int64(len(req) + len(resp)))
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if _, err := p.Parse(l7.Client, l7.Window{B: req}, &m); err != nil {
			b.Fatal(err)
		}
		m.Reset()
		if _, err := p.Parse(l7.Server, l7.Window{B: resp}, &m); err != nil {
			b.Fatal(err)
		}
	}
}
