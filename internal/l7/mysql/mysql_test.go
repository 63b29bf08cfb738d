package mysql

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func packet(seq byte, body string) []byte {
	n := len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, body...)
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head []byte
		want l7.Verdict
	}{
		{packet(0, "\x0a8.0.36\x00\x2a\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), l7.Response},
		{packet(0, "\x03SELECT 1"), l7.Request},
		{packet(0, "\x03SELECTED"), l7.No},
		{packet(0, "\x03hello there"), l7.No},
		{packet(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"), l7.Request},
		{packet(1, "\xff\x7a\x04#42S02Table"), l7.Response},
		{packet(1, "\x00\x00\x00\x02\x00\x00\x00"), l7.Response},
		{packet(1, "\x01"), l7.More},
		{[]byte("GET / HTTP/1.1\r\n"), l7.No},
		{[]byte("\x16\x03\x01\x02\x00\x01\x00"), l7.No},
		{[]byte("\x00\x00\x00\x14\x00\x12\x00\x00"), l7.No},
		{[]byte("AMQP\x00\x00\x09\x01"), l7.No},
	} {
		if got := detect(c.head); got != c.want {
			t.Errorf("%q: %d, want %d", c.head, got, c.want)
		}
	}
}

// TestPreparedBounded: whatever a client prepares, so many are remembered, the
// latest.
func TestPreparedBounded(t *testing.T) {
	p := Protocol.New(l7.DefaultOptions()).(*parser)
	for id := range uint32(10 * maxPrepared) {
		p.remember(id, prepared{op: "SELECT"})
	}
	if len(p.statements) != maxPrepared || len(p.order) != maxPrepared {
		t.Errorf("%d statements, %d ids", len(p.statements), len(p.order))
	}
	if _, ok := p.statements[10*maxPrepared-1]; !ok {
		t.Error("the last one is forgotten")
	}
}

// TestErrorText: errors that quote values do not show them.
func TestErrorText(t *testing.T) {
	for in, want := range map[string]string{
		"\x26\x04#23000Duplicate entry 'it's secret' for key 'users.mail'":        "Duplicate entry ? for key 'users.mail'",
		"\x28\x04#42000You have an error near 'secret' at line 1":                 "You have an error near ? at line 1",
		"\x7a\x04#42S02Table 'a.b' doesn't exist":                                 "Table 'a.b' doesn't exist",
		"\x56\x05#HY000Incorrect integer value: 'secret' for column 'a' at row 1": "Incorrect integer value: ? for column ? at row 1",
	} {
		p := Protocol.New(l7.DefaultOptions()).(*parser)
		m := l7.Message{Text: new(l7.Text)}
		p.failed([]byte("\xff"+in), &m)
		if m.Error != want || m.Code != fmt.Sprint(binary.LittleEndian.Uint16([]byte(in))) {
			t.Errorf("%q, %s", m.Error, m.Code)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	p := Protocol.New(l7.DefaultOptions())
	in := packet(0, "\x03SELECT c FROM sbtest1 WHERE id=5001")
	m := l7.Message{Text: new(l7.Text)}
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if _, err := p.Parse(l7.Client, l7.Window{B: in}, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResult(b *testing.B) {
	p := Protocol.New(l7.DefaultOptions())
	in := append(packet(1, "\x01"), packet(2, "\x03def\x04shop\x01t\x01t\x01c\x01c\x0c\x21\x00\x28\x00\x00\x00\x03\x00\x00\x00\x00\x00")...)
	in = append(in, packet(3, "\xfe\x00\x00\x02\x00")...)
	for i := range byte(10) {
		in = append(in, packet(4+i, "\x0a0123456789")...)
	}
	in = append(in, packet(14, "\xfe\x00\x00\x02\x00")...)
	req := l7.Message{Note: comQuery}
	m := l7.Message{Text: new(l7.Text)}
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if n, err := p.Parse(l7.Server, l7.Window{B: in, Req: &req}, &m); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
	}
}
