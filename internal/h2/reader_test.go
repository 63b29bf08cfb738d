package h2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// log writes down what a reader says; pieces of one frame are joined.
type log struct {
	strings.Builder
	data strings.Builder
	gap  int
}

func (l *log) Headers(f Frame, d *Decoder) {
	fmt.Fprintf(l, "headers %d end=%t", f.Stream, f.EndStream())
	for fd := (Field{}); d.Next(&fd); {
		if fd.ValueKnown {
			fmt.Fprintf(l, " %s=%.20s", fd.Name, fd.Value)
		} else {
			fmt.Fprintf(l, " %s=?", fd.Name)
		}
	}
	if d.Err() != nil {
		fmt.Fprintf(l, " %v", d.Err())
	}
	l.WriteByte('\n')
}

func (l *log) Data(f Frame, b []byte, missing int, last bool) {
	l.data.Write(b)
	l.gap += missing
	if last {
		s := l.data.String()
		fmt.Fprintf(l, "data %d end=%t %d %.10q missing %d\n", f.Stream, f.EndStream(), len(s), s, l.gap)
		l.data.Reset()
		l.gap = 0
	}
}

func (l *log) Control(f Frame, b []byte) { fmt.Fprintf(l, "type %d %d %x\n", f.Type, f.Stream, b) }
func (l *log) Lost()                     { l.WriteString("lost\n"); l.data.Reset(); l.gap = 0 }

func conversation(t testing.TB) []byte {
	var buf, hbuf bytes.Buffer
	buf.WriteString(Preface)
	fr, e := http2.NewFramer(&buf, nil), hpack.NewEncoder(&hbuf)
	block := func(kv ...string) []byte {
		hbuf.Reset()
		for i := 0; i < len(kv); i += 2 {
			e.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
		}
		return bytes.Clone(hbuf.Bytes())
	}
	fr.WriteSettings()
	for i := range uint32(3) {
		b := block(":method", "POST", ":path", "/v1.Span/SendSpan", "x-long", strings.Repeat("v", 600))
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: b[:2], EndHeaders: false, PadLength: 3})
		fr.WriteContinuation(2*i+1, true, b[2:])
		fr.WriteData(2*i+1, false, []byte(strings.Repeat("a", 500)))
		fr.WriteDataPadded(2*i+1, false, []byte(strings.Repeat("b", 50)), make([]byte, 7))
		fr.WritePing(false, [8]byte{byte(i)})
		fr.WriteData(2*i+1, true, nil)
	}
	fr.WriteGoAway(0, 0, []byte("bye"))
	return buf.Bytes()
}

// TestReader: the same story in pieces of any size.
func TestReader(t *testing.T) {
	b := conversation(t)
	read := func(n int) string {
		l := &log{}
		r := NewReader(true, true, nil, l)
		for rest := b; len(rest) > 0; {
			k := min(n, len(rest))
			r.Put(bytes.Clone(rest[:k]))
			rest = rest[k:]
		}
		return l.String()
	}
	want := read(len(b))
	if n := strings.Count(want, "\n"); n != 1+3*5+1 || strings.Contains(want, "lost") || !strings.Contains(want, "x-long=vvv") {
		t.Fatalf("%d lines:\n%s", n, want)
	}
	for n := 1; n < len(b); n++ {
		if got := read(n); got != want {
			t.Fatalf("in pieces of %d\n%swant\n%s", n, got, want)
		}
	}
}

// TestReaderHoles: what lies in DATA costs that frame only; whatever else is
// lost, nothing is said that is not so.
func TestReaderHoles(t *testing.T) {
	b := conversation(t)
	whole := &log{}
	NewReader(true, true, nil, whole).Put(b)
	truth := map[string]bool{}
	for _, line := range strings.Split(whole.String(), "\n") {
		truth[line] = true
	}
	kept := 0
	for at := 30; at+100 < len(b); at += 7 {
		for _, n := range []int{1, 40, 100} {
			l := &log{}
			r := NewReader(true, true, nil, l)
			r.Put(b[:at])
			r.Missing(uint64(n))
			r.Put(b[at+n:])
			for _, line := range strings.Split(l.String(), "\n") {
				switch {
				case line == "lost" || strings.Contains(line, "=?") || strings.Contains(line, "missing") && !strings.HasSuffix(line, "missing 0"):
				case !truth[line]:
					t.Errorf("%d bytes missing at %d: invented %q", n, at, line)
				}
			}
			if !strings.Contains(l.String(), "lost") {
				kept++
			}
		}
	}
	if kept < 50 {
		t.Errorf("the place was kept %d times", kept)
	}
}

// FuzzReader: bytes and holes of any kind.
func FuzzReader(f *testing.F) {
	f.Add(conversation(f), uint16(100), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, n uint8) {
		for _, client := range []bool{true, false} {
			l := &log{}
			r := NewReader(client, at%2 == 0, nil, l)
			k := min(int(at), len(b))
			r.Put(b[:k])
			r.Missing(uint64(n))
			for rest := b[k:]; len(rest) > 0; {
				j := min(int(n)+1, len(rest))
				r.Put(rest[:j])
				rest = rest[j:]
			}
			if cap(r.buf) > 4*MaxBlock || cap(r.block) > 4*MaxBlock {
				t.Fatalf("%d and %d bytes are kept", cap(r.buf), cap(r.block))
			}
		}
	})
}
