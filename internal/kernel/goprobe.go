//go:build linux

package kernel

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// goHook is a function of Go at which a goroutine tells whom it works for.
type goHook struct {
	prog, symbol string
	// place fills in where things lie in the structs that the hook is given; an
	// error: it is not known for this executable.
	place func(e *goExe, l *goLayout) error
}

// goHooks: what is not in an executable is not hooked.
var goHooks = []goHook{
	{prog: "hs_go_asks", symbol: "net/http.(*persistConn).roundTrip", place: persistConn},
	{prog: "hs_go_asks_stream", symbol: grpcTransport + ".(*http2Client).write", place: grpcPlace("http2Client")},
	{prog: "hs_go_asks_stream", symbol: grpcTransport + ".(*http2Client).Write", place: grpcPlace("http2Client")}, // before 1.70 or so
	{prog: "hs_go_serves_stream", symbol: "google.golang.org/grpc.(*Server).handleStream", place: grpcPlace("http2Server")},
}

// goLayout is struct hs_go_layout.
type goLayout struct {
	Goid, Parent, Conn, Stream uint32
}

// maxHooked bounds the executables with hooks at once; each takes file
// descriptors.
const maxHooked = 1024

// goProbes hooks executables of Go while a process runs them.
type goProbes struct {
	progs   map[string]*ebpf.Program
	layouts *ebpf.Map
	cookie  uint64
	exes    map[inode]*hooked
	of      map[uint32]inode // by process
	own     inode            // the collector's

	hooked atomic.Int64  // executables with hooks now
	failed atomic.Uint64 // that have a function to hook, which could not be
}

// hooked is an executable that processes run.
type hooked struct {
	links   []link.Link
	cookies []uint64
	users   int
}

// goExe is an executable of Go.
type goExe struct {
	path    string
	file    *elf.File
	version string
	offsets goOffsets
	places  map[string]uint32 // of goFields, "struct.field", once looked for
}

// goFields are where the hooks look, if the version does not tell.
var goFields = []string{"net/http.persistConn.conn", grpcTransport + ".http2Client.conn", grpcTransport + ".http2Server.conn", grpcTransport + ".Stream.id"}

// newGoProbes loads the programs; they share the ring of c.
func newGoProbes(c *Capture) (*goProbes, error) {
	spec, err := loadGolang()
	if err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	if c.maps["hs_gos"] == nil || c.maps["hs_socks"].Type() != ebpf.SkStorage {
		return nil, errors.New("goroutines are matched with sockets by their cookies, which this row of hooks does not use")
	}
	if err := spec.Variables["hs_cfg_wake"].Set(uint32(c.cfg.RingBytes / 4)); err != nil {
		return nil, fmt.Errorf("set hs_cfg_wake: %w", err)
	}
	share := map[string]*ebpf.Map{}
	for _, n := range []string{"hs_events", "hs_drops", "hs_errors", "hs_skip_pids"} {
		share[n] = c.maps[n]
	}
	spec.Maps["hs_events"].MaxEntries = uint32(c.cfg.RingBytes)
	for n := range spec.Maps {
		if share[n] == nil && n != "hs_go_layouts" && n[0] != '.' {
			delete(spec.Maps, n) // of headers that are shared, not used here
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: share})
	if err != nil {
		return nil, plain(err)
	}
	p := &goProbes{progs: map[string]*ebpf.Program{}, layouts: coll.DetachMap("hs_go_layouts"), exes: map[inode]*hooked{}, of: map[uint32]inode{}}
	for _, h := range goHooks {
		if p.progs[h.prog] == nil {
			p.progs[h.prog] = coll.DetachProgram(h.prog)
		}
	}
	coll.Close()
	var st unix.Stat_t
	if !c.cfg.self && unix.Stat("/proc/self/exe", &st) == nil {
		p.own = inode{st.Dev, st.Ino}
	}
	return p, nil
}

// runs: process pid runs the executable id, which is of Go if e is not nil.
func (p *goProbes) runs(pid uint32, id inode, e func() (*goExe, error)) {
	if p == nil {
		return
	}
	if old, ok := p.of[pid]; ok {
		if old == id {
			return
		}
		p.left(pid)
	}
	if e == nil || id == p.own {
		return
	}
	h := p.exes[id]
	if h == nil {
		if len(p.exes) >= maxHooked {
			p.failed.Add(1)
			return
		}
		h = &hooked{}
		p.exes[id] = h
		p.hook(h, e)
	}
	h.users++
	p.of[pid] = id
}

// left: pid runs it no longer; the last one takes the hooks along.
func (p *goProbes) left(pid uint32) {
	if p == nil {
		return
	}
	id, ok := p.of[pid]
	if !ok {
		return
	}
	delete(p.of, pid)
	h := p.exes[id]
	if h.users--; h.users > 0 {
		return
	}
	p.unhook(h)
	delete(p.exes, id)
}

func (p *goProbes) hook(h *hooked, open func() (*goExe, error)) {
	e, err := open()
	if err != nil {
		p.failed.Add(1)
		return
	}
	defer e.file.Close()
	var names []string
	for _, g := range goHooks {
		names = append(names, g.symbol)
	}
	all, err := goFuncs(e.file, names)
	if err != nil {
		p.failed.Add(1)
		return
	}
	for _, g := range goHooks {
		switch err := p.one(h, e, all, &g); {
		case errors.Is(err, errNoFunc):
		case err != nil:
			p.failed.Add(1)
		}
	}
	if len(h.links) > 0 {
		p.hooked.Add(1)
	}
}

func (p *goProbes) one(h *hooked, e *goExe, all map[string]uint64, g *goHook) error {
	at, err := goFunc(e.file, all, g.symbol)
	if err != nil {
		return err
	}
	l := goLayout{Goid: e.offsets.Goid, Parent: e.offsets.Parent}
	if err := g.place(e, &l); err != nil {
		return err
	}
	p.cookie++
	if err := p.layouts.Put(p.cookie, &l); err != nil {
		return fmt.Errorf("tell the layout of %s: %w", e.path, err)
	}
	x, err := link.OpenExecutable(e.path)
	if err == nil {
		var u link.Link
		if u, err = x.Uprobe(g.symbol, p.progs[g.prog], &link.UprobeOptions{Address: at, Cookie: p.cookie}); err == nil {
			h.links, h.cookies = append(h.links, u), append(h.cookies, p.cookie)
			return nil
		}
	}
	_ = p.layouts.Delete(p.cookie)
	return fmt.Errorf("hook %s in %s: %w", g.symbol, e.path, err)
}

func (p *goProbes) unhook(h *hooked) {
	if len(h.links) > 0 {
		p.hooked.Add(-1)
	}
	for _, l := range h.links {
		_ = l.Close()
	}
	for _, c := range h.cookies {
		_ = p.layouts.Delete(c)
	}
}

func (p *goProbes) close() {
	if p == nil {
		return
	}
	for _, h := range p.exes {
		p.unhook(h)
	}
	for _, g := range p.progs {
		_ = g.Close()
	}
	_ = p.layouts.Close()
}

// persistConn: net/http's connection of a client has lain the same since go1.17,
// the first version with arguments in registers; newer ones than we know have to
// say it in their DWARF.
func persistConn(e *goExe, l *goLayout) error {
	minor, ok := goMinor(e.version)
	switch {
	case !ok || minor < 17:
		return fmt.Errorf("%s: %s passes arguments on the stack", e.path, e.version)
	case minor <= newestGo:
		l.Conn = 80
		return nil
	}
	at, ok := e.field("net/http.persistConn", "conn")
	if !ok {
		return fmt.Errorf("%s: where %s keeps the connection is unknown", e.path, e.version)
	}
	l.Conn = at
	return nil
}

const grpcTransport = "google.golang.org/grpc/internal/transport"

// grpcPlace finds the connection in one of grpc's structs, and the number in its
// stream; its versions differ, so that only DWARF tells.
func grpcPlace(conn string) func(e *goExe, l *goLayout) error {
	return func(e *goExe, l *goLayout) error {
		minor, ok := goMinor(e.version)
		if !ok || minor < 17 {
			return fmt.Errorf("%s: %s passes arguments on the stack", e.path, e.version)
		}
		at, ok := e.field(grpcTransport+"."+conn, "conn")
		id, ok2 := e.field(grpcTransport+".Stream", "id")
		if !ok || !ok2 {
			return fmt.Errorf("%s: where grpc keeps the connection is unknown without DWARF", e.path)
		}
		l.Conn, l.Stream = at, id
		return nil
	}
}

// field is where a field lies, as the executable's DWARF has it.
func (e *goExe) field(name, field string) (uint32, bool) {
	if e.places == nil {
		e.places = map[string]uint32{}
		if st, err := os.Stat(e.path); err == nil && st.Size() <= maxDWARF {
			if d, err := e.file.DWARF(); err == nil { // stripped ones have none
				e.places = fieldsFromDWARF(d, goFields...)
			}
		}
	}
	at, ok := e.places[name+"."+field]
	return at, ok
}
