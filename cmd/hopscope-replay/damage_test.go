package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/session"
)

// pairing is an exchange by the place of its messages on the wire.
type pairing struct {
	conn            string
	req, resp       uint32
	answered, alone bool
	streams         bool // the protocol names the request that an answer is for
}

// exchanges plays a capture, damaged or not, and lists what comes out.
func exchanges(t *testing.T, path string, damage func([]frame) []frame) map[pairing]string {
	t.Helper()
	p, err := newPlayer(options{format: "none", point: "rest"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	out := map[pairing]string{}
	p.take = func(x *session.Exchange) {
		if x.Conn.Transport != l7.TCP {
			return
		}
		k := pairing{conn: x.Conn.A.String() + " " + x.Conn.B.String(), req: x.Req.Seq, answered: x.Resp.Seen, alone: x.OneWay,
			streams: x.Protocol.Pairing == l7.ByStream}
		if x.Resp.Seen {
			k.resp = x.Resp.Seq
		}
		out[k] = fmt.Sprintf("%s %s %s %v", x.Req.Msg.Op, x.Req.Msg.Target, x.Resp.Msg.Code, x.Incomplete)
	}
	f, err := packet.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.file = f
	var frames []frame
	var fr packet.Frame
	for f.Next(&fr) == nil {
		c := fr
		c.Data = append([]byte(nil), fr.Data...)
		frames = append(frames, frame{c})
	}
	for _, x := range damage(frames) {
		p.frame(&x.Frame)
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	return out
}

type frame struct{ packet.Frame }

// TestDamaged: of captures with frames lost, in another order, or cut, no pair
// of request and answer comes out that was not one.
func TestDamaged(t *testing.T) { damaged(t, 1) }

func damaged(t *testing.T, seed uint64) {
	var rng *rand.Rand // seeded anew for each capture: a failure can be repeated
	damages := map[string]func([]frame) []frame{
		"lost": func(fs []frame) (out []frame) {
			for _, f := range fs {
				if rng.IntN(100) >= 5 {
					out = append(out, f)
				}
			}
			return out
		},
		"reordered": func(fs []frame) []frame {
			out := append([]frame(nil), fs...)
			for i := range out {
				if rng.IntN(100) < 5 {
					j := min(len(out)-1, i+1+rng.IntN(3))
					out[i], out[j] = out[j], out[i]
				}
			}
			return out
		},
		"cut": func(fs []frame) []frame {
			out := append([]frame(nil), fs...)
			for i := range out {
				out[i].Data = out[i].Data[:min(128, len(out[i].Data))]
			}
			return out
		},
	}
	for _, name := range []string{"http1-keepalive.vlan", "redis-p1", "redis-p32.vlan", "mysql-sysbench-text", "mysql-slap-errors", "pgsql-simple",
		"pgsql-extended.vlan", "pgsql-prepared", "mongo", "memcached-text", "dns-tcp", "http2-h2c.vlan", "grpc.vlan", "kafka-kcat", "redis-errors"} {
		path := filepath.Join(corpus(t), "packets/live", name+".pcap.gz")
		whole := exchanges(t, path, func(f []frame) []frame { return f })
		requests := map[pairing]bool{}
		for k := range whole {
			k.resp, k.answered = 0, false
			requests[k] = true
		}
		for kind, damage := range damages {
			rng = rand.New(rand.NewPCG(seed, 1))
			got := exchanges(t, path, damage)
			invented, first, answered := 0, "", 0
			for k, what := range got {
				if k.answered {
					answered++
				}
				alone := k
				alone.resp, alone.answered = 0, false
				// Where the answer names its request the pair is right, though its
				// first frame may be lost.
				if _, ok := whole[k]; ok || ((!k.answered || k.streams) && requests[alone]) {
					continue
				}
				if invented++; first == "" || invented < 4 {
					for w := range whole {
						if w.conn == k.conn && (w.req == k.req || w.resp == k.resp) {
							first += fmt.Sprintf("\n\twhole: req %d resp %d answered %v alone %v", w.req, w.resp, w.answered, w.alone)
						}
					}
					first += fmt.Sprintf("\n\t%+v %s", k, what)
				}
			}
			t.Logf("%-22s %-9s %5d of %5d exchanges, %5d answered, %d invented", name, kind, len(got), len(whole), answered, invented)
			if invented > 0 {
				t.Errorf("%s %s: %d of %d invented:%s", name, kind, invented, len(got), first)
			}
		}
	}
}
