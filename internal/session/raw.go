package session

import (
	"fmt"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// unparsed stands for what no protocol knows.
var unparsed = l7.Protocol{}

// NameUnparsed is the name of the spans of chunks that no protocol knows.
const NameUnparsed = "unparsed"

// Raw makes x the exchange of one chunk that no protocol knows: one way, with at
// most limit bytes of it, and with what a plugin's host needs to put the chunks
// of a connection together again: its place, its connection, and the first
// sequence numbers, of which exchange keys are made.
func (x *Exchange) Raw(c *stream.Chunk, limit int) {
	*x = Exchange{Conn: c.Conn, Facts: c.Conn.Facts, Protocol: &unparsed, OneWay: true, Over: c.Time}
	if client, ok := c.Conn.ClientDir(); ok {
		x.FromServer = c.Dir != client
	} else {
		x.FromServer = c.Dir == stream.FromB // of the two, A is the likelier client
	}
	m := l7.Message{Type: l7.TypeOneWay, Name: NameUnparsed, Attrs: []l7.Attr{
		{Key: "hopscope.payload.flow", Str: fmt.Sprintf("%016x", c.Conn.ID)},
		{Key: "hopscope.payload.position", Int: int64(c.Pos), Kind: l7.AttrInt},
	}}
	if k := c.Conn.Key; k.Known {
		m.Attrs = append(m.Attrs, l7.Attr{Key: "hopscope.payload.connection", Str: fmt.Sprintf("%08x%08x", k.Client, k.Server)})
	}
	x.Req = Half{Seen: true, Pos: c.Pos, Seq: c.Seq, Start: c.Time, End: c.Time, Bytes: uint64(c.Wire), Parts: 1,
		Ctx: c.Ctx, Last: c.Ctx, Msg: m, Payload: c.B[:min(len(c.B), limit)]}
}
