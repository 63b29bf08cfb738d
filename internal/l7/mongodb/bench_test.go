package mongodb

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func benchParse(b *testing.B, side l7.Side, chunk int) {
	cases, err := l7test.Load("testdata")
	if err != nil {
		b.Fatal(err)
	}
	var data []byte
	for _, c := range cases {
		if c.Name == "msg" {
			data = c.Chunks[chunk].B
		}
	}
	p, m := Protocol.New(l7.DefaultOptions()), l7.Message{Text: &l7.Text{}}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if _, err := p.Parse(side, l7.Window{B: data}, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInsert(b *testing.B) { benchParse(b, l7.Client, 2) }
func BenchmarkFind(b *testing.B)   { benchParse(b, l7.Client, 4) }
func BenchmarkAnswer(b *testing.B) { benchParse(b, l7.Server, 5) }
func BenchmarkError(b *testing.B)  { benchParse(b, l7.Server, 9) }

func BenchmarkDetectForeign(b *testing.B) {
	head := []byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n")
	for b.Loop() {
		Protocol.Detect(head)
	}
}
