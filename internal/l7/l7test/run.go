package l7test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

var update = flag.Bool("update", false, "write what was found into the cases")

// maxVariants bounds the cuts and truncations of one case: beyond it they are
// spread evenly.
const maxVariants = 3000

// Run examines p with the cases in testdata. Whole, and cut at every byte, a
// case must give what it says. With a chunk missing, and truncated, it may give
// less, but nothing that the whole does not have.
func Run(t *testing.T, p *l7.Protocol) { RunWith(t, p, nil) }

// RunWith is Run with options.
func RunWith(t *testing.T, p *l7.Protocol, o *l7.Options) {
	for _, c := range load(t) {
		t.Run(c.Name, func(t *testing.T) { examine(t, c, player{protocols: []*l7.Protocol{p}, options: o}) })
	}
}

func examine(t *testing.T, c *Case, pl player) {
	pieces := c.pieces()
	whole := pl.play(c, pieces, true)
	got := text(whole)
	if *update && got != c.Want {
		if err := os.WriteFile(c.Path, []byte(c.head+got), 0o644); err != nil {
			t.Fatal(err)
		}
		c.Want = got
	}
	if got != c.Want {
		t.Fatalf("found\n%swant\n%s", got, c.Want)
	}
	if without := text(pl.play(c, pieces, false)); without != got {
		t.Errorf("without acks\n%swant\n%s", without, got)
	}
	if !c.UDP && !c.Skip["cut"] {
		total := 0
		for _, p := range pieces {
			total += len(p.b)
		}
		step := max(1, total/maxVariants)
		for at := 1; at < total; at += step {
			v := cut(pieces, at)
			if r := text(pl.play(c, v, true)); r != got {
				t.Fatalf("cut at byte %d\n%swant\n%s", at, r, got)
			}
		}
		if len(pieces) > 0 && total <= maxVariants {
			var all []piece
			for _, p := range pieces {
				for i := range p.b {
					all = append(all, piece{p.side, p.pos + uint64(i), p.b[i : i+1], 1, p.other})
				}
			}
			if r := text(pl.play(c, all, true)); r != got {
				t.Fatalf("byte by byte\n%swant\n%s", r, got)
			}
		}
	}
	for i := range pieces {
		if c.Skip["missing"] {
			break
		}
		v := append(append([]piece(nil), pieces[:i]...), pieces[i+1:]...)
		for _, ack := range []bool{true, false} {
			c.nothingNew(t, fmt.Sprintf("chunk %d missing, acks %t", i+1, ack), whole, pl.play(c, v, ack))
		}
	}
	for i := range pieces {
		if c.Skip["truncated"] {
			break
		}
		step := max(1, len(pieces)*len(pieces[i].b)/maxVariants)
		for n := 0; n < len(pieces[i].b); n += step {
			v := append([]piece(nil), pieces...)
			v[i].b = v[i].b[:n]
			c.nothingNew(t, fmt.Sprintf("chunk %d truncated to %d", i+1, n), whole, pl.play(c, v, true))
		}
	}
}

// cut splits the piece that holds byte at (over all pieces) there.
func cut(pieces []piece, at int) []piece {
	var out []piece
	for _, p := range pieces {
		if at > 0 && at < len(p.b) {
			a, b := p, p
			a.b, a.wire = p.b[:at], at
			b.b, b.wire, b.pos = p.b[at:], len(p.b)-at, p.pos+uint64(at)
			out = append(out, a, b)
		} else {
			out = append(out, p)
		}
		at -= len(p.b)
	}
	return out
}

func text(rs []result) string {
	var b strings.Builder
	for _, r := range rs {
		b.WriteString(r.text)
	}
	return b.String()
}

// nothingNew fails if part has a pair that whole has not, or says of a message
// what the whole does not say.
func (c *Case) nothingNew(t *testing.T, what string, whole, part []result) {
	t.Helper()
	for _, r := range part {
		var twin *result
		for i := range whole {
			w := &whole[i]
			if (w.oneWay == r.oneWay || c.Skip["oneway"] && r.oneWay) && w.hasReq == r.hasReq && w.req == r.req && w.x.FromServer == r.x.FromServer {
				twin = w
				if !r.hasResp || (w.hasResp && w.resp == r.resp) {
					break
				}
			}
		}
		switch {
		case twin == nil:
			t.Errorf("%s: invented\n%s", what, r.text)
		case r.hasResp && (!twin.hasResp || twin.resp != r.resp) && !continued(twin, &r):
			t.Errorf("%s: paired wrong\n%sthe whole has\n%s", what, r.text, twin.text)
		default:
			a, b := &r.x, &twin.x
			if says(a.Req.Msg.Op, b.Req.Msg.Op) || says(a.Req.Msg.Target, b.Req.Msg.Target) ||
				says(a.Resp.Msg.Code, b.Resp.Msg.Code) || says(a.Req.Msg.Trace.TraceID, b.Req.Msg.Trace.TraceID) ||
				(a.Resp.Msg.Status.Failed() && !b.Resp.Msg.Status.Failed()) {
				t.Errorf("%s: says\n%sthe whole has\n%s", what, r.text, twin.text)
			}
		}
	}
}

// continued: the answer began earlier than the part of it that was seen, as
// with streams.
func continued(whole, part *result) bool {
	return whole.hasResp && part.resp > whole.resp && part.resp < whole.resp+whole.x.Resp.Bytes ||
		whole.x.Resp.Parts > 1 && part.resp > whole.resp
}

// says: a names something, and not a beginning of what b names.
func says(a, b string) bool { return a != "" && !strings.HasPrefix(b, a) }
