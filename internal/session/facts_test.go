package session

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// seal is a handshake for tests: a client's line "H name" is answered by "h" and
// "h!" (it failed); after it the connection speaks something else.
var seal = &l7.Protocol{
	Name: "seal", Transport: l7.TCP, OfConn: true, Attrs: []l7.Attr{{Key: "tls.protocol.name", Str: "seal"}},
	Detect: func(b []byte) l7.Verdict {
		switch b[0] {
		case 'H':
			return l7.Request
		case 'h':
			return l7.Response
		}
		return l7.No
	},
	New: func(*l7.Options) l7.Parser { return sealParser{} },
}

type sealParser struct{}

func (sealParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if side == l7.Client {
		m.Add("tls.client.server_name", m.Text.Copy(w.B[1:]))
		m.Add("tls.protocol.version", "offered")
		return len(w.B), nil
	}
	m.Type, m.Switch = l7.TypeResponse, true
	m.Add("tls.protocol.version", "1.3")
	m.AddBool("tls.established", len(w.B) == 1)
	return len(w.B), nil
}

// asking is toy whose answer "A!" says that TLS follows.
var asking = func() *l7.Protocol {
	p := *toy
	p.New = func(*l7.Options) l7.Parser { return askingParser{} }
	return &p
}()

type askingParser struct{ toyParser }

func (p askingParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	n, err := p.toyParser.Parse(side, w, m)
	if err == nil && side == l7.Server && w.B[1] == '!' {
		m.Switch, m.Seals = true, true
	}
	return n, err
}

// talk is one connection of the tests below.
type talking struct {
	e    *Engine
	c    *stream.Conn
	pos  [2]uint64
	time int64
}

func (k *talking) says(d stream.Dir, b string) {
	k.time++
	k.e.Put(&stream.Chunk{Conn: k.c, Dir: d, Pos: k.pos[d], Wire: uint32(len(b)), B: []byte(b), Time: k.time})
	k.pos[d] += uint64(len(b))
}

func newTalking(e *Engine) *talking {
	return &talking{e: e, c: &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}}
}

func fact(f *stream.Facts, key string) string {
	if f == nil {
		return "-"
	}
	for _, a := range f.Attrs {
		if a.Key == key {
			if a.Kind == l7.AttrBool {
				return map[int64]string{0: "no", 1: "yes"}[a.Int]
			}
			return a.Str
		}
	}
	return "-"
}

// TestFacts: what a handshake said is said of the connection, by what comes after
// it and by what asked for it, each thing once; not by the handshake, which says it
// itself, and not by what came before.
func TestFacts(t *testing.T) {
	var got []string
	learned := 0
	e := New(Config{Protocols: []*l7.Protocol{asking, seal}, Learned: func(*stream.Conn) { learned++ }}, func(x *Exchange) {
		got = append(got, x.Protocol.Name+" "+fact(x.Facts, "tls.client.server_name")+" "+fact(x.Facts, "tls.protocol.version")+" "+fact(x.Facts, "tls.established"))
	})
	k := newTalking(e)
	k.says(stream.FromA, "Q1\n")
	k.says(stream.FromB, "A1\n")
	k.says(stream.FromA, "Q2\n")
	k.says(stream.FromB, "A!\n")
	if len(got) != 1 {
		t.Fatalf("what asks for a handshake is told before it: %q", got)
	}
	k.says(stream.FromA, "Hshop")
	k.says(stream.FromB, "h")
	k.says(stream.FromA, "Q3\n")
	k.says(stream.FromB, "A3\n")
	want := []string{"toy - - -", "seal - - -", "toy shop 1.3 yes", "toy shop 1.3 yes"}
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %q, want %q", i, got[i], want[i])
		}
	}
	if learned != 1 || len(k.c.Facts.Attrs) != 4 || fact(k.c.Facts, "tls.protocol.name") != "seal" {
		t.Errorf("learned %d times: %+v", learned, k.c.Facts)
	}
}

// TestFactsShared: connections that say the same share it, and what is remembered
// is bounded.
func TestFactsShared(t *testing.T) {
	e := New(Config{Protocols: []*l7.Protocol{seal}}, func(*Exchange) {})
	facts := func(name, answer string) *stream.Facts {
		k := newTalking(e)
		k.says(stream.FromA, "H"+name)
		k.says(stream.FromB, answer)
		return k.c.Facts
	}
	a := facts("one", "h")
	if a == nil || facts("one", "h") != a || facts("one", "h!") == a || facts("two", "h") == a {
		t.Error("shared by what differs, or not by what does not")
	}
	for i := range 3 * maxShared {
		facts(string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), "h")
	}
	if n := len(e.shared); n > maxShared {
		t.Errorf("%d remembered", n)
	}
	if b := facts("one", "h"); fact(b, "tls.client.server_name") != "one" || fact(a, "tls.client.server_name") != "one" {
		t.Error("forgotten facts have changed")
	}
}

// TestHeld: what asked for a handshake does not wait for ever, and is told once.
func TestHeld(t *testing.T) {
	for name, end := range map[string]func(*talking){
		"time":  func(k *talking) { k.e.Tick(k.time + maxSealed + 1) },
		"close": func(k *talking) { k.e.Put(&stream.Chunk{Conn: k.c, Close: true, Time: k.time}) },
		"flush": func(k *talking) { k.e.Flush() },
		"plain": func(k *talking) { k.says(stream.FromA, "Q2\n") },
		"other": func(k *talking) {
			for range defaultMaxLooks {
				k.says(stream.FromA, "nobody knows")
			}
		},
	} {
		n := 0
		e := New(Config{Protocols: []*l7.Protocol{asking, seal}}, func(x *Exchange) {
			if x.Resp.Seen {
				n++
			}
			if x.Facts != nil {
				t.Errorf("%s: %+v", name, x.Facts)
			}
		})
		k := newTalking(e)
		k.says(stream.FromA, "Q1\n")
		k.says(stream.FromB, "A!\n")
		e.Tick(k.time + maxSealed/2)
		if n != 0 {
			t.Errorf("%s: told at once", name)
		}
		end(k)
		if n != 1 {
			t.Errorf("%s: told %d times", name, n)
		}
		e.Flush()
		if n != 1 {
			t.Errorf("%s: told again", name)
		}
	}
}
