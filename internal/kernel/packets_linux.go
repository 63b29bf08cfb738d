package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Packets is capture on the interfaces of one network namespace, by programs
// of traffic control.
type Packets struct {
	cfg   PacketsConfig
	maps  map[string]*ebpf.Map
	progs map[string]*ebpf.Program
	steps [2]*ebpf.Program // the filters in use
	ring  *ring
	net   *netlink.Handle // of the namespace, however many threads come by

	mu  sync.Mutex // of what follows
	ifs map[int][]attached
}

// attached is a program on one side of an interface.
type attached interface{ Close() error }

// OpenPackets loads the programs. What is attached is of the network namespace
// that the calling thread is in, here and in Attach.
func OpenPackets(cfg PacketsConfig) (p *Packets, err error) {
	if cfg.RingBytes == 0 {
		cfg.RingBytes = DefaultRing
	}
	if cfg.Snaplen == 0 {
		cfg.Snaplen = DefaultSnaplen
	}
	cfg.Snaplen = min(cfg.Snaplen, MaxSnaplen)
	n := max(minRing, os.Getpagesize())
	for n < cfg.RingBytes {
		n *= 2
	}
	cfg.RingBytes = n
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("kernel: raise the locked memory limit: %w", err)
	}
	p = &Packets{cfg: cfg, progs: map[string]*ebpf.Program{}, ifs: map[int][]attached{}}
	made := p // a failing return makes p nil
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Close())
		}
	}()
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("kernel: capture on interfaces: %w", err)
	}
	if p.net, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("kernel: open netlink: %w", err)
	}
	return p, nil
}

func (p *Packets) load() error {
	spec, err := loadPacket()
	if err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	spec.Maps["hs_packets"].MaxEntries = uint32(p.cfg.RingBytes)
	for name, v := range map[string]uint32{"hs_cfg_snaplen": uint32(p.cfg.Snaplen), "hs_cfg_packet_wake": uint32(p.cfg.RingBytes / 4)} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return plain(err)
	}
	p.maps, p.progs = coll.Maps, coll.Programs
	steps := p.maps["hs_steps"]
	for step, name := range map[uint32]string{stepKeepIn: "hs_keep_in", stepKeepOut: "hs_keep_out"} {
		if err := steps.Put(step, p.progs[name]); err != nil {
			return fmt.Errorf("place %s: %w", name, err)
		}
	}
	p.ring, err = newRing(p.maps["hs_packets"], p.cfg.RingBytes/4)
	return err
}

// Filter replaces what is let through: a classic filter, which sees packets
// from their network header on. Until there is one, nothing passes.
func (p *Packets) Filter(code []bpf.Instruction) error {
	steps := p.maps["hs_steps"]
	for i, at := range [2][2]uint32{{stepFilterIn, stepKeepIn}, {stepFilterOut, stepKeepOut}} {
		ins, err := translate(code, p.maps["hs_ifaces"], steps, at[1])
		if err != nil {
			return err
		}
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "hs_filter", Type: ebpf.SchedCLS, Instructions: ins, License: "Dual BSD/GPL"})
		if err != nil {
			return fmt.Errorf("load the filter of %d instructions: %w", len(ins), plain(err))
		}
		if err := steps.Put(at[0], prog); err != nil {
			return errors.Join(fmt.Errorf("place the filter: %w", err), prog.Close())
		}
		if p.steps[i] != nil {
			_ = p.steps[i].Close()
		}
		p.steps[i] = prog
	}
	return nil
}

// Attach captures on an interface, too.
func (p *Packets) Attach(index int, head IfaceHead) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.ifs[index]; ok {
		return nil
	}
	if err := p.maps["hs_ifaces"].Put(uint32(index), uint32(head)); err != nil {
		return fmt.Errorf("remember interface %d: %w", index, err)
	}
	var list []attached
	for _, side := range [...]struct {
		prog string
		tcx  ebpf.AttachType
		old  uint32
	}{
		{"hs_packet_in", ebpf.AttachTCXIngress, netlink.HANDLE_MIN_INGRESS},
		{"hs_packet_out", ebpf.AttachTCXEgress, netlink.HANDLE_MIN_EGRESS},
	} {
		a, err := p.side(index, side.prog, side.tcx, side.old)
		if err != nil {
			for _, a := range list {
				_ = a.Close()
			}
			_ = p.maps["hs_ifaces"].Delete(uint32(index))
			return fmt.Errorf("attach %s to interface %d: %w", side.prog, index, err)
		}
		list = append(list, a)
	}
	p.ifs[index] = list
	return nil
}

func (p *Packets) side(index int, name string, tcx ebpf.AttachType, old uint32) (attached, error) {
	prog := p.progs[name]
	if !p.cfg.Classic {
		l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: tcx})
		if err == nil || !errors.Is(err, ebpf.ErrNotSupported) {
			return l, err
		}
	}
	qdisc := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := p.net.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("add a clsact qdisc: %w", err)
	}
	f := &netlink.BpfFilter{Fd: prog.FD(), Name: name, DirectAction: true, FilterAttrs: netlink.FilterAttrs{
		LinkIndex: index, Parent: old, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: filterPriority}}
	if err := p.net.FilterReplace(f); err != nil {
		return nil, fmt.Errorf("add a filter: %w", err)
	}
	return classic{p.net, f}, nil
}

// filterPriority is where our filters stand among others: one that a killed
// collector has left is found, and replaced.
const filterPriority = 0xc0de

// classic is a filter of a clsact qdisc. The qdisc stays: others may use it.
type classic struct {
	net *netlink.Handle
	f   *netlink.BpfFilter
}

// Close takes the filter away; with its interface it is gone already.
func (c classic) Close() error {
	err := c.net.FilterDel(c.f)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// Detach ends capture on an interface.
func (p *Packets) Detach(index int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.detach(index)
}

func (p *Packets) detach(index int) error {
	var errs []error
	for _, a := range p.ifs[index] {
		errs = append(errs, a.Close())
	}
	delete(p.ifs, index)
	_ = p.maps["hs_ifaces"].Delete(uint32(index))
	return errors.Join(errs...)
}

// packetSize is how long a Packet is.
const packetSize = int(unsafe.Sizeof(Packet{}))

// packetFlush is how long a packet may lie in the ring before it is read: what a
// block of a packet socket waits too.
const packetFlush = 10 * time.Millisecond

// Run gives every packet to f with its unix time, until ctx is done; then what
// is left. f may keep neither. idle is called after every batch, and at least
// every 100 ms, with the time.
func (p *Packets) Run(ctx context.Context, f func(h *Packet, unixNano int64, b []byte), idle func(now int64)) error {
	var h Packet
	var offset, readAt int64
	each := func(b []byte) {
		if data, ok := h.decode(b); ok {
			f(&h, int64(h.Time)+offset, data)
		}
	}
	for done := false; !done; {
		done = ctx.Err() != nil
		if now := time.Now().UnixNano(); now-readAt > 1e9 {
			readAt = now
			if o := clockOffset(); offset == 0 || abs(o-offset) > clockDrift {
				offset = o
			}
		}
		p.ring.drain(each)
		idle(time.Now().UnixNano())
		if !done {
			p.ring.wait(packetFlush)
		}
	}
	return nil
}

// decode reads a record.
func (h *Packet) decode(b []byte) (data []byte, ok bool) {
	if len(b) < packetSize {
		return nil, false
	}
	ne := binary.NativeEndian
	h.Time, h.Ifindex, h.Wire, h.Captured = ne.Uint64(b), ne.Uint32(b[8:]), ne.Uint32(b[12:]), ne.Uint32(b[16:])
	h.Ethertype, h.Vlan, h.Way, h.Iface = ne.Uint16(b[20:]), ne.Uint16(b[22:]), PacketWay(b[24]), IfaceHead(b[25])
	n := min(int(h.Captured), len(b)-packetSize)
	return b[packetSize : packetSize+n : packetSize+n], true
}

// Counts is how many packets went into the ring, and how many did not fit.
func (p *Packets) Counts() (kept, dropped uint64) {
	var per []packetStats
	key := uint32(0)
	if p.maps == nil || p.maps["hs_packet_count"].Lookup(&key, &per) != nil {
		return 0, 0
	}
	for _, s := range per {
		kept, dropped = kept+s.Kept, dropped+s.Dropped
	}
	return kept, dropped
}

// Close detaches everything. Run has to be over.
func (p *Packets) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for index := range p.ifs {
		errs = append(errs, p.detach(index))
	}
	for _, s := range p.steps {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if p.net != nil {
		p.net.Close()
	}
	if p.ring != nil {
		p.ring.close()
	}
	for _, prog := range p.progs {
		errs = append(errs, prog.Close())
	}
	for _, m := range p.maps {
		errs = append(errs, m.Close())
	}
	p.progs, p.maps, p.ring, p.net = nil, nil, nil, nil
	return errors.Join(errs...)
}
