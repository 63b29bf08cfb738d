package kernel

import (
	"context"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/net/bpf"
)

// frames that a filter is tried on: Ethernet, then as a bare packet would be.
var tried = map[string][]byte{
	"tcp":   append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0}, 0x45, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0, 'h', 'i', '.', '.'),
	"opts":  append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0}, 0x46, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 3, 1, 1, 1, 0, 0x9c, 0x40, 0, 81, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0),
	"short": append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0}, 0x45, 0, 0, 22, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40),
	"ip6":   append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0x86, 0xdd}, make([]byte, 60)...),
}

// filters that use everything that translate knows.
var filters = map[string][]bpf.Instruction{
	"all":  {bpf.RetConstant{Val: 1}},
	"none": {bpf.RetConstant{}},
	"proto": {bpf.LoadExtension{Num: bpf.ExtProto}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x800, SkipFalse: 1},
		bpf.RetConstant{Val: 1}, bpf.RetConstant{}},
	"interface": {bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 1, SkipTrue: 1},
		bpf.RetConstant{Val: 1}, bpf.RetConstant{}},
	"port": {bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: 2, Size: 2}, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 80, SkipFalse: 2},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: 80, SkipFalse: 1}, bpf.RetConstant{Val: 1}, bpf.RetConstant{}},
	"net": {bpf.LoadAbsolute{Off: 16, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfffffffe}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x0a000002, SkipTrue: 1},
		bpf.Jump{Skip: 1}, bpf.RetConstant{Val: 1}, bpf.RetConstant{}},
	"bits": {bpf.LoadAbsolute{Off: 33, Size: 1}, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 2, SkipTrue: 1}, bpf.RetConstant{},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x10, SkipFalse: 1}, bpf.RetConstant{Val: 1}, bpf.RetConstant{}},
	"greater": {bpf.LoadAbsolute{Off: 8, Size: 1}, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 63, SkipFalse: 2},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 65, SkipFalse: 1}, bpf.RetConstant{Val: 1}, bpf.RetConstant{}},
}

// TestTranslate runs filters in the kernel, behind the programs of interfaces,
// and wants what the classic machine says of the same packets.
func TestTranslate(t *testing.T) {
	needRoot(t)
	p, err := OpenPackets(PacketsConfig{RingBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.maps["hs_ifaces"].Put(uint32(1), uint32(HeadEthernet)); err != nil { // test runs are on lo
		t.Fatal(err)
	}
	passed := 0
	for fname, code := range filters {
		if err := p.Filter(code); err != nil {
			t.Fatal(fname, err)
		}
		for name, frame := range tried {
			want := classically(t, code, frame)
			before, _ := p.Counts()
			ret, err := p.progs["hs_packet_in"].Run(&ebpf.RunOptions{Data: frame})
			if err != nil {
				t.Fatal(fname, name, err)
			}
			after, dropped := p.Counts()
			if got := after > before; got != want || dropped != 0 {
				t.Errorf("filter %s, packet %s: passed %v, want %v (%d dropped)", fname, name, got, want, dropped)
			}
			if int32(ret) != -1 {
				t.Errorf("filter %s, packet %s: decided for others: %d", fname, name, int32(ret))
			}
			if want {
				passed++
			}
		}
	}
	if passed < 8 {
		t.Errorf("%d passed: the filters of this test let nothing through", passed)
	}
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	read := 0
	if err := p.Run(ctx, func(h *Packet, at int64, b []byte) {
		read++
		if h.Way != PacketIn || h.Iface != HeadEthernet || h.Ifindex != 1 || int(h.Wire) != len(b) || time.Since(time.Unix(0, at)).Abs() > time.Minute {
			t.Errorf("%+v, %d bytes", h, len(b))
		}
	}, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if read != passed {
		t.Errorf("%d passed, %d read", passed, read)
	}
}

// classically runs a filter as the kernel does for packet sockets.
func classically(t *testing.T, code []bpf.Instruction, frame []byte) bool {
	t.Helper()
	out := make([]bpf.Instruction, len(code)) // the machine of the library has no such extensions
	for i, c := range code {
		if e, ok := c.(bpf.LoadExtension); ok {
			v := uint32(1)
			if e.Num == bpf.ExtProto {
				v = uint32(frame[12])<<8 | uint32(frame[13])
			}
			c = bpf.LoadConstant{Dst: bpf.RegA, Val: v}
		}
		out[i] = c
	}
	vm, err := bpf.NewVM(out)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(frame[14:])
	return err == nil && n > 0
}
