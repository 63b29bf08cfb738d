package tls

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

// BenchmarkHandshake reads a ClientHello and the server's first flight.
func BenchmarkHandshake(b *testing.B) {
	cases, err := l7test.Load("testdata")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range cases {
		if c.Name != "tls12" {
			continue
		}
		m := l7.Message{Text: &l7.Text{}}
		b.ReportAllocs()
		for b.Loop() {
			p := Protocol.New(nil)
			for _, ch := range c.Chunks[:2] {
				for rest := ch.B; len(rest) > 0; {
					m.Reset()
					n, err := p.Parse(ch.Side, l7.Window{B: rest}, &m)
					if n == 0 {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
			}
		}
	}
}

func BenchmarkDetectForeign(b *testing.B) {
	head := []byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n")
	for b.Loop() {
		Protocol.Detect(head)
	}
}
