package ebpfreceiver

import (
	"net/netip"

	"github.com/hopscope/hopscope/internal/stream"
)

// bursts are servers that had connections whose calls move many small messages
// (session.Config.Burst): the next one is likely such a one, and more is kept of
// its calls from its first message on.
type bursts map[netip.AddrPort]struct{}

// maxBursts bounds them. Past it they are learnt anew.
const maxBursts = 1024

func (b bursts) learn(c *stream.Conn) {
	if at, ok := serverOf(c); ok {
		if len(b) >= maxBursts {
			clear(b)
		}
		b[at] = struct{}{}
	}
}

func (b bursts) expect(c *stream.Conn) bool {
	if len(b) == 0 {
		return false
	}
	at, ok := serverOf(c)
	if !ok {
		return false
	}
	_, ok = b[at]
	return ok
}

// serverOf is the server's end of c; unix sockets have none.
func serverOf(c *stream.Conn) (netip.AddrPort, bool) {
	d, ok := c.ClientDir()
	if !ok || c.Family == stream.Unix {
		return netip.AddrPort{}, false
	}
	if d == stream.FromA {
		return c.B, true
	}
	return c.A, true
}
