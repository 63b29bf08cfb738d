package l7test

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
)

// Fuzz feeds a connection of p with chunks made from the fuzzer's bytes: each
// record is a control byte (bit 0 the side, bit 1 a hole before it, bit 2 the
// capture cuts it), a length byte, and the bytes. Seeds are the cases.
func Fuzz(f *testing.F, p *l7.Protocol) {
	for _, c := range load(f) {
		var b []byte
		for _, ch := range c.Chunks {
			for rest := ch.B; len(rest) > 0; {
				n := min(len(rest), 255)
				b = append(b, byte(ch.Side), byte(n))
				b = append(b, rest[:n]...)
				rest = rest[n:]
			}
		}
		f.Add(b)
	}
	udp := p.Transport == l7.UDP
	f.Fuzz(func(t *testing.T, in []byte) {
		var pieces []piece
		var pos [2]uint64
		for len(in) >= 2 && len(pieces) < 4096 {
			ctl, n := in[0], min(int(in[1]), len(in)-2)
			side := l7.Side(ctl & 1)
			if ctl&2 != 0 {
				pos[side] += uint64(in[1]) * 7
			}
			pc := piece{side: side, pos: pos[side], b: in[2 : 2+n], wire: n, other: pos[side.Other()]}
			if ctl&4 != 0 {
				pc.wire += 1000
			}
			pos[side] += uint64(pc.wire)
			pieces = append(pieces, pc)
			in = in[2+n:]
		}
		pl := player{protocols: []*l7.Protocol{p}}
		for _, r := range pl.play(&Case{UDP: udp}, pieces, true) {
			if !r.hasReq {
				t.Fatalf("an exchange without a request: %s", r.text)
			}
		}
	})
}
