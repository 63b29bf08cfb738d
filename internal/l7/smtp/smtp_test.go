package smtp

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func BenchmarkParse(b *testing.B) {
	p, m, req := Protocol.New(l7.DefaultOptions()), l7.Message{Text: &l7.Text{}}, l7.Message{}
	ask, answer := []byte("RCPT TO:<bob@example.org>\r\n"), []byte("250 2.1.5 Ok\r\n")
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if n, err := p.Parse(l7.Client, l7.Window{B: ask}, &m); n != len(ask) {
			b.Fatal(err)
		}
		m.Reset()
		if n, err := p.Parse(l7.Server, l7.Window{B: answer, Req: &req}, &m); n != len(answer) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "ns/msg")
}
