package postgresql

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

// chunk is one of a case's.
func chunk(b *testing.B, name string, i int) []byte {
	cases, err := l7test.Load("testdata")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range cases {
		if c.Name == name {
			return c.Chunks[i].B
		}
	}
	b.Fatal("no case ", name)
	return nil
}

// bench reads all messages of data again and again.
func bench(b *testing.B, side l7.Side, data []byte, req *l7.Message) {
	p, m := Protocol.New(l7.DefaultOptions()), l7.Message{Text: &l7.Text{}}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := data; len(rest) > 0; {
			m.Reset()
			n, err := p.Parse(side, l7.Window{B: rest, Req: req}, &m)
			if n == 0 {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}

func BenchmarkQuery(b *testing.B)   { bench(b, l7.Client, chunk(b, "simple", 6), nil) }
func BenchmarkExecute(b *testing.B) { bench(b, l7.Client, chunk(b, "extended", 4), nil) }
func BenchmarkUnnamed(b *testing.B) { bench(b, l7.Client, chunk(b, "extended", 6), nil) }
func BenchmarkAnswer(b *testing.B) {
	bench(b, l7.Server, chunk(b, "simple", 7), &l7.Message{Op: "SELECT", Note: kindQuery})
}
func BenchmarkExecuteAnswer(b *testing.B) {
	bench(b, l7.Server, chunk(b, "extended", 5), &l7.Message{Op: "SELECT", Note: kindExecute, Batch: 1})
}

func BenchmarkDetectForeign(b *testing.B) {
	head := []byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n")
	for b.Loop() {
		Protocol.Detect(head)
	}
}
