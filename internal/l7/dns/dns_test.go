package dns

import (
	"bytes"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

// FuzzDatagram reads the input as one datagram of each side.
func FuzzDatagram(f *testing.F) {
	f.Add(query)
	f.Add(answerA)
	opt := l7.DefaultOptions()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		detect(b)
		for _, side := range []l7.Side{l7.Client, l7.Server} {
			m := l7.Message{Text: new(l7.Text)}
			n, err := Protocol.New(opt).Parse(side, l7.Window{B: b, End: true}, &m)
			if err == nil && n <= 0 {
				t.Fatal(n)
			}
			if len(m.Target) > maxText || len(m.Attrs) > maxAnswers {
				t.Fatalf("too much: %d, %d", len(m.Target), len(m.Attrs))
			}
		}
	})
}

var (
	query   = []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02h1\x05bench\x05local\x00\x00\x01\x00\x01")
	answerA = []byte("\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\x02h1\x05bench\x05local\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x0a\x00\x00\x01")
)

func TestDetect(t *testing.T) {
	framed := append([]byte{0, byte(len(query))}, query...)
	nb := []byte("\x80\x94\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x21\x00\x01")
	nbDamaged := []byte("\x84\xea\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20EFEDEJFPEEEPENEBEJEOSACACACACABM\x00\x00\x20\x00\x01")
	for _, c := range []struct {
		name string
		head []byte
		want l7.Verdict
	}{
		{"query", query, l7.Request},
		{"answer", answerA, l7.Response},
		{"on a stream", framed, l7.Request},
		{"half of it", framed[:10], l7.More},
		{"netbios", nb, l7.No},
		{"netbios, a letter damaged", nbDamaged, l7.No},
		{"http", []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), l7.No},
		{"redis", []byte("*1\r\n$4\r\nPING\r\n"), l7.No},
		{"tls", []byte("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03abcdefghijkl"), l7.No},
		{"zeros", make([]byte, 64), l7.No},
		{"kafka", []byte("\x00\x00\x00\x14\x00\x12\x00\x00\x00\x00\x00\x01\x00\x07rdkafka\x00"), l7.No},
	} {
		if got := detect(c.head); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestPointers: names that point at themselves, forwards, or for ever are none.
func TestPointers(t *testing.T) {
	var dst [maxText]byte
	long := bytes.Repeat(append([]byte{63}, make([]byte, 63)...), 20)
	for _, b := range [][]byte{
		{0xc0, 0x00}, {0xc0, 0x02, 0}, {1, 'a', 0xc0, 0x00}, {63}, {0x80, 0}, {1}, {}, append(long, 0),
	} {
		if n, next := name(dst[:], b, 0); next >= 0 {
			t.Errorf("%x: %q, %d", b[:min(len(b), 8)], dst[:n], next)
		}
	}
	b := []byte{1, 'a', 0, 1, 'b', 0xc0, 0}
	if n, next := name(dst[:], b, 3); string(dst[:n]) != "b.a" || next != 7 {
		t.Errorf("got %q, %d", dst[:n], next)
	}
}

func BenchmarkQuery(b *testing.B)  { benchmark(b, l7.Client, query) }
func BenchmarkAnswer(b *testing.B) { benchmark(b, l7.Server, answerA) }

func benchmark(b *testing.B, side l7.Side, msg []byte) {
	p := Protocol.New(l7.DefaultOptions())
	m := l7.Message{Text: new(l7.Text)}
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if n, err := p.Parse(side, l7.Window{B: msg, End: true}, &m); n != len(msg) || err != nil {
			b.Fatal(n, err)
		}
	}
}
