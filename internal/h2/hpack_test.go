package h2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// sender is a real encoder, with what it sent.
type sender struct {
	rng *rand.Rand
	buf bytes.Buffer
	enc *hpack.Encoder
}

func newSender(seed uint64) *sender {
	s := &sender{rng: rand.New(rand.NewPCG(seed, 1))}
	s.enc = hpack.NewEncoder(&s.buf)
	return s
}

// block is one header block of a service that repeats itself, and its truth.
func (s *sender) block(t testing.TB) ([]byte, []hpack.HeaderField) {
	r := s.rng
	if r.IntN(40) == 0 {
		s.enc.SetMaxDynamicTableSize(uint32(r.IntN(4097)))
	}
	all := []hpack.HeaderField{
		{Name: ":method", Value: []string{"GET", "POST", "DELETE"}[r.IntN(3)]},
		{Name: ":path", Value: fmt.Sprintf("/shop.v1.Orders/%d", r.IntN(30))},
		{Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: "10.77.0.2:50051"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "grpc-timeout", Value: fmt.Sprintf("%dm", r.IntN(200))},
		{Name: fmt.Sprintf("x-name-%d", r.IntN(20)), Value: strings.Repeat("v", r.IntN(300))},
		{Name: "cookie", Value: "secret", Sensitive: true},
		{Name: "x-bytes", Value: string([]byte{byte(r.IntN(256)), byte(r.IntN(256)), 0, 255, byte(r.IntN(256))})},
	}
	n := 1 + r.IntN(len(all))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s.buf.Reset()
	for _, f := range all[:n] {
		if err := s.enc.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.Clone(s.buf.Bytes()), all[:n]
}

// TestDecoder: all of it, as the encoder had it.
func TestDecoder(t *testing.T) {
	for seed := range uint64(20) {
		s, d := newSender(seed), NewDecoder(nil)
		for i := range 500 {
			b, want := s.block(t)
			d.Begin(b)
			var f Field
			for _, w := range want {
				if !d.Next(&f) || f.Name != w.Name || f.Value != w.Value || !f.NameKnown || !f.ValueKnown {
					t.Fatalf("seed %d block %d: got %q=%q (%v), want %q=%q", seed, i, f.Name, f.Value, d.Err(), w.Name, w.Value)
				}
			}
			if d.Next(&f) || d.Err() != nil {
				t.Fatalf("seed %d block %d: more than there is: %q, %v", seed, i, f.Name, d.Err())
			}
		}
		if !d.Whole() || d.Unknown != 0 {
			t.Errorf("seed %d: whole %t, unknown %d", seed, d.Whole(), d.Unknown)
		}
	}
}

// TestLate: picked up at any block, and with blocks missing, nothing is said
// that is not so; and the table comes back when it has turned over.
func TestLate(t *testing.T) {
	unknown := 0
	for seed := range uint64(50) {
		s, d := newSender(seed), NewDecoder(nil)
		for range seed * 3 {
			s.block(t)
		}
		d.Forget()
		for i := range 600 {
			b, want := s.block(t)
			if seed%2 == 1 && (i == 100 || i == 101 || i == 110) {
				d.Forget()
				continue
			}
			d.Begin(b)
			var f Field
			for _, w := range want {
				if !d.Next(&f) {
					t.Fatalf("seed %d block %d: ends early: %v", seed, i, d.Err())
				}
				if f.NameKnown && f.Name != w.Name || f.ValueKnown && f.Value != w.Value {
					t.Fatalf("seed %d block %d: %q=%q, want %q=%q", seed, i, f.Name, f.Value, w.Name, w.Value)
				}
				if !f.NameKnown || !f.ValueKnown {
					unknown++
					// A name that new entries keep taking from an unknown one stays so.
					if i > 550 && !f.ValueKnown {
						t.Fatalf("seed %d block %d: still unknown", seed, i)
					}
				}
			}
		}
		if !d.Whole() {
			t.Errorf("seed %d: not whole at the end", seed)
		}
	}
	if unknown < 1000 {
		t.Errorf("%d fields were unknown: the test tests nothing", unknown)
	}
}

// TestLateLarge: the table is larger than its default, and nobody saw that.
func TestLateLarge(t *testing.T) {
	s, d := newSender(1), NewDecoder(nil)
	s.enc.SetMaxDynamicTableSizeLimit(64 << 10)
	s.enc.SetMaxDynamicTableSize(64 << 10)
	s.block(t) // holds the size update
	d.Forget()
	last := 0
	for i := range 3000 {
		s.buf.Reset()
		want := hpack.HeaderField{Name: "x", Value: fmt.Sprint(i%500 + i/1000*1000)}
		if err := s.enc.WriteField(want); err != nil {
			t.Fatal(err)
		}
		d.Begin(s.buf.Bytes())
		var f Field
		if !d.Next(&f) || f.ValueKnown && f.Value != want.Value {
			t.Fatalf("block %d: %q, want %q", i, f.Value, want.Value)
		}
		if !f.ValueKnown {
			last = i
		}
	}
	if last > 1999 {
		t.Errorf("unknown until block %d", last)
	}
}

// TestEntry: equal numbers of unknown entries mean equal fields.
func TestEntry(t *testing.T) {
	s, d := newSender(3), NewDecoder(nil)
	for range 30 {
		s.block(t)
	}
	d.Forget()
	truth := map[int64]hpack.HeaderField{}
	hits := 0
	for range 300 {
		b, want := s.block(t)
		d.Begin(b)
		var f Field
		for _, w := range want {
			d.Next(&f)
			if !f.Dynamic || f.NameKnown {
				continue
			}
			if old, ok := truth[f.Entry]; ok {
				hits++
				if old.Name != w.Name {
					t.Fatalf("entry %d is %q and %q", f.Entry, old.Name, w.Name)
				}
			}
			truth[f.Entry] = w
		}
	}
	if hits < 10 {
		t.Fatalf("%d hits: the test tests nothing", hits)
	}
}

func TestHuffman(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := make([]byte, r.IntN(40))
		for i := range b {
			if b[i] = byte(r.IntN(256)); r.IntN(2) == 0 {
				b[i] = 'a' + b[i]%26
			}
		}
		got, ok := huffman(nil, hpack.AppendHuffmanString(nil, string(b)))
		if !ok || !bytes.Equal(got, b) {
			t.Fatalf("%q: %q %t", b, got, ok)
		}
	}
}

// FuzzHuffman: the same answer as the oracle, for what is no code too.
func FuzzHuffman(f *testing.F) {
	f.Add(hpack.AppendHuffmanString(nil, "/shop.v1.Orders/Get"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := huffman(nil, b)
		want, err := hpack.HuffmanDecodeToString(b)
		if ok != (err == nil) || ok && string(got) != want {
			t.Fatalf("%x: %q %t, the oracle says %q %v", b, got, ok, want, err)
		}
	})
}

// FuzzDecoder: blocks of anything, one after the other; what the oracle takes
// is read alike.
func FuzzDecoder(f *testing.F) {
	s := newSender(9)
	for range 5 {
		b, _ := s.block(f)
		f.Add(b, b)
	}
	f.Add([]byte{0x3f, 0xe1, 0x1f, 0x82}, []byte{0xbe})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := NewDecoder(nil)
		var got []hpack.HeaderField
		o := hpack.NewDecoder(4096, nil)
		for _, block := range [][]byte{a, b} {
			want, err := o.DecodeFull(block)
			got = got[:0]
			d.Begin(block)
			var fd Field
			for d.Next(&fd) {
				if !fd.NameKnown || !fd.ValueKnown {
					if err == nil {
						t.Fatal("unknown, though the oracle knows")
					}
				}
				got = append(got, hpack.HeaderField{Name: strings.Clone(fd.Name), Value: strings.Clone(fd.Value)})
			}
			if d.size > MaxTable+len(a)+len(b) || d.n > MaxTable/32+1 {
				t.Fatalf("table of %d bytes, %d entries", d.size, d.n)
			}
			if err != nil {
				return // the oracle gives up; all that is asked is that we did not fall over
			}
			if d.Err() == ErrFields {
				return
			}
			if len(got) != len(want) || d.Err() != nil {
				t.Fatalf("%d fields (%v), the oracle has %d", len(got), d.Err(), len(want))
			}
			for i := range want {
				if got[i].Name != want[i].Name || got[i].Value != want[i].Value {
					t.Fatalf("field %d: %v, the oracle has %v", i, got[i], want[i])
				}
			}
		}
	})
}

// TestLimits: a block of references to a large entry ends.
func TestLimits(t *testing.T) {
	var buf bytes.Buffer
	e := hpack.NewEncoder(&buf)
	e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("v", 3000)})
	buf.Write(bytes.Repeat([]byte{0xbe}, 50000))
	d := NewDecoder(nil)
	d.Begin(buf.Bytes())
	var f Field
	n := 0
	for d.Next(&f) {
		n++
	}
	if n != MaxFields || d.Err() != ErrFields {
		t.Fatalf("%d fields, %v", n, d.Err())
	}
}

// BenchmarkDecoder is the request headers of a gRPC call, as grpc-go sends them
// the second time, with a deadline that changes.
func BenchmarkDecoder(b *testing.B) {
	var buf bytes.Buffer
	e := hpack.NewEncoder(&buf)
	var blocks [][]byte
	for i := range 300 {
		buf.Reset()
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/shop.v1.Orders/Get"},
			{Name: ":authority", Value: "10.77.0.2:50051"}, {Name: "content-type", Value: "application/grpc"}, {Name: "user-agent", Value: "grpc-go/1.75.0"},
			{Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: fmt.Sprintf("%du", 999000+i)}} {
			e.WriteField(f)
		}
		blocks = append(blocks, bytes.Clone(buf.Bytes()))
	}
	d := NewDecoder(NewTags(func(n string) uint8 { return uint8(len(n)) }))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(blocks) {
			i = 0
			d = NewDecoder(d.tags)
		}
		d.Begin(blocks[i])
		i++
		var f Field
		for d.Next(&f) {
		}
		if d.Err() != nil {
			b.Fatal(d.Err())
		}
	}
}
