// Package fuel rewrites a WebAssembly module so that no call of it runs for ever:
// every loop head and every function entry takes from a counter what the code
// behind it costs, and where the counter is used up the host is asked whether
// there is still time.
//
// wazero's own way, WithCloseOnContextDone, leaves to Go at every back edge,
// which makes loops 13 to 22 times slower; a counter costs about a tenth. A bare
// counter would bound instructions, which are not time. Asking the host once per
// Slice bounds time, whatever an instruction costs on this machine, and needs no
// clock in a call that ends early.
package fuel

import (
	"errors"
	"fmt"
)

// The function that the rewritten module imports: ()->i64, what to go on with.
// It panics when there is no time left.
const (
	Module = "hopscope_fuel"
	Name   = "more"
)

// Slice is how much fuel the host should give at a time: about 50 us of code that
// does one instruction in half a nanosecond.
const Slice = 100_000

// MaxModule bounds what is rewritten. A plugin of stock Go has 2 MB.
const MaxModule = 64 << 20

// entry is what a loop head or a function entry costs beside what is behind it:
// the injected code itself.
const entry = 4

// bulkShift: bytes that memory.copy and memory.fill move per unit are 1<<bulkShift,
// 16 GB/s at half a nanosecond a unit.
const bulkShift = 3

var (
	errShort   = errors.New("ends too early")
	errTooBig  = errors.New("module is larger than the limit")
	errMagic   = errors.New("not a WebAssembly 1.0 module")
	errSection = errors.New("unknown or repeated section")
)

// Section ids.
const (
	secType, secImport, secFunction, secTable, secMemory = 1, 2, 3, 4, 5
	secGlobal, secExport, secStart, secElem, secCode     = 6, 7, 8, 9, 10
	secData, secDataCount                                = 11, 12
)

// order is that of the sections in a module.
var order = [...]byte{secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart, secElem, secDataCount, secCode, secData}

// Inject returns the module with the counter in it. Custom sections (names,
// debugging) are left out.
func Inject(wasm []byte) ([]byte, error) {
	if len(wasm) > MaxModule {
		return nil, errTooBig
	}
	if len(wasm) < 8 || string(wasm[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, errMagic
	}
	var m module
	r := reader{b: wasm[8:]}
	for len(r.b) > 0 {
		id := r.byte()
		body := r.take(r.u32())
		if r.bad {
			return nil, fmt.Errorf("section %d: %w", id, errShort)
		}
		if id == 0 {
			continue
		}
		if id > secDataCount || m.has[id] {
			return nil, fmt.Errorf("section %d: %w", id, errSection)
		}
		m.has[id], m.sec[id] = true, body
	}
	return m.rewrite()
}

type module struct {
	sec [secDataCount + 1][]byte
	has [secDataCount + 1]bool
	// params of each type, type of each function defined here.
	params []uint32
	types  []uint32
	// imported functions and globals, and all globals: tick is the index of our
	// import, counter that of our global.
	tick, counter uint32
}

func (m *module) rewrite() ([]byte, error) {
	steps := []struct {
		id byte
		do func(r *reader) ([]byte, error)
	}{
		{secType, m.typeSection}, {secImport, m.importSection}, {secFunction, m.functionSection},
		{secTable, m.tableSection}, {secGlobal, m.globalSection}, {secExport, m.exportSection}, {secStart, m.startSection},
		{secElem, m.elemSection}, {secCode, m.codeSection},
	}
	for _, s := range steps {
		if !m.has[s.id] && s.id != secType && s.id != secImport && s.id != secGlobal {
			continue
		}
		r := &reader{b: m.sec[s.id]}
		if !m.has[s.id] {
			r.b = []byte{0} // an empty list
		}
		out, err := s.do(r)
		if err == nil && (r.bad || len(r.b) > 0) {
			err = errShort
		}
		if err != nil {
			return nil, fmt.Errorf("section %d: %w", s.id, err)
		}
		m.sec[s.id], m.has[s.id] = out, true
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range order {
		if m.has[id] {
			out = append(out, id)
			out = appendU(out, uint64(len(m.sec[id])))
			out = append(out, m.sec[id]...)
		}
	}
	return out, nil
}

// typeSection adds ()->i64 at the end.
func (m *module) typeSection(r *reader) ([]byte, error) {
	n := r.u32()
	rest := r.b
	for i := uint32(0); i < n && !r.bad; i++ {
		if r.byte() != 0x60 {
			return nil, errors.New("not a function type")
		}
		p := r.u32()
		r.take(p)
		r.take(r.u32())
		m.params = append(m.params, p)
	}
	out := appendU(nil, uint64(n)+1)
	out = append(out, rest[:len(rest)-len(r.b)]...)
	return append(out, 0x60, 0, 1, 0x7e), nil
}

// importSection adds our function after the others, so that of the functions only
// those defined here get a new number, each one more.
func (m *module) importSection(r *reader) ([]byte, error) {
	n := r.u32()
	rest := r.b
	for i := uint32(0); i < n && !r.bad; i++ {
		mod := string(r.take(r.u32()))
		r.take(r.u32())
		if mod == Module {
			return nil, fmt.Errorf("imports from %q, which is the host's", Module)
		}
		switch kind := r.byte(); kind {
		case 0:
			r.u32()
			m.tick++
		case 1:
			r.byte()
			r.limits()
		case 2:
			r.limits()
		case 3:
			r.take(2)
			m.counter++
		default:
			return nil, fmt.Errorf("import of kind %d", kind)
		}
	}
	out := appendU(nil, uint64(n)+1)
	out = append(out, rest[:len(rest)-len(r.b)]...)
	out = appendU(out, uint64(len(Module)))
	out = append(out, Module...)
	out = appendU(out, uint64(len(Name)))
	out = append(out, Name...)
	out = append(out, 0)
	return appendU(out, uint64(len(m.params))), nil
}

func (m *module) functionSection(r *reader) ([]byte, error) {
	all := r.b
	n := r.u32()
	for i := uint32(0); i < n && !r.bad; i++ {
		t := r.u32()
		if t >= uint32(len(m.params)) {
			return nil, fmt.Errorf("function of type %d, which is not there", t)
		}
		m.types = append(m.types, t)
	}
	return all, nil
}

// maxTable bounds a table: 8 bytes an entry, outside the memory limit. A plugin
// of stock Go has some 4,000.
const maxTable = 1 << 18

func (m *module) tableSection(r *reader) ([]byte, error) {
	all := r.b
	n := r.u32()
	if n > 16 {
		return nil, fmt.Errorf("%d tables", n)
	}
	for i := uint32(0); i < n && !r.bad; i++ {
		r.byte()
		if size := r.limits(); size > maxTable {
			return nil, fmt.Errorf("table of %d entries, at most %d are allowed", size, maxTable)
		}
	}
	return all, nil
}

// globalSection adds the counter at the end.
func (m *module) globalSection(r *reader) ([]byte, error) {
	n := r.u32()
	out := appendU(nil, uint64(n)+1)
	for i := uint32(0); i < n && !r.bad; i++ {
		out = append(out, r.take(2)...)
		var err error
		if out, err = m.expr(out, r); err != nil {
			return nil, err
		}
	}
	m.counter += n
	return append(out, 0x7e, 1, 0x42, 0, 0x0b), nil
}

func (m *module) exportSection(r *reader) ([]byte, error) {
	n := r.u32()
	out := appendU(nil, uint64(n))
	for i := uint32(0); i < n && !r.bad; i++ {
		name := r.take(r.u32())
		out = appendU(out, uint64(len(name)))
		out = append(out, name...)
		kind, idx := r.byte(), r.u32()
		if kind == 0 {
			idx = m.shift(idx)
		}
		out = appendU(append(out, kind), uint64(idx))
	}
	return out, nil
}

func (m *module) startSection(r *reader) ([]byte, error) {
	return appendU(nil, uint64(m.shift(r.u32()))), nil
}

func (m *module) elemSection(r *reader) ([]byte, error) {
	n := r.u32()
	out := appendU(nil, uint64(n))
	var err error
	for i := uint32(0); i < n && !r.bad; i++ {
		flags := r.u32()
		if flags > 7 {
			return nil, fmt.Errorf("element segment of kind %d", flags)
		}
		out = appendU(out, uint64(flags))
		active, exprs := flags&1 == 0, flags&4 != 0
		if active {
			if flags&2 != 0 {
				out = appendU(out, uint64(r.u32()))
			}
			if out, err = m.expr(out, r); err != nil {
				return nil, err
			}
		}
		if flags&3 != 0 {
			out = append(out, r.byte()) // element kind or type
		}
		k := r.u32()
		out = appendU(out, uint64(k))
		for j := uint32(0); j < k && !r.bad; j++ {
			if !exprs {
				out = appendU(out, uint64(m.shift(r.u32())))
			} else if out, err = m.expr(out, r); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// shift is the new number of a function.
func (m *module) shift(f uint32) uint32 {
	if f >= m.tick {
		return f + 1
	}
	return f
}
