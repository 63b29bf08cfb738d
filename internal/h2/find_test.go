package h2

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
)

func frames(t testing.TB, data []byte) []byte {
	var buf bytes.Buffer
	fr := http2.NewFramer(&buf, nil)
	for _, err := range []error{
		fr.WriteWindowUpdate(0, 1000),
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte{0x88, 0xbe}, EndHeaders: true}),
		fr.WriteData(5, false, data),
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte{0xbf}, EndHeaders: true, EndStream: true}),
		fr.WritePing(false, [8]byte{1, 2, 3}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

// TestFind: from any byte on, the next frame is found where it is.
func TestFind(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	data := make([]byte, 300)
	for i := range data {
		data[i] = byte(r.IntN(256))
	}
	b := frames(t, data)
	starts := map[int]bool{}
	for off := 0; off < len(b); off += Parse(b[off:]).Size() {
		starts[off] = true
	}
	// At the very beginning one header is enough, so that one of these may fool it.
	found, fooled := 0, 0
	for from := range b {
		switch k := Find(b[from:]); {
		case k == 0 && !starts[from] && fooled == 0:
			fooled++
		case k >= 0 && !starts[from+k]:
			t.Errorf("from %d: found one at %d, where there is none", from, from+k)
		case k >= 0:
			found++
		}
	}
	if found < len(b)-HeaderLen-HeaderLen-8 {
		t.Errorf("found from %d of %d places", found, len(b))
	}
}

// TestFindNone: no frame in what is none.
func TestFindNone(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	b := make([]byte, 4096)
	false1 := 0
	for range 300 {
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		if Find(b) >= 0 {
			false1++
		}
	}
	if false1 > 2 {
		t.Errorf("%d of 300 random buffers hold a frame", false1)
	}
	for _, s := range [][]byte{make([]byte, 4096), bytes.Repeat([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 50), []byte(Preface)} {
		if k := Find(s); k >= 0 {
			t.Errorf("%.20q: at %d", s, k)
		}
	}
}

func TestPayload(t *testing.T) {
	for _, c := range []struct {
		f    Frame
		b    string
		want string
		ok   bool
	}{
		{Frame{Length: 3, Type: Data}, "abc", "abc", true},
		{Frame{Length: 3, Type: Data}, "abcd", "abc", true},
		{Frame{Length: 6, Type: Data, Flags: FlagPadded}, "\x02abc\x00\x00", "abc", true},
		{Frame{Length: 6, Type: Data, Flags: FlagPadded}, "\x02ab", "ab", true},
		{Frame{Length: 3, Type: Data, Flags: FlagPadded}, "\x03ab", "", false},
		{Frame{Length: 7, Type: Headers, Flags: FlagPriority}, "\x00\x00\x00\x01\xffxy", "xy", true},
		{Frame{Length: 10, Type: Headers, Flags: FlagPriority | FlagPadded}, "\x01\x00\x00\x00\x01\xffxyz\x00", "xyz", true},
		{Frame{Length: 4, Type: Headers, Flags: FlagPriority}, "abcd", "", false},
	} {
		got, ok := c.f.Payload([]byte(c.b))
		if string(got) != c.want || ok != c.ok {
			t.Errorf("%+v: %q %t", c.f, got, ok)
		}
	}
}
