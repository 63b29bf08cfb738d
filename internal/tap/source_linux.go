package tap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"

	"github.com/hopscope/hopscope/internal/packet"
)

// Source captures on the interfaces of one or more network namespaces.
type Source struct {
	Stats  Stats
	cfg    Config
	spaces []*space
	rings  []reader
	filter *Filter
}

// reader is where packets of a namespace come from: the ring of a packet socket,
// or that of programs of traffic control.
type reader interface {
	filter(code []bpf.Instruction) error
	// use says which interfaces are captured.
	use(map[uint32]iface) error
	// bind starts the flow of packets; members of a group share it.
	bind(group, members int) error
	run(ctx context.Context, put func(*packet.Frame), idle func(now int64)) error
	close()
}

// space is one network namespace.
type space struct {
	src    *Source
	id     uint32
	path   string // "" is the collector's own
	handle netns.NsHandle
	rings  []reader
	promis *ring // one of rings: interfaces are told by it to take everything
	table  atomic.Pointer[map[uint32]iface]
	mu     sync.Mutex // of what follows
	own    []netip.AddrPort
	joined map[uint32]bool // promiscuous
}

// Open makes the rings and begins to capture.
func Open(cfg Config) (s *Source, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Rings == 0 || cfg.Mode != ModeSockets {
		cfg.Rings = 1
	}
	if cfg.RingBytes == 0 {
		cfg.RingBytes = DefaultRingBytes
	}
	s = &Source{cfg: cfg}
	if s.filter, err = ParseFilter(cfg.Filter); err != nil {
		return nil, err
	}
	made := s // a failing return makes s nil
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Close())
		}
	}()
	paths := cfg.NetNS
	if len(paths) == 0 {
		paths = []string{""}
	}
	for i, p := range paths {
		sp, err := s.enter(uint32(i), p)
		if err != nil {
			return nil, err
		}
		s.spaces = append(s.spaces, sp)
		s.rings = append(s.rings, sp.rings...)
	}
	return s, nil
}

// enter opens the rings of one namespace.
func (s *Source) enter(id uint32, path string) (*space, error) {
	sp := &space{src: s, id: id, path: path, handle: netns.None(), joined: map[uint32]bool{}}
	sp.table.Store(&map[uint32]iface{})
	err := sp.inside(func() error {
		if err := sp.open(); err != nil {
			return err
		}
		return sp.refresh()
	})
	for i := 0; err == nil && i < len(sp.rings); i++ {
		err = sp.rings[i].bind(os.Getpid()+int(id), len(sp.rings))
	}
	if err != nil {
		sp.close()
		if path != "" {
			return nil, fmt.Errorf("network namespace %s: %w", path, err)
		}
		return nil, err
	}
	return sp, nil
}

// open makes the readers. It runs inside.
func (sp *space) open() error {
	cfg := &sp.src.cfg
	if cfg.Mode != ModeSockets {
		t, err := openTraffic(sp.src, sp.id, cfg)
		if err == nil {
			sp.rings = []reader{t}
		}
		if err != nil || !cfg.Promiscuous {
			return err
		}
	}
	for range cfg.Rings {
		size := cfg.RingBytes
		if cfg.Mode != ModeSockets {
			size = MinRingBytes // it takes no packet
		}
		r, err := openRing(sp.src, sp.id, size)
		if err != nil {
			return err
		}
		sp.promis = r
		if cfg.Mode != ModeSockets {
			return nil
		}
		sp.rings = append(sp.rings, r)
	}
	return nil
}

// inside runs f in a thread that is in the namespace. A thread that cannot come
// back is given up.
func (sp *space) inside(f func() error) error {
	if sp.path == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("find own namespace: %w", err)
			return
		}
		defer home.Close()
		if !sp.handle.IsOpen() {
			if sp.handle, err = netns.GetFromPath(sp.path); err != nil {
				runtime.UnlockOSThread()
				done <- err
				return
			}
		}
		if err := netns.Set(sp.handle); err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = f()
		if netns.Set(home) == nil { // else the thread ends with the goroutine
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// refresh looks which interfaces there are and tells the kernel. It runs
// inside.
func (sp *space) refresh() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	cfg := &sp.src.cfg
	table := map[uint32]iface{}
	var ids []uint32
	for _, l := range links {
		a := l.Attrs()
		i, ok := cfg.choose(a.Name, l.Type(), a.Flags&net.FlagLoopback != 0, sp.path == "")
		if !ok {
			continue
		}
		i.bare = a.EncapType != "ether" && a.EncapType != "loopback"
		table[uint32(a.Index)] = i
		ids = append(ids, uint32(a.Index))
	}
	slices.Sort(ids)
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.table.Store(&table)
	if len(links) == len(ids) {
		ids = nil // all: new ones too, before they are looked at
	} else if len(ids) == 0 {
		ids = []uint32{^uint32(0)} // none
	}
	if !cfg.Own && sp.path == "" {
		sp.own, _ = ownEnds("/proc/self")
	}
	p := cfg.program(ids, sp.own)
	code, err := p.compile()
	if err != nil {
		p.own = nil // the rest matters more
		if code, err = p.compile(); err != nil {
			return err
		}
	}
	for _, r := range sp.rings {
		if err := errors.Join(r.filter(code), r.use(table)); err != nil {
			return err
		}
	}
	sp.src.Stats.Filter.Add(1)
	n := int64(0)
	for _, o := range sp.src.spaces {
		if o != sp {
			n += int64(len(*o.table.Load()))
		}
	}
	sp.src.Stats.Ifaces.Store(n + int64(len(table)))
	if cfg.Promiscuous {
		for index := range table {
			if !sp.joined[index] && sp.promis.promiscuous(index) == nil {
				sp.joined[index] = true
			}
		}
	}
	return nil
}

// Missing are the patterns of Interfaces that no interface fits now.
func (s *Source) Missing() (list []string) {
	for _, p := range s.cfg.Interfaces {
		if !slices.ContainsFunc(s.spaces, func(sp *space) bool { return sp.has(p) }) {
			list = append(list, p)
		}
	}
	return list
}

func (sp *space) has(pattern string) bool {
	for _, i := range *sp.table.Load() {
		if matchAny([]string{pattern}, i.name) {
			return true
		}
	}
	return false
}

// Rings is how many goroutines should call Run.
func (s *Source) Rings() int { return len(s.rings) }

// Run hands over the frames of ring i, borrowed, until ctx is over.
func (s *Source) Run(ctx context.Context, i int, put func(*packet.Frame), idle func(now int64)) error {
	return s.rings[i].run(ctx, put, idle)
}

// Match applies the filter to what lay inside tunnels.
func (s *Source) Match(seg *packet.Segment) bool { return s.filter.Match(seg) }

// ownEvery is how often the collector's own connections are looked up.
const ownEvery = time.Second

// Watch keeps up with interfaces, and with the collector's own connections,
// until ctx is over.
func (s *Source) Watch(ctx context.Context, trouble func(error)) {
	var all sync.WaitGroup
	for _, sp := range s.spaces {
		all.Go(func() { sp.watch(ctx, trouble) })
	}
	all.Wait()
}

func (sp *space) watch(ctx context.Context, trouble func(error)) {
	updates := make(chan netlink.LinkUpdate, 64)
	done := make(chan struct{})
	opts := netlink.LinkSubscribeOptions{ErrorCallback: func(err error) {
		if ctx.Err() == nil {
			trouble(fmt.Errorf("watch interfaces: %w", err))
		}
	}}
	if sp.handle.IsOpen() {
		opts.Namespace = &sp.handle
	}
	if err := netlink.LinkSubscribeWithOptions(updates, done, opts); err != nil {
		trouble(fmt.Errorf("watch interfaces: %w", err))
		updates = nil
	}
	defer func() {
		close(done)
		for updates != nil {
			if _, ok := <-updates; !ok {
				return
			}
		}
	}()
	tick := time.NewTicker(ownEvery)
	defer tick.Stop()
	gone := false
	for {
		changed := false
		select {
		case <-ctx.Done():
			return
		case _, ok := <-updates:
			if !ok {
				updates = nil // ended; the clock goes on
				continue
			}
			// They come in bursts.
			for time.Sleep(settle); len(updates) > 0; {
				<-updates
			}
			changed = true
		case <-tick.C:
			changed = updates == nil || sp.ownChanged()
			if !gone && sp.replaced() {
				gone = true
				trouble(fmt.Errorf("network namespace %s was removed, or is another one now, and nothing of that is captured: restart the collector", sp.path))
			}
		}
		if changed {
			if err := sp.inside(sp.refresh); err != nil {
				trouble(err)
			}
		}
	}
}

const settle = 20 * time.Millisecond

// replaced reports whether the path leads to another namespace than the one that
// is captured, or nowhere: what is captured lives on as long as somebody is in it.
func (sp *space) replaced() bool {
	if sp.path == "" {
		return false
	}
	h, err := netns.GetFromPath(sp.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer h.Close()
	return !h.Equal(sp.handle)
}

func (sp *space) ownChanged() bool {
	if sp.src.cfg.Own || sp.path != "" {
		return false
	}
	own, err := ownEnds("/proc/self")
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return err == nil && !slices.Equal(own, sp.own)
}

func (s *Source) iface(index, ns uint32) (iface, bool) {
	i, ok := (*s.spaces[ns].table.Load())[index]
	return i, ok
}

// Close ends capture. No Run may be under way.
func (s *Source) Close() error {
	var errs []error
	for _, sp := range s.spaces {
		errs = append(errs, sp.close())
	}
	s.rings, s.spaces = nil, nil
	return errors.Join(errs...)
}

func (sp *space) close() error {
	for _, r := range sp.rings {
		r.close()
	}
	if sp.promis != nil && sp.src.cfg.Mode != ModeSockets {
		sp.promis.close()
	}
	if sp.handle.IsOpen() {
		return sp.handle.Close()
	}
	return nil
}

// wanted tells whether the frame's interface is captured. On loopback every
// packet is sent and received: one of the two is enough.
func (s *Source) wanted(fr *packet.Frame) bool {
	i, ok := s.iface(fr.Iface, fr.Sub)
	if !ok || i.lo && fr.Way == packet.WayOut {
		s.Stats.Other.Add(1)
		return false
	}
	if i.lo {
		fr.Way = packet.WayUnknown
	}
	return true
}
