package memcached

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func bench(b *testing.B, side l7.Side, data []byte) {
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

func BenchmarkSet(b *testing.B) {
	bench(b, l7.Client, []byte("set memtier-1234567 0 0 32\r\n01234567890123456789012345678901\r\n"))
}
func BenchmarkGet(b *testing.B)    { bench(b, l7.Client, []byte("get memtier-1234567\r\n")) }
func BenchmarkStored(b *testing.B) { bench(b, l7.Server, []byte("STORED\r\n")) }
func BenchmarkValue(b *testing.B) {
	bench(b, l7.Server, []byte("VALUE memtier-1234567 0 32\r\n01234567890123456789012345678901\r\n"))
}
func BenchmarkBinaryGet(b *testing.B) {
	bench(b, l7.Client, []byte("\x80\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00Hello"))
}
func BenchmarkDetectForeign(b *testing.B) {
	head := []byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n")
	for b.Loop() {
		Protocol.Detect(head)
	}
}
