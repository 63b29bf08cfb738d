//go:build linux

package kernel

import (
	"bytes"
	"debug/elf"
	"debug/gosym"
	"errors"
	"fmt"
	"slices"
)

// Why a function can't be hooked.
var (
	errNoFunc     = errors.New("not in the executable")
	errNoPrologue = errors.New("does not begin like a function of Go")
)

// maxPclntab bounds the table of functions that is read of a stripped
// executable: some ten times its size is in memory for a moment.
const maxPclntab = 32 << 20

// goFuncs is where functions of a Go executable are: by its symbols, or, of a
// stripped one, by the table that Go's own stack traces need.
func goFuncs(f *elf.File, names []string) (map[string]uint64, error) {
	out := map[string]uint64{}
	syms, err := f.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return out, pclnFuncs(f, names, out)
	}
	for i := range syms {
		if slices.Contains(names, syms[i].Name) && elf.ST_TYPE(syms[i].Info) == elf.STT_FUNC {
			out[syms[i].Name] = syms[i].Value
		}
	}
	return out, err
}

// goFunc is where a function of all begins, as an offset in the file. What is there has to look like the beginning of a function: a breakpoint
// in the middle of an instruction would kill the process.
func goFunc(f *elf.File, all map[string]uint64, name string) (uint64, error) {
	at, ok := all[name]
	if !ok {
		return 0, fmt.Errorf("%s: %w", name, errNoFunc)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || at < p.Vaddr || at+prologueSize > p.Vaddr+p.Filesz {
			continue
		}
		var head [prologueSize]byte
		if _, err := p.ReadAt(head[:], int64(at-p.Vaddr)); err != nil {
			return 0, fmt.Errorf("%s: read its beginning: %w", name, err)
		}
		if !prologue(f.Machine, head[:]) {
			return 0, fmt.Errorf("%s: %w", name, errNoPrologue)
		}
		return at - p.Vaddr + p.Off, nil
	}
	return 0, fmt.Errorf("%s: %w", name, errNoFunc)
}

func pclnFuncs(f *elf.File, names []string, out map[string]uint64) error {
	tab := f.Section(".gopclntab")
	if tab == nil {
		tab = f.Section(".data.rel.ro.gopclntab") // position-independent
	}
	text := f.Section(".text")
	if tab == nil || text == nil || tab.Size > maxPclntab {
		return nil
	}
	data, err := tab.Data()
	if err != nil {
		return fmt.Errorf("read the table of functions: %w", err)
	}
	if !slices.ContainsFunc(names, func(n string) bool { return bytes.Contains(data, append([]byte(n), 0)) }) {
		return nil
	}
	t, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		return fmt.Errorf("read the table of functions: %w", err)
	}
	for _, n := range names {
		if fn := t.LookupFunc(n); fn != nil {
			out[n] = fn.Entry
		}
	}
	return nil
}

const prologueSize = 13

// prologue reports whether b is how a function of Go begins that may need more
// stack: it compares the stack pointer with the goroutine's limit.
func prologue(m elf.Machine, b []byte) bool {
	switch m {
	case elf.EM_X86_64:
		return bytes.HasPrefix(b, []byte{0x49, 0x3b, 0x66, 0x10}) || // cmp rsp, [r14+16]
			bytes.HasPrefix(b, []byte{0x4c, 0x8d, 0x64, 0x24}) && bytes.Equal(b[5:9], []byte{0x4d, 0x3b, 0x66, 0x10}) || // lea r12, [rsp-n]; cmp r12, [r14+16]
			bytes.HasPrefix(b, []byte{0x4c, 0x8d, 0xa4, 0x24}) && bytes.Equal(b[8:12], []byte{0x4d, 0x3b, 0x66, 0x10})
	case elf.EM_AARCH64:
		return bytes.HasPrefix(b, []byte{0x90, 0x0b, 0x40, 0xf9}) // ldr x16, [x28, #16]
	}
	return false
}
