package cassandra

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func benchChunk(b *testing.B, side l7.Side, i int) {
	cases, err := l7test.Load("testdata")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range cases {
		if c.Name != "statements" {
			continue
		}
		data := c.Chunks[i].B
		p, m := Protocol.New(l7.DefaultOptions()), l7.Message{Text: &l7.Text{}}
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			m.Reset()
			if n, err := p.Parse(side, l7.Window{B: data}, &m); n == 0 {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkQuery(b *testing.B)  { benchChunk(b, l7.Client, 4) }
func BenchmarkResult(b *testing.B) { benchChunk(b, l7.Server, 5) }

func BenchmarkDetectForeign(b *testing.B) {
	head := []byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n")
	for b.Loop() {
		Protocol.Detect(head)
	}
}
