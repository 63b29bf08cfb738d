package tap

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/hopscope/hopscope/internal/packet"
)

// l3 is a packet from its IP header on.
func l3(src, dst string, proto uint8) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	l4 := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, s.Port()), d.Port())
	l4 = append(l4, make([]byte, 16)...)
	l4[12] = 0x50
	if proto == packet.ProtoUDP {
		l4 = l4[:8]
		binary.BigEndian.PutUint16(l4[4:], 8)
	}
	if s.Addr().Is4() {
		b := make([]byte, 20)
		b[0], b[9] = 0x45, proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(l4)))
		copy(b[12:], s.Addr().AsSlice())
		copy(b[16:], d.Addr().AsSlice())
		return append(b, l4...)
	}
	b := make([]byte, 40)
	b[0], b[6] = 0x60, proto
	binary.BigEndian.PutUint16(b[4:], uint16(len(l4)))
	copy(b[8:], s.Addr().AsSlice())
	copy(b[24:], d.Addr().AsSlice())
	return append(b, l4...)
}

// vm runs the kernel's program here. The VM does not know the extensions, so
// they are replaced by what they would load.
func vm(t *testing.T, p *program, pkt []byte, iface uint32) bool {
	t.Helper()
	code, err := p.compile()
	if err != nil {
		t.Fatal(err)
	}
	proto := uint32(ethIPv4)
	if pkt[0]>>4 == 6 {
		proto = ethIPv6
	}
	for i, c := range code {
		if e, ok := c.(bpf.LoadExtension); ok {
			v := proto
			if e.Num == bpf.ExtInterfaceIndex {
				v = iface
			}
			code[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: v}
		}
	}
	m, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.Run(pkt)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestFilter(t *testing.T) {
	packets := map[string][]byte{
		"http":  l3("10.0.0.1:40000", "10.1.0.2:80", packet.ProtoTCP),
		"back":  l3("10.1.0.2:80", "10.0.0.1:40000", packet.ProtoTCP),
		"dns":   l3("10.0.0.1:40000", "8.8.8.8:53", packet.ProtoUDP),
		"http6": l3("[fd00::1]:40000", "[fd01::2]:80", packet.ProtoTCP),
		"dns6":  l3("[fd00::1]:40000", "[fd01::2]:53", packet.ProtoUDP),
	}
	for expr, want := range map[string]string{
		"":                               "http back dns http6 dns6",
		"tcp":                            "http back http6",
		"udp":                            "dns dns6",
		"ip6":                            "http6 dns6",
		"ip tcp":                         "http back",
		"tcp port 80":                    "http back http6",
		"dst port 80":                    "http http6",
		"src port 80":                    "back",
		"port 80 or 53":                  "http back dns http6 dns6",
		"udp port 53 or tcp dst port 80": "http dns http6 dns6",
		"host 8.8.8.8":                   "dns",
		"src host 10.1.0.2":              "back",
		"net 10.1.0.0/16":                "http back",
		"dst net fd01::/16":              "http6 dns6",
		"host fd00::1 and not port 53":   "http6",
		"not (tcp or port 53)":           "",
		"portrange 50-90":                "http back dns http6 dns6",
		"!tcp && ip":                     "dns",
		"src 10.0.0.1":                   "http dns",
	} {
		f, err := ParseFilter(expr)
		if err != nil {
			t.Errorf("%q: %v", expr, err)
			continue
		}
		for name, pkt := range packets {
			wanted := strings.Contains(" "+want+" ", " "+name+" ")
			if got := vm(t, &program{filter: f, snaplen: 100}, pkt, 1); got != wanted {
				t.Errorf("%q in the kernel: %s %v", expr, name, got)
			}
			var d packet.Decoder
			var s packet.Segment
			if r := d.Decode(&packet.Frame{Link: packet.LinkRaw, Data: pkt}, &s); r != packet.OK {
				t.Fatal(r)
			}
			if got := f.Match(&s); got != wanted {
				t.Errorf("%q on the segment: %s %v", expr, name, got)
			}
		}
	}
	for _, bad := range []string{"port", "port x", "tcp port", "foo", "(tcp", "tcp)", "host 1.2.3", "and tcp", "not", "portrange 9-3", "port 1-2", "80",
		strings.Repeat("(", 100) + "tcp" + strings.Repeat(")", 100), strings.Repeat("not ", 100) + "tcp"} {
		if _, err := ParseFilter(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// Interfaces, the collector's own connections, and what only the collector can
// judge.
func TestProgram(t *testing.T) {
	http := l3("10.0.0.1:40000", "10.1.0.2:80", packet.ProtoTCP)
	f, _ := ParseFilter("tcp port 8080")
	if vm(t, &program{snaplen: 1, ifaces: []uint32{3, 4}}, http, 5) || !vm(t, &program{snaplen: 1, ifaces: []uint32{3, 4}}, http, 4) {
		t.Error("interfaces")
	}
	own := &program{snaplen: 1, own: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("[fd00::1]:40000")}}
	if vm(t, own, http, 1) || vm(t, own, l3("10.1.0.2:80", "10.0.0.1:40000", packet.ProtoTCP), 1) ||
		vm(t, own, l3("[fd00::1]:40000", "[fd01::2]:80", packet.ProtoTCP), 1) || !vm(t, own, l3("10.0.0.9:40000", "10.1.0.2:80", packet.ProtoTCP), 1) {
		t.Error("own connections")
	}
	p := &program{snaplen: 1, filter: f}
	frag := append([]byte(nil), http...)
	frag[7] = 9
	if vm(t, p, http, 1) || !vm(t, p, frag, 1) || !vm(t, p, l3("10.0.0.1:40000", "10.1.0.2:4789", packet.ProtoUDP), 1) ||
		!vm(t, p, l3("[fd00::1]:40000", "[fd01::2]:6081", packet.ProtoUDP), 1) || !vm(t, p, l3("10.0.0.1:1", "10.0.0.2:1", 47), 1) {
		t.Error("tunnels and fragments")
	}
	many := &program{snaplen: 1, filter: f}
	for i := range 200 {
		many.own = append(many.own, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i)))
	}
	if _, err := many.compile(); err == nil {
		t.Error("too long a program compiles")
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"tcp port 80", "not (udp and host 1.2.3.4) or net fd00::/8", "port 1 or 2 or 3"} {
		f.Add(s)
	}
	pkt := l3("10.0.0.1:40000", "10.1.0.2:80", packet.ProtoTCP)
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseFilter(s)
		if err != nil {
			return
		}
		p := program{filter: e, snaplen: 1}
		if _, err := p.compile(); err == nil {
			vm(t, &p, pkt, 1)
		}
	})
}
