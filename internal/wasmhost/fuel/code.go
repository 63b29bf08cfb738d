package fuel

import (
	"errors"
	"fmt"
)

// The few instructions that are written or looked at by name.
const (
	opBlock, opLoop, opIf, opEnd = 0x02, 0x03, 0x04, 0x0b
	opCall, opLocalGet, opTee    = 0x10, 0x20, 0x22
	opGlobalGet, opGlobalSet     = 0x23, 0x24
	opI64Const, opI64LtS         = 0x42, 0x53
	opI64Sub, opI64ShrU          = 0x7d, 0x88
	opExtendU, opRefFunc         = 0xad, 0xd2
	opMisc, opVector             = 0xfc, 0xfd
	voidBlock                    = 0x40
)

// maxDepth bounds nested blocks, so that a crafted body takes no memory. Go's
// switch tables nest some thousands deep.
const maxDepth = 1 << 20

func (m *module) codeSection(r *reader) ([]byte, error) {
	n := r.u32()
	if n != uint32(len(m.types)) {
		return nil, fmt.Errorf("%d bodies for %d functions", n, len(m.types))
	}
	out := make([]byte, 0, len(r.b)+len(r.b)/4)
	out = appendU(out, uint64(n))
	var b body
	for i := range m.types {
		in := reader{b: r.take(r.u32())}
		if r.bad {
			return nil, errShort
		}
		code, err := m.function(&b, &in, m.types[i])
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", i, err)
		}
		out = appendU(out, uint64(len(code)))
		out = append(out, code...)
	}
	return out, nil
}

// body is the state of rewriting one function.
type body struct {
	out    []byte
	code   []byte
	frames []frame
	heads  []head
}

// frame is an open block; a loop is also a head.
type frame struct{ loop bool }

// head is a place that charges: at is where its cost is written, once known.
type head struct {
	at   int
	cost uint64
}

func (m *module) function(b *body, r *reader, typ uint32) ([]byte, error) {
	groups := r.u32()
	decl := r.b
	locals := uint64(m.params[typ])
	for i := uint32(0); i < groups && !r.bad; i++ {
		locals += uint64(r.u32())
		r.byte()
	}
	if r.bad || locals > 1<<20 {
		return nil, errShort
	}
	decl = decl[:len(decl)-len(r.b)]
	b.code, b.frames, b.heads = b.code[:0], append(b.frames[:0], frame{}), b.heads[:0]
	b.head(m)
	bulk := false
	for len(b.frames) > 0 {
		start := r.b
		op, err := r.instruction()
		if err != nil {
			return nil, err
		}
		if r.bad {
			return nil, errShort
		}
		whole := start[:len(start)-len(r.b)]
		top := &b.heads[len(b.heads)-1]
		top.cost++
		switch op {
		case opBlock, opIf, opLoop:
			if len(b.frames) >= maxDepth {
				return nil, fmt.Errorf("blocks nest deeper than %d", maxDepth)
			}
			b.code = append(b.code, whole...)
			b.frames = append(b.frames, frame{op == opLoop})
			if op == opLoop {
				b.head(m)
			}
			continue
		case opEnd:
			last := len(b.frames) - 1
			if b.frames[last].loop || last == 0 {
				b.settle()
			}
			b.frames = b.frames[:last]
		case opMisc:
			if sub := whole[1]; len(whole) > 2 && (sub == 10 || sub == 11) {
				bulk = true
				b.moved(m, uint32(locals))
			}
		}
		b.code, err = m.copyInstr(b.code, whole, op)
		if err != nil {
			return nil, err
		}
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("code after the end")
	}
	b.out = b.out[:0]
	if bulk {
		b.out = append(appendU(b.out, uint64(groups)+1), decl...)
		b.out = append(b.out, 1, 0x7f)
	} else {
		b.out = append(appendU(b.out, uint64(groups)), decl...)
	}
	b.out = append(b.out, b.code...)
	return b.out, nil
}

// head writes the charge of a place whose cost is not known yet, in five bytes.
func (b *body) head(m *module) {
	b.code = appendU(append(b.code, opGlobalGet), uint64(m.counter))
	b.code = append(b.code, opI64Const)
	b.heads = append(b.heads, head{at: len(b.code), cost: entry})
	b.code = append(b.code, 0x80, 0x80, 0x80, 0x80, 0, opI64Sub)
	b.check(m)
}

// settle writes the cost of the innermost head.
func (b *body) settle() {
	h := b.heads[len(b.heads)-1]
	b.heads = b.heads[:len(b.heads)-1]
	c := min(h.cost, 1<<30)
	for i := range 4 {
		b.code[h.at+i] = byte(c>>(7*i))&0x7f | 0x80
	}
	b.code[h.at+4] = byte(c >> 28)
}

// check stores what is left and asks for more where that is below zero.
func (b *body) check(m *module) {
	b.code = appendU(append(b.code, opGlobalSet), uint64(m.counter))
	b.code = appendU(append(b.code, opGlobalGet), uint64(m.counter))
	b.code = append(b.code, opI64Const, 0, opI64LtS, opIf, voidBlock, opCall)
	b.code = appendU(b.code, uint64(m.tick))
	b.code = appendU(append(b.code, opGlobalSet), uint64(m.counter))
	b.code = append(b.code, opEnd)
}

// moved charges memory.copy or memory.fill by the length on top of the stack,
// which local keeps.
func (b *body) moved(m *module, local uint32) {
	b.code = appendU(append(b.code, opTee), uint64(local))
	b.code = appendU(append(b.code, opGlobalGet), uint64(m.counter))
	b.code = appendU(append(b.code, opLocalGet), uint64(local))
	b.code = append(b.code, opExtendU, opI64Const, bulkShift, opI64ShrU, opI64Sub)
	b.check(m)
}

// copyInstr appends one instruction, its function number shifted.
func (m *module) copyInstr(out, whole []byte, op byte) ([]byte, error) {
	if op != opCall && op != opRefFunc {
		return append(out, whole...), nil
	}
	r := reader{b: whole[1:]}
	return appendU(append(out, op), uint64(m.shift(r.u32()))), nil
}

// expr copies a constant expression.
func (m *module) expr(out []byte, r *reader) ([]byte, error) {
	for {
		start := r.b
		op, err := r.instruction()
		if err != nil {
			return nil, err
		}
		if r.bad {
			return nil, errShort
		}
		if out, err = m.copyInstr(out, start[:len(start)-len(r.b)], op); err != nil {
			return nil, err
		}
		switch op {
		case opEnd:
			return out, nil
		case opBlock, opLoop, opIf:
			return nil, fmt.Errorf("block in a constant expression")
		}
	}
}

// instruction reads one instruction past its immediates.
func (r *reader) instruction() (byte, error) {
	op := r.byte()
	switch {
	case op == opBlock || op == opLoop || op == opIf:
		r.leb() // block type, s33
	case op == 0x0c || op == 0x0d || op == opCall || op >= 0x20 && op <= 0x26 || op == opRefFunc:
		r.u32()
	case op == 0x0e:
		n := r.u32()
		for i := uint32(0); i < n && !r.bad; i++ {
			r.u32()
		}
		r.u32()
	case op == 0x11:
		r.u32()
		r.u32()
	case op == 0x1c:
		r.take(r.u32())
	case op >= 0x28 && op <= 0x3e:
		r.u32()
		r.leb()
	case op == 0x3f || op == 0x40 || op == 0xd0:
		r.byte()
	case op == 0x41 || op == opI64Const:
		r.leb()
	case op == 0x43:
		r.take(4)
	case op == 0x44:
		r.take(8)
	case op == opMisc:
		return op, r.misc()
	case op == opVector:
		return op, r.vector()
	case op <= 0x01, op == 0x05, op == opEnd, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	default:
		return op, fmt.Errorf("unknown instruction %#x", op)
	}
	return op, nil
}

func (r *reader) misc() error {
	if len(r.b) > 0 && r.b[0] >= 0x80 {
		return fmt.Errorf("instruction 0xfc with a long number")
	}
	switch sub := r.u32(); {
	case sub <= 7:
	case sub == 15:
		// No tool chain emits it, and tables are outside the memory limit.
		return errors.New("table.grow is not allowed")
	case sub == 9, sub == 13, sub == 16, sub == 17, sub == 11:
		r.u32()
	case sub == 8, sub == 10, sub == 12, sub == 14:
		r.u32()
		r.u32()
	default:
		return fmt.Errorf("unknown instruction 0xfc %d", sub)
	}
	return nil
}

func (r *reader) vector() error {
	switch sub := r.u32(); {
	case sub <= 11, sub == 92, sub == 93:
		r.u32()
		r.leb()
	case sub >= 84 && sub <= 91:
		r.u32()
		r.leb()
		r.byte()
	case sub == 12, sub == 13:
		r.take(16)
	case sub >= 21 && sub <= 34:
		r.byte()
	case sub > 255:
		return fmt.Errorf("unknown instruction 0xfd %d", sub)
	}
	return nil
}
