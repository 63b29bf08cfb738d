package fuel

import (
	"errors"
	"fmt"
)

// The few instructions that are written or looked at by name.
const (
	opBlock, opLoop, opIf, opEnd = 0x02, 0x03, 0x04, 0x0b
	opBr, opBrIf, opBrTable      = 0x0c, 0x0d, 0x0e
	opReturn, opCallIndirect     = 0x0f, 0x11
	opCall, opLocalGet           = 0x10, 0x20
	opLocalSet, opTee            = 0x21, 0x22
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
//
// The counter is a global, since functions share it, but while a function runs
// it is in a local, which the compiler keeps in a register: a loop over bytes
// pays a third of what a global would cost it. It goes back into the global
// where other code of the module runs: at calls, and where the function ends.
type body struct {
	out    []byte
	code   []byte
	frames []frame
	heads  []head
	shape
	local uint32 // the counter's; the next one is for lengths, if bulk
}

// shape is what has to be known of a function before it is rewritten.
type shape struct{ loops, calls, bulk bool }

// plain: it neither loops nor calls, so that it ends soon. It only pays; whoever
// calls it looks whether there is something left.
func (s shape) plain() bool { return !s.loops && !s.calls && !s.bulk }

// frame is an open block; a loop is also a head.
type frame struct{ loop bool }

// head is a place that charges: at is where its cost is written, once known.
type head struct {
	at   int
	cost uint64
}

// look goes through a function without its locals. What is wrong with it is said
// when it is rewritten.
func (m *module) look(r reader) (s shape) {
	for len(r.b) > 0 && !r.bad {
		start := r.b
		op, err := r.instruction()
		if err != nil {
			return s
		}
		switch op {
		case opLoop:
			s.loops = true
		case opCall:
			call := reader{b: start[1:]}
			s.calls = s.calls || call.u32() >= m.tick
		case opCallIndirect:
			s.calls = true
		case opMisc:
			s.bulk = s.bulk || moves(start)
		}
	}
	return s
}

// moves tells memory.copy and memory.fill.
func moves(instr []byte) bool { return len(instr) > 2 && (instr[1] == 10 || instr[1] == 11) }

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
	b.shape, b.local = m.look(*r), uint32(locals)
	b.code, b.frames, b.heads = b.code[:0], append(b.frames[:0], frame{}), b.heads[:0]
	b.entry(m)
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
		b.heads[len(b.heads)-1].cost++
		last := len(b.frames) - 1
		calls := false
		switch op {
		case opBlock, opIf, opLoop:
			if len(b.frames) >= maxDepth {
				return nil, fmt.Errorf("blocks nest deeper than %d", maxDepth)
			}
			b.code = append(b.code, whole...)
			b.frames = append(b.frames, frame{op == opLoop})
			if op == opLoop {
				b.head(m, m.bare(whole[1:]))
			}
			continue
		case opEnd:
			if last == 0 {
				b.put(m)
			}
			if b.frames[last].loop || last == 0 {
				b.settle()
			}
			b.frames = b.frames[:last]
		case opReturn:
			b.put(m)
		case opBr, opBrIf, opBrTable:
			if leaves(whole, uint32(last)) {
				b.put(m)
			}
		case opCall:
			call := reader{b: whole[1:]}
			calls = call.u32() >= m.tick
		case opCallIndirect:
			calls = true
		case opMisc:
			if moves(whole) {
				b.moved(m)
			}
		}
		if calls {
			b.put(m)
		}
		if b.code, err = m.copyInstr(b.code, whole, op); err != nil {
			return nil, err
		}
		if calls {
			b.code = appendU(append(b.code, opGlobalGet), uint64(m.counter))
			b.code = appendU(append(b.code, opLocalSet), uint64(b.local))
		}
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("code after the end")
	}
	more := uint64(2)
	if b.plain() {
		more = 0
	}
	b.out = append(appendU(b.out[:0], uint64(groups)+more), decl...)
	if more > 0 {
		b.out = append(b.out, 1, 0x7e, 1, 0x7f)
	}
	b.out = append(b.out, b.code...)
	return b.out, nil
}

// leaves tells that a branch may end the function, which is depth blocks out.
func leaves(branch []byte, depth uint32) bool {
	r := reader{b: branch[1:]}
	n := uint32(0)
	if branch[0] == opBrTable {
		n = r.u32()
	}
	for range n + 1 {
		if r.u32() >= depth {
			return true
		}
	}
	return false
}

// entry charges for what runs before the first loop.
func (b *body) entry(m *module) {
	b.code = appendU(append(b.code, opGlobalGet), uint64(m.counter))
	b.charge()
	if b.plain() {
		b.code = appendU(append(b.code, opGlobalSet), uint64(m.counter))
		return
	}
	b.check(m, false)
}

// head charges for one turn of a loop. Where the counter was used up, the turn
// begins again: were the two ways to meet here instead, the compiler would keep
// what the loop works with in memory, for the sake of the call on the one.
func (b *body) head(m *module, bare bool) {
	b.code = appendU(append(b.code, opLocalGet), uint64(b.local))
	b.charge()
	b.check(m, bare)
}

// bare tells that a block of this type takes nothing from the stack.
func (m *module) bare(typ []byte) bool {
	if len(typ) == 1 && typ[0] >= 0x40 {
		return true
	}
	r := reader{b: typ}
	i := r.u32()
	return !r.bad && i < uint32(len(m.params)) && m.params[i] == 0
}

// charge takes from the counter, which is on the stack, a cost that is not known
// yet: five bytes.
func (b *body) charge() {
	b.code = append(b.code, opI64Const)
	b.heads = append(b.heads, head{at: len(b.code), cost: entry})
	b.code = append(b.code, 0x80, 0x80, 0x80, 0x80, 0, opI64Sub)
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

// put writes the counter where other functions find it.
func (b *body) put(m *module) {
	if b.plain() {
		return
	}
	b.code = appendU(append(b.code, opLocalGet), uint64(b.local))
	b.code = appendU(append(b.code, opGlobalSet), uint64(m.counter))
}

// check keeps the counter, which is on the stack, and asks for more if it is
// below zero; again: to begin the loop anew.
func (b *body) check(m *module, again bool) {
	b.code = appendU(append(b.code, opTee), uint64(b.local))
	b.code = append(b.code, opI64Const, 0, opI64LtS, opIf, voidBlock, opCall)
	b.code = appendU(b.code, uint64(m.tick))
	b.code = appendU(append(b.code, opLocalSet), uint64(b.local))
	if again {
		b.code = append(b.code, opBr, 1)
	}
	b.code = append(b.code, opEnd)
}

// moved charges memory.copy or memory.fill by the length on top of the stack.
func (b *body) moved(m *module) {
	length := uint64(b.local) + 1
	b.code = appendU(append(b.code, opTee), length)
	b.code = appendU(append(b.code, opLocalGet), uint64(b.local))
	b.code = appendU(append(b.code, opLocalGet), length)
	b.code = append(b.code, opExtendU, opI64Const, bulkShift, opI64ShrU, opI64Sub)
	b.check(m, false)
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
