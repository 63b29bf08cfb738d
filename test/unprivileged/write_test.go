package unprivileged

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
)

// capturing writes frames as a pcap file of raw IPv4.
type capturing struct {
	bytes.Buffer
	now uint32 // microseconds
}

// write makes a capture of connections as a network without loss would have
// shown them.
func write(path string, cases []said) error {
	var f capturing
	le := binary.LittleEndian
	head := le.AppendUint32(nil, 0xa1b2c3d4)
	head = le.AppendUint16(le.AppendUint16(head, 2), 4)
	head = append(head, make([]byte, 8)...)
	f.Write(le.AppendUint32(le.AppendUint32(head, 1<<17), uint32(packet.LinkRaw)))
	for i := range cases {
		f.connection(&cases[i])
	}
	return os.WriteFile(path, f.Bytes(), 0o600)
}

// segment is the most that one packet of a capture has.
const segment = 1400

func (f *capturing) connection(c *said) {
	ends := [2]netip.AddrPort{l7.Client: c.client, l7.Server: c.server}
	if c.udp {
		for _, ch := range c.chunks {
			from, to := ends[ch.Side], ends[ch.Side.Other()]
			b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from.Port()), to.Port())
			b = binary.BigEndian.AppendUint16(b, uint16(8+len(ch.B)))
			f.frame(from, to, packet.ProtoUDP, append(append(b, 0, 0), ch.B...))
		}
		return
	}
	seq := [2]uint32{1000 * uint32(c.client.Port()), 7000 * uint32(c.client.Port())}
	send := func(side l7.Side, flags uint8, b []byte) {
		from, to := ends[side], ends[side.Other()]
		h := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from.Port()), to.Port())
		h = binary.BigEndian.AppendUint32(h, seq[side])
		ack := seq[side.Other()]
		if flags&packet.ACK == 0 {
			ack = 0
		}
		h = binary.BigEndian.AppendUint32(h, ack)
		f.frame(from, to, packet.ProtoTCP, append(append(h, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0), b...))
		seq[side] += uint32(len(b))
		if flags&(packet.SYN|packet.FIN) != 0 {
			seq[side]++
		}
	}
	send(l7.Client, packet.SYN, nil)
	send(l7.Server, packet.SYN|packet.ACK, nil)
	send(l7.Client, packet.ACK, nil)
	for _, ch := range c.chunks {
		for b := ch.B; len(b) > 0; b = b[min(segment, len(b)):] {
			send(ch.Side, packet.ACK|packet.PSH, b[:min(segment, len(b))])
			send(ch.Side.Other(), packet.ACK, nil)
		}
	}
	send(l7.Client, packet.FIN|packet.ACK, nil)
	send(l7.Server, packet.FIN|packet.ACK, nil)
	send(l7.Client, packet.ACK, nil)
}

// frame writes one IPv4 packet, a tenth of a millisecond after the last.
func (f *capturing) frame(from, to netip.AddrPort, proto uint8, b []byte) {
	f.now += 100
	n := uint32(20 + len(b))
	le, be := binary.LittleEndian, binary.BigEndian
	h := le.AppendUint32(le.AppendUint32(nil, 1_700_000_000+f.now/1e6), f.now%1e6)
	h = le.AppendUint32(le.AppendUint32(h, n), n)
	h = be.AppendUint16(append(h, 0x45, 0), uint16(n))
	h = append(h, 0, 0, 0, 0, 64, proto, 0, 0)
	src, dst := from.Addr().As4(), to.Addr().As4()
	f.Write(append(append(h, src[:]...), dst[:]...))
	f.Write(b)
}
