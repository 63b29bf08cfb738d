package kernel

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/net/bpf"
)

// Registers of a translated filter.
const (
	ctxReg  = asm.R6
	accReg  = asm.R7 // A
	idxReg  = asm.R8 // X
	baseReg = asm.R9 // where the network header is
)

// Of struct __sk_buff.
const (
	skbProtocol = 16
	skbIfindex  = 40
)

const (
	stackIndex = -4
	stackLoad  = -8
	etherHead  = 14
	labelOut   = "out"
)

// translate makes a program of traffic control of a classic filter, which sees
// packets from their network header on: what it lets through goes on to step
// keep. The classic loads of such programs are not used: a packet too short for
// one would end with "let it pass, ask nobody else", and we never decide for
// others.
func translate(code []bpf.Instruction, ifaces, steps *ebpf.Map, keep uint32) (asm.Instructions, error) {
	out := asm.Instructions{
		asm.Mov.Reg(ctxReg, asm.R1),
		asm.LoadMem(asm.R2, ctxReg, skbIfindex, asm.Word),
		asm.StoreMem(asm.RFP, stackIndex, asm.R2, asm.Word),
		asm.LoadMapPtr(asm.R1, ifaces.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackIndex),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, labelOut),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.Mov.Imm(accReg, 0),
		asm.Mov.Imm(idxReg, 0),
		asm.Mov.Imm(baseReg, etherHead),
		asm.JEq.Imm(asm.R0, int32(HeadEthernet), label(0)),
		asm.Mov.Imm(baseReg, 0),
	}
	for i, c := range code {
		ins, err := one(c, i, steps, keep)
		if err != nil {
			return nil, fmt.Errorf("instruction %d of the filter: %w", i, err)
		}
		ins[0] = ins[0].WithSymbol(label(i))
		out = append(out, ins...)
	}
	return append(out, asm.Mov.Imm(asm.R0, -1).WithSymbol(labelOut), asm.Return()), nil
}

// label names instruction i.
func label(i int) string { return fmt.Sprintf("i%d", i) }

// one translates the instruction at i.
func one(c bpf.Instruction, i int, steps *ebpf.Map, keep uint32) (asm.Instructions, error) {
	switch c := c.(type) {
	case bpf.LoadExtension:
		switch c.Num {
		case bpf.ExtProto:
			return asm.Instructions{asm.LoadMem(accReg, ctxReg, skbProtocol, asm.Word), asm.HostTo(asm.BE, accReg, asm.Half)}, nil
		case bpf.ExtInterfaceIndex:
			return asm.Instructions{asm.LoadMem(accReg, ctxReg, skbIfindex, asm.Word)}, nil
		}
	case bpf.LoadAbsolute:
		return load(asm.Instructions{asm.Mov.Reg(asm.R2, baseReg)}, c.Off, c.Size, accReg), nil
	case bpf.LoadIndirect:
		return load(asm.Instructions{asm.Mov.Reg(asm.R2, baseReg), asm.Add.Reg(asm.R2, idxReg)}, c.Off, c.Size, accReg), nil
	case bpf.LoadMemShift:
		return append(load(asm.Instructions{asm.Mov.Reg(asm.R2, baseReg)}, c.Off, 1, idxReg),
			asm.And.Imm(idxReg, 15), asm.LSh.Imm(idxReg, 2)), nil
	case bpf.ALUOpConstant:
		if c.Op == bpf.ALUOpAnd {
			return asm.Instructions{asm.And.Imm32(accReg, int32(c.Val))}, nil
		}
	case bpf.Jump:
		return asm.Instructions{asm.Ja.Label(label(i + 1 + int(c.Skip)))}, nil
	case bpf.JumpIf:
		return jumpIf(c, i)
	case bpf.RetConstant:
		if c.Val == 0 {
			return asm.Instructions{asm.Ja.Label(labelOut)}, nil
		}
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, ctxReg),
			asm.LoadMapPtr(asm.R2, steps.FD()),
			asm.Mov.Imm(asm.R3, int32(keep)),
			asm.FnTailCall.Call(),
			asm.Ja.Label(labelOut),
		}, nil
	}
	return nil, fmt.Errorf("%v is none that filters here are made of", c)
}

// load reads size bytes at R2 + off, in network order; what the packet does not
// have is let through by no filter.
func load(where asm.Instructions, off uint32, size int, to asm.Register) asm.Instructions {
	w := asm.Byte
	switch size {
	case 2:
		w = asm.Half
	case 4:
		w = asm.Word
	}
	out := append(where,
		asm.Add.Imm(asm.R2, int32(off)),
		asm.Mov.Reg(asm.R1, ctxReg),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackLoad),
		asm.Mov.Imm(asm.R4, int32(size)),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, labelOut),
		asm.LoadMem(to, asm.RFP, stackLoad, w),
	)
	if size > 1 {
		out = append(out, asm.HostTo(asm.BE, to, w))
	}
	return out
}

func jumpIf(c bpf.JumpIf, i int) (asm.Instructions, error) {
	yes, no := label(i+1+int(c.SkipTrue)), label(i+1+int(c.SkipFalse))
	var op asm.JumpOp
	switch c.Cond {
	case bpf.JumpEqual:
		op = asm.JEq
	case bpf.JumpNotEqual:
		op = asm.JNE
	case bpf.JumpGreaterThan:
		op = asm.JGT
	case bpf.JumpGreaterOrEqual:
		op = asm.JGE
	case bpf.JumpLessThan:
		op = asm.JLT
	case bpf.JumpLessOrEqual:
		op = asm.JLE
	case bpf.JumpBitsSet:
		op = asm.JSet
	case bpf.JumpBitsNotSet:
		op, yes, no = asm.JSet, no, yes
	default:
		return nil, fmt.Errorf("%v is no comparison that filters here are made of", c.Cond)
	}
	return asm.Instructions{op.Imm32(accReg, int32(c.Val), yes), asm.Ja.Label(no)}, nil
}
