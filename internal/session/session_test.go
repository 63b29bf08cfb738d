package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// toy is a line protocol: "Q<id> ..." is answered by "A<id> ...".
var toy = &l7.Protocol{
	Name: "toy", Transport: l7.TCP, Pairing: l7.InOrder,
	Detect: func(head []byte) l7.Verdict {
		switch {
		case len(head) == 0:
			return l7.More
		case head[0] == 'Q':
			return l7.Request
		case head[0] == 'A':
			return l7.Response
		}
		return l7.No
	},
	New: func(*l7.Options) l7.Parser { return toyParser{} },
}

type toyParser struct{}

func (toyParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	want := byte('Q')
	if side == l7.Server {
		want, m.Type = 'A', l7.TypeResponse
	}
	if w.B[0] != want {
		return 0, l7.ErrLost
	}
	i := bytes.IndexByte(w.B, '\n')
	if i < 0 {
		return 0, l7.ErrMore
	}
	m.Op = m.Text.Copy(w.B[1:i])
	m.Add("k", m.Op)
	return i + 1, nil
}

func (toyParser) Resync(l7.Side) {}

type bench struct {
	e    *Engine
	conn *stream.Conn
	pos  [2]uint64
	got  []string
	now  int64
}

func newBench(cfg Config) *bench {
	b := &bench{conn: &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}, now: 1e18}
	cfg.Protocols = []*l7.Protocol{toy}
	b.e = New(cfg, func(x *Exchange) {
		s := "Q" + x.Req.Msg.Op
		if x.Resp.Seen {
			s += " A" + x.Resp.Msg.Op
		}
		if x.Incomplete != Complete {
			s += " " + x.Incomplete.String()
		}
		b.got = append(b.got, s)
	})
	return b
}

// send moves s; lost pieces move the stream and are not shown.
func (b *bench) send(d stream.Dir, s string, lost, ack bool) {
	pos := b.pos[d]
	b.pos[d] += uint64(len(s))
	b.now++
	if !lost {
		b.e.Put(&stream.Chunk{Conn: b.conn, Dir: d, Pos: pos, Wire: uint32(len(s)), B: []byte(s), Time: b.now, Other: b.pos[d^1], HasOther: ack})
	}
}

func (b *bench) close() []string {
	b.e.Put(&stream.Chunk{Conn: b.conn, Close: true})
	return b.got
}

// TestLossNeverMispairs loses chunks of one-at-a-time and of pipelined
// conversations: each request that was seen gives one exchange, and no answer
// goes to another's request.
func TestLossNeverMispairs(t *testing.T) {
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := newBench(Config{})
		id, seen, depth := 0, 0, 1+r.IntN(4)*r.IntN(2)
		ack := true
		for range 12 {
			var ids []int
			for range depth {
				ids = append(ids, id)
				id++
			}
			for _, i := range ids {
				lost := r.IntN(6) == 0
				if !lost {
					seen++
				}
				b.send(stream.FromA, fmt.Sprintf("Q%d\n", i), lost, ack)
			}
			for _, i := range ids {
				b.send(stream.FromB, fmt.Sprintf("A%d\n", i), r.IntN(6) == 0, ack)
			}
		}
		got := b.close()
		for _, g := range got {
			var q, a int
			if n, _ := fmt.Sscanf(g, "Q%d A%d", &q, &a); n == 2 && q != a {
				t.Errorf("seed %d depth %d: %s", seed, depth, g)
			}
		}
		if len(got) != seen {
			t.Errorf("seed %d: %d exchanges of %d requests seen", seed, len(got), seen)
		}
		if t.Failed() {
			t.Fatal(got)
		}
	}
}

// TestLossKeepsTheRest: one at a time and with acks, an exchange that was seen
// whole is whole if what came before it leaves no doubt: a whole exchange, or a
// single message lost behind one.
func TestLossKeepsTheRest(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		b := newBench(Config{})
		want := map[string]bool{}
		doubt := 0
		for i := range 40 {
			q, a := r.IntN(8) == 0, r.IntN(8) == 0
			switch {
			case !q && !a && doubt < 2:
				want[fmt.Sprintf("Q%d A%d", i, i)] = true
				fallthrough
			case !q && !a:
				doubt = 0
			case q && a:
				doubt += 2
			default:
				doubt++
			}
			b.send(stream.FromA, fmt.Sprintf("Q%d\n", i), q, true)
			b.send(stream.FromB, fmt.Sprintf("A%d\n", i), a, true)
		}
		got := b.close()
		for _, g := range got {
			delete(want, g)
		}
		if len(want) > 0 {
			t.Errorf("seed %d: missing %v in %v", seed, want, got)
		}
	}
}

func TestTimeout(t *testing.T) {
	b := newBench(Config{Timeout: time.Second})
	b.send(stream.FromA, "Q1\nQ2\n", false, true)
	b.e.Tick(b.now + int64(2*time.Second))
	b.send(stream.FromB, "A1\nA2\n", false, true) // late: belongs to what was reported
	b.send(stream.FromA, "Q3\n", false, true)
	b.send(stream.FromB, "A3\n", false, true)
	got := fmt.Sprint(b.close())
	if want := "[Q1 timeout Q2 timeout Q3 A3]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnknownIsMuted(t *testing.T) {
	muted := 0
	b := newBench(Config{MaxLooks: 3, Mute: func(*stream.Conn) { muted++ }})
	for range 10 {
		b.send(stream.FromA, "xyz", false, true)
	}
	if muted != 1 || b.e.Stats().Unknown.Load() != 1 || b.e.Stats().Muted.Load() != 7 {
		t.Errorf("muted %d, unknown %d, chunks after it %d", muted, b.e.Stats().Unknown.Load(), b.e.Stats().Muted.Load())
	}
}

// TestMiddleOfALongMessage: capture that begins in the middle of one does not
// give the connection up before it ends.
func TestMiddleOfALongMessage(t *testing.T) {
	b := newBench(Config{MaxLooks: 4})
	b.conn.Midstream = true
	for range 20 {
		b.send(stream.FromB, "xyz", false, true)
	}
	b.send(stream.FromA, "Q1\n", false, true)
	b.send(stream.FromB, "A1\n", false, true)
	if got := fmt.Sprint(b.close()); got != "[Q1 A1]" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkPut(b *testing.B) {
	e := New(Config{Protocols: []*l7.Protocol{toy}}, func(*Exchange) {})
	conn := &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
	q, a := []byte("Q1234567890\n"), []byte("A1234567890\n")
	var pos uint64
	c := stream.Chunk{Conn: conn, Wire: uint32(len(q)), HasOther: true}
	b.ReportAllocs()
	for b.Loop() {
		c.Dir, c.Pos, c.Other, c.B = stream.FromA, pos, pos, q
		e.Put(&c)
		c.Dir, c.Other, c.B = stream.FromB, pos+uint64(len(q)), a
		e.Put(&c)
		pos += uint64(len(q))
	}
}
