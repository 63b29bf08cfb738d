package tap

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"

	"github.com/hopscope/hopscope/internal/packet"
)

// program describes what the kernel lets through: packets that begin with
// their IP header, of these interfaces, that are not the collector's own and
// match the filter.
type program struct {
	filter  *Filter
	ifaces  []uint32 // none: all
	own     []netip.AddrPort
	snaplen uint32
}

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

type label int

// asm collects instructions; jumps name labels until they are resolved.
type asm struct {
	code []bpf.Instruction
	to   map[int]label // jump at index → label
	at   []int         // label → index
}

func (a *asm) label() label {
	a.at = append(a.at, -1)
	return label(len(a.at) - 1)
}

func (a *asm) set(l label) { a.at[l] = len(a.code) }

func (a *asm) emit(i bpf.Instruction) { a.code = append(a.code, i) }

func (a *asm) jump(l label) {
	a.to[len(a.code)] = l
	a.emit(bpf.Jump{})
}

// when goes to yes or no by a comparison of the accumulator. The distance of
// conditional jumps is one byte, so they only skip.
func (a *asm) when(c bpf.JumpTest, v uint32, yes, no label) {
	a.emit(bpf.JumpIf{Cond: c, Val: v, SkipFalse: 1})
	a.jump(yes)
	a.jump(no)
}

// must goes on if the comparison holds, else to no.
func (a *asm) must(c bpf.JumpTest, v uint32, no label) {
	a.emit(bpf.JumpIf{Cond: c, Val: v, SkipTrue: 1})
	a.jump(no)
}

// compile makes the program. Ports and addresses behind IPv6 extension headers
// are not found in the kernel: such packets pass.
func (p *program) compile() ([]bpf.Instruction, error) {
	a := &asm{to: map[int]label{}}
	accept, drop := a.label(), a.label()
	for _, o := range p.own {
		next := a.label()
		hit := a.label()
		n := &node{test: test{protos: []uint8{packet.ProtoTCP}, dir: 's', ports: true, lo: o.Port(), hi: o.Port(), prefix: netip.PrefixFrom(o.Addr(), o.Addr().BitLen())}}
		second := a.label()
		n.gen(a, hit, second)
		a.set(second)
		m := &node{test: n.test}
		m.dir = 'd'
		m.gen(a, hit, next)
		a.set(hit)
		a.jump(drop)
		a.set(next)
	}
	if len(p.ifaces) > 0 {
		ok := a.label()
		a.emit(bpf.LoadExtension{Num: bpf.ExtInterfaceIndex})
		for _, i := range p.ifaces {
			next := a.label()
			a.when(bpf.JumpEqual, i, ok, next)
			a.set(next)
		}
		a.jump(drop)
		a.set(ok)
	}
	if p.filter != nil && p.filter.root != nil {
		no := a.label()
		p.filter.root.gen(a, accept, no)
		a.set(no)
		a.undecided(accept, drop)
	} else {
		a.jump(accept)
	}
	a.set(accept)
	a.emit(bpf.RetConstant{Val: p.snaplen})
	a.set(drop)
	a.emit(bpf.RetConstant{})
	for i, l := range a.to {
		a.code[i] = bpf.Jump{Skip: uint32(a.at[l] - i - 1)}
	}
	if len(a.code) > maxInstructions {
		return nil, fmt.Errorf("the filter takes %d instructions, the kernel allows %d", len(a.code), maxInstructions)
	}
	return a.code, nil
}

const (
	ethIPv4 = 0x0800
	ethIPv6 = 0x86dd
)

// undecided lets pass what only the collector can judge: tunnels, fragments,
// extension headers, tags.
func (a *asm) undecided(yes, no label) {
	v4, v6 := a.label(), a.label()
	udp := a.label()
	a.emit(bpf.LoadExtension{Num: bpf.ExtProto})
	n := a.label()
	a.when(bpf.JumpEqual, ethIPv4, v4, n)
	a.set(n)
	a.when(bpf.JumpEqual, ethIPv6, v6, yes) // tags, MPLS, PPPoE
	a.set(v4)
	a.emit(bpf.LoadAbsolute{Off: 6, Size: 2})
	whole := a.label()
	a.when(bpf.JumpBitsSet, 0x3fff, yes, whole)
	a.set(whole)
	a.emit(bpf.LoadAbsolute{Off: 9, Size: 1})
	for _, p := range [...]uint32{4, 41, 47, 97, 137, 51} {
		n := a.label()
		a.when(bpf.JumpEqual, p, yes, n)
		a.set(n)
	}
	a.must(bpf.JumpEqual, packet.ProtoUDP, no)
	a.emit(bpf.LoadMemShift{Off: 0})
	a.emit(bpf.LoadIndirect{Off: 2, Size: 2})
	a.jump(udp)
	a.set(v6)
	a.emit(bpf.LoadAbsolute{Off: 6, Size: 1})
	for _, p := range [...]uint32{packet.ProtoTCP, packet.ProtoICMPv6} {
		n := a.label()
		a.when(bpf.JumpEqual, p, no, n)
		a.set(n)
	}
	a.must(bpf.JumpEqual, packet.ProtoUDP, yes) // extensions and tunnels
	a.emit(bpf.LoadAbsolute{Off: 42, Size: 2})
	a.set(udp)
	for _, p := range [...]uint32{4789, 8472, 4790, 6081, 2152, 6635, 4754, 3544} {
		n := a.label()
		a.when(bpf.JumpEqual, p, yes, n)
		a.set(n)
	}
	a.jump(no)
}

// gen makes code that goes to yes or no.
func (n *node) gen(a *asm, yes, no label) {
	switch n.op {
	case '!':
		n.x.gen(a, no, yes)
		return
	case '&':
		mid := a.label()
		n.x.gen(a, mid, no)
		a.set(mid)
		n.y.gen(a, yes, no)
		return
	case '|':
		mid := a.label()
		n.x.gen(a, yes, mid)
		a.set(mid)
		n.y.gen(a, yes, no)
		return
	}
	v4, v6, try6 := a.label(), a.label(), a.label()
	a.emit(bpf.LoadExtension{Num: bpf.ExtProto})
	a.when(bpf.JumpEqual, ethIPv4, v4, try6)
	a.set(try6)
	a.when(bpf.JumpEqual, ethIPv6, v6, no)
	a.set(v4)
	if n.version == 6 || n.prefix.IsValid() && !n.prefix.Addr().Is4() {
		a.jump(no)
	} else {
		n.gen4(a, yes, no)
	}
	a.set(v6)
	if n.version == 4 || n.prefix.IsValid() && n.prefix.Addr().Is4() {
		a.jump(no)
	} else {
		n.gen6(a, yes, no)
	}
}

func (n *node) transport(a *asm, off uint32, no label) {
	protos := n.protos
	if len(protos) == 0 {
		if !n.ports {
			return
		}
		protos = []uint8{packet.ProtoTCP, packet.ProtoUDP}
	}
	ok := a.label()
	a.emit(bpf.LoadAbsolute{Off: off, Size: 1})
	for _, p := range protos {
		next := a.label()
		a.when(bpf.JumpEqual, uint32(p), ok, next)
		a.set(next)
	}
	a.jump(no)
	a.set(ok)
}

// either runs a test on the source and on the destination, as dir wants it.
func (n *node) either(a *asm, no label, one func(dst bool, no label)) {
	switch n.dir {
	case 's':
		one(false, no)
	case 'd':
		one(true, no)
	default:
		ok, second := a.label(), a.label()
		one(false, second)
		a.jump(ok)
		a.set(second)
		one(true, no)
		a.set(ok)
	}
}

func (n *node) gen4(a *asm, yes, no label) {
	n.transport(a, 9, no)
	if n.prefix.IsValid() {
		b := n.prefix.Addr().As4()
		mask := ^uint32(0) << (32 - n.prefix.Bits())
		want := binary.BigEndian.Uint32(b[:]) & mask
		n.either(a, no, func(dst bool, no label) {
			off := uint32(12)
			if dst {
				off = 16
			}
			a.emit(bpf.LoadAbsolute{Off: off, Size: 4})
			a.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
			a.must(bpf.JumpEqual, want, no)
		})
	}
	if n.ports {
		a.emit(bpf.LoadAbsolute{Off: 6, Size: 2})
		a.must(bpf.JumpBitsNotSet, 0x1fff, no) // only the first fragment has ports
		a.emit(bpf.LoadMemShift{Off: 0})
		n.either(a, no, func(dst bool, no label) {
			off := uint32(0)
			if dst {
				off = 2
			}
			a.emit(bpf.LoadIndirect{Off: off, Size: 2})
			a.must(bpf.JumpGreaterOrEqual, uint32(n.lo), no)
			a.must(bpf.JumpLessOrEqual, uint32(n.hi), no)
		})
	}
	a.jump(yes)
}

func (n *node) gen6(a *asm, yes, no label) {
	n.transport(a, 6, no)
	if n.prefix.IsValid() {
		b := n.prefix.Addr().As16()
		n.either(a, no, func(dst bool, no label) {
			off := uint32(8)
			if dst {
				off = 24
			}
			for bits, i := n.prefix.Bits(), uint32(0); bits > 0; bits, i = bits-32, i+4 {
				mask := ^uint32(0)
				if bits < 32 {
					mask <<= 32 - bits
				}
				a.emit(bpf.LoadAbsolute{Off: off + i, Size: 4})
				a.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
				a.must(bpf.JumpEqual, binary.BigEndian.Uint32(b[i:])&mask, no)
			}
		})
	}
	if n.ports {
		n.either(a, no, func(dst bool, no label) {
			off := uint32(40)
			if dst {
				off = 42
			}
			a.emit(bpf.LoadAbsolute{Off: off, Size: 2})
			a.must(bpf.JumpGreaterOrEqual, uint32(n.lo), no)
			a.must(bpf.JumpLessOrEqual, uint32(n.hi), no)
		})
	}
	a.jump(yes)
}
