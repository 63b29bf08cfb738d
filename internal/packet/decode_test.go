package packet

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
)

// tcp4 is a TCP segment in IPv4.
func tcp4(payload string) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[8], b[9] = 0x45, 64, ProtoTCP
	binary.BigEndian.PutUint16(b[2:], uint16(40+len(payload)))
	copy(b[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], 80)
	binary.BigEndian.PutUint32(b[24:], 1000)
	b[32], b[33] = 0x50, ACK|PSH
	return append(b, payload...)
}

func ether(et uint16, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12), et), b...)
}

func udp4(dst uint16, payload []byte) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, ProtoUDP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	copy(b[12:], []byte{192, 168, 0, 1, 192, 168, 0, 2})
	binary.BigEndian.PutUint16(b[20:], 50000)
	binary.BigEndian.PutUint16(b[22:], dst)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

func ip4(proto byte, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	copy(b[12:], []byte{192, 168, 0, 1, 192, 168, 0, 2})
	return append(b, payload...)
}

func ip6(next byte, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[8], b[24] = 0xfd, 0xfd
	return append(b, payload...)
}

func cat(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// inside lists the same segment in everything that may lie around it.
func inside() map[string]struct {
	link   Link
	b      []byte
	tunnel TunnelType
	id     uint32
	vlan   uint16
} {
	type c = struct {
		link   Link
		b      []byte
		tunnel TunnelType
		id     uint32
		vlan   uint16
	}
	seg := tcp4("hello")
	frame := ether(etIPv4, seg)
	sll := append(make([]byte, 14), 8, 0)
	sll2 := make([]byte, 20)
	sll2[0] = 8
	return map[string]c{
		"ethernet":     {LinkEthernet, frame, 0, 0, 0},
		"padded":       {LinkEthernet, append(append([]byte(nil), frame...), make([]byte, 9)...), 0, 0, 0},
		"raw":          {LinkRaw, seg, 0, 0, 0},
		"sll":          {LinkSLL, cat(sll, seg), 0, 0, 0},
		"sll2":         {LinkSLL2, cat(sll2, seg), 0, 0, 0},
		"null":         {LinkNull, cat([]byte{2, 0, 0, 0}, seg), 0, 0, 0},
		"loop":         {LinkLoop, cat([]byte{0, 0, 0, 2}, seg), 0, 0, 0},
		"vlan":         {LinkEthernet, ether(etVLAN, cat([]byte{0xe0, 7, 8, 0}, seg)), 0, 0, 7},
		"qinq":         {LinkEthernet, ether(etQinQ, cat([]byte{0, 1, 0x81, 0, 0, 9, 8, 0}, seg)), 0, 0, 9},
		"mpls":         {LinkEthernet, ether(etMPLS, cat([]byte{0, 0, 0x10, 64, 0, 0, 0x21, 64}, seg)), 0, 0, 0},
		"mpls pw":      {LinkEthernet, ether(etMPLS, cat([]byte{0, 0, 0x21, 64, 0, 0, 0, 0}, frame)), 0, 0, 0},
		"pppoe":        {LinkEthernet, ether(etPPPoE, cat([]byte{0x11, 0, 0, 1, 0, 47, 0, 0x21}, seg)), 0, 0, 0},
		"snap":         {LinkEthernet, ether(uint16(8+len(seg)), cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, seg)), 0, 0, 0},
		"vxlan":        {LinkEthernet, ether(etIPv4, udp4(portVXLAN, cat([]byte{8, 0, 0, 0, 0, 0, 42, 0}, frame))), VXLAN, 42, 0},
		"vxlan 8472":   {LinkEthernet, ether(etIPv4, udp4(portVXLANOld, cat([]byte{8, 0, 0, 0, 0, 0, 42, 0}, frame))), VXLAN, 42, 0},
		"vxlan gpe":    {LinkEthernet, ether(etIPv4, udp4(portVXLANGPE, cat([]byte{0xc, 0, 0, 1, 0, 0, 42, 0}, seg))), VXLANGPE, 42, 0},
		"vxlan nsh":    {LinkEthernet, ether(etIPv4, udp4(portVXLANGPE, cat([]byte{0xc, 0, 0, 4, 0, 0, 42, 0}, []byte{0, 2, 2, 3, 0, 0, 0, 0}, frame))), VXLANGPE, 42, 0},
		"geneve":       {LinkEthernet, ether(etIPv4, udp4(portGeneve, cat([]byte{1, 0, 0x65, 0x58, 0, 0, 43, 0, 1, 2, 3, 4}, frame))), Geneve, 43, 0},
		"gre":          {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0, 0, 8, 0}, seg))), GRE, 0, 0},
		"gre key":      {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1}, seg))), GRE, 5, 0},
		"gre teb":      {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0x20, 0, 0x65, 0x58, 0, 0, 0, 5}, frame))), GRE, 5, 0},
		"erspan 1":     {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0, 0, 0x88, 0xbe}, frame))), ERSPAN, 0, 0},
		"erspan 2":     {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 77, 0, 0, 0, 0}, frame))), ERSPAN, 77, 0},
		"erspan 3":     {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, frame))), ERSPAN, 77, 0},
		"ipip":         {LinkEthernet, ether(etIPv4, ip4(protoIPIP, seg)), IPIP, 0, 0},
		"4in6":         {LinkEthernet, ether(etIPv6, ip6(protoIPIP, seg)), IPIP, 0, 0},
		"vxlan in gre": {LinkEthernet, ether(etIPv4, ip4(protoGRE, cat([]byte{0, 0, 8, 0}, udp4(portVXLAN, cat([]byte{8, 0, 0, 0, 0, 0, 42, 0}, frame))))), VXLAN, 42, 0},
		"ah":           {LinkEthernet, ether(etIPv4, ip4(protoAH, cat([]byte{6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, seg[20:]))), 0, 0, 0},
	}
}

func TestDecode(t *testing.T) {
	for name, c := range inside() {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			var s Segment
			if r := d.Decode(&Frame{Link: c.link, Data: c.b, Wire: uint32(len(c.b))}, &s); r != OK {
				t.Fatal(r)
			}
			if string(s.Payload) != "hello" || s.Len != 5 || s.Seq != 1000 || s.SrcPort != 40000 || s.DstPort != 80 || s.Flags != ACK|PSH {
				t.Errorf("%+v", s)
			}
			if s.Tunnel.Type != c.tunnel || s.Tunnel.ID != c.id || s.VLAN != c.vlan {
				t.Errorf("tunnel %v %d vlan %d", s.Tunnel.Type, s.Tunnel.ID, s.VLAN)
			}
			if c.tunnel != NoTunnel && s.Tunnel.Src.Netip().String() != "192.168.0.1" && name != "4in6" {
				t.Errorf("outer source %v", s.Tunnel.Src.Netip())
			}
			if a := s.Src.Netip().String(); a != "10.0.0.1" && name != "ah" {
				t.Errorf("source %s", a)
			}
			// Cut at every length: the lengths on the wire stay what they were.
			for n := range c.b {
				r := d.Decode(&Frame{Link: c.link, Data: c.b[:n], Wire: uint32(len(c.b))}, &s)
				if r == OK && s.Proto == ProtoTCP && (s.Len != 5 || len(s.Payload) > 5 || string(s.Payload) != "hello"[:len(s.Payload)]) {
					t.Errorf("cut at %d: %q of %d", n, s.Payload, s.Len)
				}
			}
		})
	}
}

// A datagram in fragments, in any order, with repetitions, comes out whole.
func TestFragments(t *testing.T) {
	payload := make([]byte, 4000)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	whole := udp4(5000, payload)[20:]
	v4 := func(off, n int) []byte {
		p := ip4(ProtoUDP, whole[off:off+n])
		f := uint16(off / 8)
		if off+n < len(whole) {
			f |= 0x2000
		}
		binary.BigEndian.PutUint16(p[4:], 99)
		binary.BigEndian.PutUint16(p[6:], f)
		return p
	}
	v6 := func(off, n int) []byte {
		h := []byte{ProtoUDP, 0, 0, 0, 0, 0, 0, 9}
		f := uint16(off)
		if off+n < len(whole) {
			f |= 1
		}
		binary.BigEndian.PutUint16(h[2:], f)
		return ip6(extFragment, append(h, whole[off:off+n]...))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		make := v4
		if round%2 == 1 {
			make = v6
		}
		var d Decoder
		var s Segment
		var parts [][]byte
		for off := 0; off < len(whole); off += 1000 {
			parts = append(parts, make(off, min(1000, len(whole)-off)))
		}
		parts = append(parts, parts[rng.IntN(len(parts)-1)])
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		got := 0
		for _, p := range parts {
			if d.Decode(&Frame{Link: LinkRaw, Data: p}, &s) == OK {
				got++
				if string(s.Payload) != string(payload) || s.DstPort != 5000 {
					t.Fatalf("round %d: wrong datagram", round)
				}
			}
		}
		if got != 1 {
			t.Fatalf("round %d: %d datagrams", round, got)
		}
	}
	// Fragments that never get whole do not pile up.
	var d Decoder
	var s Segment
	for i := range 100000 {
		p := v4(1000, 1000)
		binary.BigEndian.PutUint16(p[4:], uint16(i))
		p[12] = byte(i >> 16)
		d.Decode(&Frame{Time: int64(i) * 1e6, Link: LinkRaw, Data: p}, &s)
	}
	if n := len(d.frags.byKey); n > maxFragmented || d.frags.bytes > maxFragmentBytes {
		t.Errorf("%d datagrams, %d bytes held", n, d.frags.bytes)
	}
	if d.Stats.FragmentsFull.Load() == 0 {
		t.Error("nothing counted")
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range inside() {
		f.Add(uint32(c.link), c.b, uint16(len(c.b)))
	}
	f.Fuzz(func(t *testing.T, link uint32, b []byte, wire uint16) {
		var d Decoder
		var s Segment
		for i := range 3 {
			if d.Decode(&Frame{Time: int64(i), Link: Link(link), Data: b, Wire: uint32(wire)}, &s) == OK {
				if len(s.Payload) > 0 && s.Proto == ProtoTCP && len(s.Payload) > int(s.Len) {
					t.Fatalf("payload %d of %d", len(s.Payload), s.Len)
				}
				k1, swapped := s.Key()
				r := s
				r.Src, r.Dst, r.SrcPort, r.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
				k2, back := r.Key()
				if k1 != k2 || (swapped == back && (s.Src != s.Dst || s.SrcPort != s.DstPort)) {
					t.Fatal("key depends on direction")
				}
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"ethernet", "vxlan"} {
		c := inside()[name]
		b.Run(name, func(b *testing.B) {
			var d Decoder
			var s Segment
			fr := Frame{Link: c.link, Data: c.b, Wire: uint32(len(c.b))}
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(&fr, &s)
			}
		})
	}
}

// BenchmarkRead is file to segment, on a capture of the corpus.
func BenchmarkRead(b *testing.B) {
	path := corpus(b) + "/packets/live/mysql-sysbench-text.pcap.gz"
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		var d Decoder
		var fr Frame
		var s Segment
		for f.Next(&fr) == nil {
			d.Decode(&fr, &s)
			n++
		}
		if err := f.Next(&fr); err != io.EOF {
			b.Fatal(err)
		}
		f.Close()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "packets/s")
}

// TestVLANsApart: the same addresses in two VLANs are two connections, unless
// VLANs are to be ignored; around a VXLAN they say nothing.
func TestVLANsApart(t *testing.T) {
	seg := tcp4("hello")
	key := func(d *Decoder, b []byte) Key {
		t.Helper()
		var s Segment
		if r := d.Decode(&Frame{Link: LinkEthernet, Data: b, Wire: uint32(len(b))}, &s); r != OK {
			t.Fatal(r)
		}
		k, _ := s.Key()
		return k
	}
	tag := func(id byte, inner []byte) []byte { return ether(etVLAN, cat([]byte{0, id, 8, 0}, inner)) }
	double := func(outer, id byte) []byte { return ether(etQinQ, cat([]byte{0, outer, 0x81, 0, 0, id, 8, 0}, seg)) }
	vxlan := udp4(portVXLAN, cat([]byte{8, 0, 0, 0, 0, 0, 42, 0}, ether(etIPv4, seg)))
	apart := [][]byte{ether(etIPv4, seg), tag(7, seg), tag(8, seg), double(7, 8), double(8, 8), ether(etIPv4, vxlan)}
	seen, joined := map[Key]int{}, map[Key]int{}
	for i, b := range apart {
		if j, ok := seen[key(&Decoder{}, b)]; ok {
			t.Errorf("%d and %d are one connection", i, j)
		}
		seen[key(&Decoder{}, b)] = i
		joined[key(&Decoder{NoTags: true}, b)] = i
	}
	if len(joined) != 2 { // that in the tunnel, and all others
		t.Errorf("%d connections without VLANs", len(joined))
	}
	if key(&Decoder{}, tag(7, vxlan)) != key(&Decoder{}, tag(8, vxlan)) {
		t.Error("the carrier's VLAN tells connections in a VXLAN apart")
	}
}
