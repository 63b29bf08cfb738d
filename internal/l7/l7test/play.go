package l7test

import (
	"net/netip"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// piece is one chunk on its way to the engine.
type piece struct {
	side l7.Side
	pos  uint64
	b    []byte
	wire int
	// other is how much of the other side had been sent before.
	other uint64
}

// pieces lays the chunks of a case out on their streams.
func (c *Case) pieces() []piece {
	var pos [2]uint64
	var out []piece
	for _, ch := range c.Chunks {
		out = append(out, piece{ch.Side, pos[ch.Side], ch.B, len(ch.B), pos[ch.Side.Other()]})
		pos[ch.Side] += uint64(len(ch.B))
	}
	return out
}

// player runs pieces through an engine of one or more protocols.
type player struct {
	protocols []*l7.Protocol
	options   *l7.Options
}

// result of one exchange: the parts that variants are compared by.
type result struct {
	req, resp uint64
	hasReq    bool
	hasResp   bool
	oneWay    bool
	text      string
	x         session.Exchange // strings stay valid
}

var testEnds = [2]netip.AddrPort{
	netip.MustParseAddrPort("10.0.0.1:40000"),
	netip.MustParseAddrPort("10.0.0.2:1"),
}

// play returns the exchanges of pieces. ack: chunks say what the other side
// had consumed, as system calls and TCP do.
func (pl player) play(c *Case, pieces []piece, ack bool) []result {
	var out []result
	options := pl.options
	if len(c.Rules) > 0 {
		own := l7.DefaultOptions()
		if options != nil {
			*own = *options
		}
		own.Rules, options = l7.NewRules(c.Rules), own
	}
	e := session.New(session.Config{Protocols: pl.protocols, Options: options, MaxLooks: 64}, func(x *session.Exchange) {
		out = append(out, result{req: x.Req.Pos, resp: x.Resp.Pos, hasReq: x.Req.Seen, hasResp: x.Resp.Seen, oneWay: x.OneWay, text: Format(x), x: copyOf(x)})
	})
	port := c.Port
	if port == 0 && len(pl.protocols) > 0 && len(pl.protocols[0].Ports) > 0 {
		port = pl.protocols[0].Ports[0]
	}
	conn := &stream.Conn{ID: 1, Transport: l7.TCP, A: testEnds[0], B: netip.AddrPortFrom(testEnds[1].Addr(), port),
		Role: stream.RoleClient, RoleConfidence: 255, Midstream: c.Midstream}
	if c.UDP {
		conn.Transport = l7.UDP
	}
	buf := make([]byte, 0, 64<<10)
	now := int64(1e18)
	for _, p := range pieces {
		now += 1000
		buf = append(buf[:0], p.b...)
		d := stream.FromA
		if p.side == l7.Server {
			d = stream.FromB
		}
		e.Put(&stream.Chunk{Conn: conn, Dir: d, Pos: p.pos, Seq: uint32(p.pos), Wire: uint32(p.wire), Time: now,
			Other: p.other, HasOther: ack && !c.UDP, B: buf})
		// What was lent is taken back: whoever kept it shows.
		for i := range buf {
			buf[i] = 0xa5
		}
	}
	e.Put(&stream.Chunk{Conn: conn, Close: true, Time: now + 1000})
	e.Flush()
	return out
}

func copyOf(x *session.Exchange) session.Exchange {
	c := *x
	c.Req.Msg.Attrs = append([]l7.Attr(nil), x.Req.Msg.Attrs...)
	c.Resp.Msg.Attrs = append([]l7.Attr(nil), x.Resp.Msg.Attrs...)
	return c
}
