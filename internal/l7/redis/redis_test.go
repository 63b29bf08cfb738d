package redis

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		want l7.Verdict
	}{
		{"*1\r\n$4\r\nPING\r\n", l7.Request},
		{"*1\r\n$4\r\nPI", l7.More},
		{"*", l7.More},
		{"*3\r\n$8\r\nJSON.SET\r\n$1\r\nk\r\n$1\r\n.\r\n", l7.Request},
		{"*2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n", l7.Either},
		{"$3\r\nfoo\r\n", l7.Response},
		{"$3\r\nfooo\r\n", l7.No},
		{":12\r\n", l7.Response},
		{":irc.example 001", l7.No},
		{"+OK\r\n", l7.More},
		{"+OK POP3 ready\r\n", l7.No},
		{"+PONG\r\n", l7.Response},
		{"-ERR 'Unknown Protocol Operation'\r\n", l7.No},
		{"PING\r\n", l7.No},
		{"INFO {\"server_id\":\"x\"}\r\n", l7.No},
		{"get key\r\n", l7.No},
		{"GET / HTTP/1.1\r\n\r\n", l7.No},
		{"%1\r\n$1\r\na\r\n:1\r\n", l7.Response},
		{"*99999999999999\r\n", l7.No},
	} {
		if got := detect([]byte(c.head)); got != c.want {
			t.Errorf("%q: %d, want %d", c.head, got, c.want)
		}
	}
}

// TestLiterals: with literals kept, values show; secrets do not.
func TestLiterals(t *testing.T) {
	o := l7.DefaultOptions()
	o.KeepLiterals = true
	for in, want := range map[string]string{
		"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n":                         "SET k v",
		"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n":                              "AUTH ?",
		"*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n":                 "EVAL ? ?",
		"*2\r\n$3\r\nGET\r\n$3000\r\n" + strings.Repeat("k", 3000) + "\r\n": "GET " + strings.Repeat("k", 2044),
	} {
		m := l7.Message{Text: new(l7.Text)}
		if n, err := Protocol.New(o).Parse(l7.Client, l7.Window{B: []byte(in)}, &m); n != len(in) || err != nil || m.Target != want {
			t.Errorf("%.40q: %d, %v, %q", in, n, err, m.Target)
		}
	}
}

// TestNesting: depth and counts that nobody can pay for cost nothing.
func TestNesting(t *testing.T) {
	p := Protocol.New(l7.DefaultOptions())
	deep := bytes.Repeat([]byte("*1\r\n"), 16000)
	m := l7.Message{Text: new(l7.Text)}
	if n, err := p.Parse(l7.Server, l7.Window{B: deep}, &m); n != len(deep) || err != nil || !m.More {
		t.Errorf("deep: %d, %v", n, err)
	}
	p = Protocol.New(l7.DefaultOptions())
	wide := bytes.Repeat([]byte("*2147483648\r\n"), 64)
	m.Reset()
	if _, err := p.Parse(l7.Server, l7.Window{B: wide}, &m); err != l7.ErrLost {
		t.Errorf("wide: %v", err)
	}
}

func BenchmarkGet(b *testing.B) {
	benchmark(b, l7.Client, "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n")
}
func BenchmarkSet(b *testing.B) {
	benchmark(b, l7.Client, "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$3\r\nxxx\r\n")
}
func BenchmarkOK(b *testing.B)   { benchmark(b, l7.Server, "+OK\r\n") }
func BenchmarkBulk(b *testing.B) { benchmark(b, l7.Server, "$3\r\nxxx\r\n") }

func benchmark(b *testing.B, side l7.Side, one string) {
	const batch = 16
	in := []byte(strings.Repeat(one, batch))
	p := Protocol.New(l7.DefaultOptions())
	m := l7.Message{Text: new(l7.Text)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Reset()
		at := i % batch * len(one)
		if n, err := p.Parse(side, l7.Window{B: in[at:]}, &m); n != len(one) || err != nil {
			b.Fatal(n, err)
		}
	}
}
