package tap

import (
	"context"
	"errors"
	"fmt"
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

	"github.com/hopscope/hopscope/internal/packet"
)

// Source captures on the interfaces of one or more network namespaces.
type Source struct {
	Stats  Stats
	cfg    Config
	spaces []*space
	rings  []*ring
	filter *Filter
}

// space is one network namespace.
type space struct {
	src    *Source
	id     uint32
	path   string // "" is the collector's own
	handle netns.NsHandle
	rings  []*ring
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
	if cfg.Rings == 0 {
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
		for range s.cfg.Rings {
			r, err := openRing(s, id, s.cfg.RingBytes)
			if err != nil {
				return err
			}
			sp.rings = append(sp.rings, r)
		}
		return sp.refresh()
	})
	for i := 0; err == nil && i < len(sp.rings); i++ {
		err = sp.rings[i].bind(os.Getpid()+int(id), len(sp.rings))
	}
	if err != nil {
		for _, r := range sp.rings {
			r.close()
		}
		if sp.handle.IsOpen() {
			sp.handle.Close()
		}
		if path != "" {
			return nil, fmt.Errorf("network namespace %s: %w", path, err)
		}
		return nil, err
	}
	return sp, nil
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
		if err := r.filter(code); err != nil {
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
			if !sp.joined[index] && sp.rings[0].promiscuous(index) == nil {
				sp.joined[index] = true
			}
		}
	}
	return nil
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
		}
		if changed {
			if err := sp.inside(sp.refresh); err != nil {
				trouble(err)
			}
		}
	}
}

const settle = 20 * time.Millisecond

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
	for _, r := range s.rings {
		r.close()
	}
	for _, sp := range s.spaces {
		if sp.handle.IsOpen() {
			errs = append(errs, sp.handle.Close())
		}
	}
	s.rings, s.spaces = nil, nil
	return errors.Join(errs...)
}
