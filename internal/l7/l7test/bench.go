package l7test

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

// Bench parses, over and over, what the case named name holds, chunk by chunk,
// without the engine: ns/op and allocations are those of the whole case, and
// ns/msg those of one message.
func Bench(b *testing.B, p *l7.Protocol, name string) {
	var found *Case
	for _, c := range load(b) {
		if c.Name == name {
			found = c
		}
	}
	if found == nil {
		b.Fatalf("no case %s", name)
	}
	o := l7.DefaultOptions()
	m := l7.Message{Text: &l7.Text{}}
	messages, size := 0, 0
	var kept [2][]byte // what a chunk left for the next
	run := func() {
		parser := p.New(o)
		messages = 0
		kept[0], kept[1] = kept[0][:0], kept[1][:0]
		for _, ch := range found.Chunks {
			w := ch.B
			if k := &kept[ch.Side]; len(*k) > 0 {
				*k = append(*k, w...)
				w = *k
			}
			for len(w) > 0 {
				m.Reset()
				n, err := parser.Parse(ch.Side, l7.Window{B: w}, &m)
				if err == l7.ErrMore {
					break
				}
				if err == l7.ErrLost || n <= 0 {
					b.Fatalf("%s at %.40q", err, w)
				}
				messages++
				w = w[min(n, len(w)):]
			}
			kept[ch.Side] = append(kept[ch.Side][:0], w...)
		}
	}
	for _, ch := range found.Chunks {
		size += len(ch.B)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(max(messages, 1)), "ns/msg")
}
