//go:build linux

package kernel

import (
	"debug/buildinfo"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// gos tells the kernel part which processes are of Go, and where in them the
// goroutine is: from the build information and the DWARF of the executable.
type gos struct {
	c      *Capture
	queue  chan gone
	done   sync.WaitGroup
	known  map[inode]goOffsets
	probes *goProbes // nil: not wanted, or not to be had
	// unhooked are processes that were looked at since hook.
	unhooked []toHook
}

// gone is a process that runs something new, or that ended.
type gone struct {
	pid   uint32
	ended bool
}

type inode struct{ dev, ino uint64 }

// goOffsets is struct hs_go: where g lies from the thread pointer, where goid
// and that of its parent lie in g. A zero Goid: not of Go. A zero Parent: not
// known.
type goOffsets struct {
	G      int32
	Goid   uint32
	Parent uint32
}

// Limits: executables remembered, processes waiting to be looked at (the rest
// has no goroutines in its events).
const (
	maxExecutables = 4096
	maxLookQueue   = 4096
	// maxDWARF bounds the executables whose debug information is read: about
	// twice its size is in memory for a moment.
	maxDWARF = 64 << 20
)

func newGos(c *Capture) *gos {
	g := &gos{c: c, queue: make(chan gone, maxLookQueue), known: map[inode]goOffsets{}}
	if c.maps["hs_gos"] == nil {
		return g
	}
	if c.cfg.GoUprobes {
		for _, h := range goHooks {
			c.hooks = append(c.hooks, Hook{Prog: h.prog, At: "uprobe/" + h.symbol, For: blindGo})
		}
		var err error
		g.probes, err = newGoProbes(c)
		for i := len(c.hooks) - len(goHooks); i < len(c.hooks); i++ {
			if h := &c.hooks[i]; err != nil {
				h.Err = err.Error()
			} else {
				h.Attached = true
			}
		}
	}
	g.done.Add(1)
	go g.run()
	return g
}

func (g *gos) close() {
	close(g.queue)
	g.done.Wait()
	g.probes.close()
}

// blindGo is what the hooks in executables of Go see.
const blindGo = "for which goroutine the connections of Go's libraries work"

// see is told of raw exec and exit records.
func (g *gos) see(raw []byte) {
	ended := event.PeekKind(raw) == event.KindExit
	if ended && g.probes == nil {
		return
	}
	select {
	case g.queue <- gone{event.PeekPid(raw), ended}:
	default:
	}
}

func (g *gos) run() {
	defer g.done.Done()
	m, err := g.c.maps["hs_gos"].Clone()
	if err != nil {
		return
	}
	defer m.Close()
	g.all(m)
	for p := range g.queue {
		if p.ended {
			g.probes.left(p.pid)
			continue
		}
		if g.look(m, p.pid) {
			g.c.wished.Store(true)
		}
		g.hook()
	}
}

// all looks at every process that is there already.
func (g *gos) all(m *ebpf.Map) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	found := false
	for _, n := range names {
		if pid, err := strconv.ParseUint(n, 10, 32); err == nil {
			found = g.look(m, uint32(pid)) || found
		}
	}
	if found {
		g.c.wished.Store(true)
	}
	g.hook()
}

// hook hooks what processes run that were looked at. It takes much longer.
func (g *gos) hook() {
	for _, h := range g.unhooked {
		g.probes.runs(h.pid, h.id, h.open)
	}
	g.unhooked = g.unhooked[:0]
}

// toHook is an executable that a process runs; open is nil if it is not of Go.
type toHook struct {
	pid  uint32
	id   inode
	open func() (*goExe, error)
}

// look finds out about one process; true if it is of Go.
func (g *gos) look(m *ebpf.Map, pid uint32) bool {
	path := fmt.Sprintf("/proc/%d/exe", pid)
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		g.probes.left(pid)
		return false
	}
	id := inode{st.Dev, st.Ino}
	o, ok := g.known[id]
	if !ok {
		o, _ = goOffsetsOf(path)
		if len(g.known) >= maxExecutables {
			clear(g.known)
		}
		g.known[id] = o
	}
	if o.Goid == 0 {
		_ = m.Delete(&pid) // the pid may have been another's
		g.later(toHook{pid, id, nil})
		return false
	}
	g.later(toHook{pid, id, func() (*goExe, error) { return openGo(path, o) }})
	return m.Update(&pid, &o, ebpf.UpdateAny) == nil
}

func (g *gos) later(h toHook) {
	if g.probes != nil {
		g.unhooked = append(g.unhooked, h)
	}
}

// openGo opens an executable of Go for its hooks.
func openGo(path string, o goOffsets) (*goExe, error) {
	bi, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the build information of %s: %w", path, err)
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &goExe{path: path, file: f, version: bi.GoVersion, offsets: o}, nil
}

// goOffsetsOf reads an executable.
func goOffsetsOf(path string) (goOffsets, error) {
	f, err := elf.Open(path)
	if err != nil {
		return goOffsets{}, err
	}
	defer f.Close()
	if f.Section(".go.buildinfo") == nil { // else all its data would be searched for it
		return goOffsets{}, fmt.Errorf("%s: not of Go", path)
	}
	bi, err := buildinfo.ReadFile(path)
	if err != nil {
		return goOffsets{}, err
	}
	if f.Machine != elf.EM_X86_64 {
		return goOffsets{}, fmt.Errorf("%s: goroutines are read on x86-64 only", path)
	}
	o := goOffsets{G: gOffset(f)}
	// The table first: reading DWARF takes the memory and the time of all of it.
	if o.Goid, o.Parent = goidByVersion(bi.GoVersion); o.Goid == 0 || o.Parent == 0 {
		if st, err := os.Stat(path); err == nil && st.Size() <= maxDWARF {
			if g, p := goidFromDWARF(f); g != 0 {
				o.Goid, o.Parent = g, p
			}
		}
	}
	if o.Goid == 0 {
		return goOffsets{}, fmt.Errorf("%s: goid's place in %s is unknown", path, bi.GoVersion)
	}
	return o, nil
}

// gOffset: where runtime.tlsg is from the thread pointer. The Go linker puts it
// right below; with a C linker it is within the TLS segment, which lies below.
func gOffset(f *elf.File) int32 {
	syms, err := f.Symbols()
	if err != nil {
		return -8
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_TLS {
			continue
		}
		for _, s := range syms {
			if s.Name == "runtime.tlsg" && s.Value < p.Memsz {
				align := max(p.Align, 1)
				return int32(int64(s.Value) - int64((p.Memsz+align-1)/align*align))
			}
		}
	}
	return -8
}

func goidFromDWARF(f *elf.File) (goid, parent uint32) {
	d, err := f.DWARF()
	if err != nil {
		return 0, 0
	}
	at := fieldsFromDWARF(d, "runtime.g.goid", "runtime.g.parentGoid") // the latter since go1.21
	return at["runtime.g.goid"], at["runtime.g.parentGoid"]
}

// fieldsFromDWARF is where fields ("struct.field") lie in their structs; those that
// are not there are left out. The linker of Go tells all types in the unit of the
// runtime.
func fieldsFromDWARF(d *dwarf.Data, fields ...string) map[string]uint32 {
	out, structs := map[string]uint32{}, map[string]int{}
	for _, f := range fields {
		structs[f[:strings.LastIndexByte(f, '.')]]++
	}
	r := d.Reader()
	for len(structs) > 0 {
		e, err := r.Next()
		if err != nil || e == nil {
			return out
		}
		switch {
		case e.Tag == dwarf.TagCompileUnit:
			if n, _ := e.Val(dwarf.AttrName).(string); n != "runtime" {
				r.SkipChildren()
			}
		case e.Tag == dwarf.TagStructType:
			name, _ := e.Val(dwarf.AttrName).(string)
			if structs[name] == 0 {
				r.SkipChildren()
				continue
			}
			delete(structs, name)
			for {
				m, err := r.Next()
				if err != nil || m == nil || m.Tag == 0 {
					break
				}
				n, _ := m.Val(dwarf.AttrName).(string)
				if at, ok := m.Val(dwarf.AttrDataMemberLoc).(int64); ok && slices.Contains(fields, name+"."+n) {
					out[name+"."+n] = uint32(at)
				}
			}
		case e.Children && e.Tag != dwarf.TagCompileUnit:
			r.SkipChildren()
		}
	}
	return out
}

// newestGo is the newest version whose structs were looked at.
const newestGo = 26

// goMinor is the 26 of go1.26.8.
func goMinor(v string) (int, bool) {
	v, _, _ = strings.Cut(strings.TrimPrefix(v, "go"), " ")
	p := strings.SplitN(v, ".", 3)
	if len(p) < 2 || p[0] != "1" {
		return 0, false
	}
	digits := p[1]
	for i, c := range digits {
		if c < '0' || c > '9' { // rc, beta
			digits = digits[:i]
			break
		}
	}
	minor, err := strconv.Atoi(digits)
	return minor, err == nil
}

// goidByVersion is for executables without DWARF. From runtime/runtime2.go of
// the releases on amd64: go1.23 to go1.25 have one more word (syscallbp) before
// it, go1.26 has lost one. Where parentGoid is was looked up for go1.21, 1.24 and
// 1.26.
func goidByVersion(v string) (goid, parent uint32) {
	minor, ok := goMinor(v)
	switch {
	case !ok:
		return 0, 0
	case minor == 21:
		return 152, 272
	case minor >= 12 && minor <= 22:
		return 152, 0
	case minor == 24:
		return 160, 280
	case minor >= 23 && minor <= 25:
		return 160, 0
	case minor == newestGo:
		return 152, 280
	}
	return 0, 0
}
