package tap

import (
	"context"
	"errors"
	"maps"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/packet"
)

// traffic is the programs of traffic control on the interfaces of a namespace,
// and the ring that they fill.
type traffic struct {
	src      *Source
	ns       uint32
	progs    *kernel.Packets
	attached map[uint32]bool
	counted  [2]uint64 // what of kernel.Packets.Counts is in Stats
	read     int64
}

// openTraffic loads the programs, for the namespace that the calling thread is
// in.
func openTraffic(s *Source, ns uint32, cfg *Config) (*traffic, error) {
	snaplen := cfg.Snaplen
	if snaplen == 0 {
		snaplen = kernel.DefaultSnaplen
	}
	// The programs count from the link header on.
	p, err := kernel.OpenPackets(kernel.PacketsConfig{RingBytes: cfg.RingBytes, Snaplen: snaplen + linkHead, Classic: cfg.Mode == ModeClassic})
	if err != nil {
		return nil, err
	}
	return &traffic{src: s, ns: ns, progs: p, attached: map[uint32]bool{}}, nil
}

// linkHead is an Ethernet header.
const linkHead = 14

func (t *traffic) filter(code []bpf.Instruction) error { return t.progs.Filter(code) }

// use attaches the programs to the interfaces of the table, and to no other.
func (t *traffic) use(table map[uint32]iface) error {
	var errs []error
	for _, index := range slices.Sorted(maps.Keys(table)) {
		if t.attached[index] {
			continue
		}
		head := kernel.HeadEthernet
		if table[index].bare {
			head = kernel.HeadBare
		}
		if err := t.progs.Attach(int(index), head); errors.Is(err, unix.ENODEV) {
			continue // it is gone since it was listed
		} else if err != nil {
			errs = append(errs, err)
			continue
		}
		t.attached[index] = true
	}
	for index := range t.attached {
		if _, ok := table[index]; !ok {
			errs = append(errs, t.progs.Detach(int(index)))
			delete(t.attached, index)
		}
	}
	return errors.Join(errs...)
}

func (*traffic) bind(int, int) error { return nil }

func (t *traffic) run(ctx context.Context, put func(*packet.Frame), idle func(now int64)) error {
	err := t.progs.Run(ctx, func(h *kernel.Packet, time int64, b []byte) {
		fr := packet.Frame{Time: time, Link: packet.LinkEthernet, Sub: t.ns, Iface: h.Ifindex, Wire: h.Wire, VLAN: h.Vlan, Way: packet.WayIn, Data: b}
		if h.Iface == kernel.HeadBare {
			fr.Link, fr.EtherType = packet.LinkCooked, h.Ethertype
		}
		if h.Way == kernel.PacketOut {
			fr.Way = packet.WayOut
		}
		t.src.Stats.Frames.Add(1)
		if t.src.wanted(&fr) {
			put(&fr)
		}
	}, func(now int64) {
		if now-t.read >= 1e9 {
			t.counters(now)
		}
		idle(now)
	})
	t.counters(0)
	return err
}

func (t *traffic) counters(now int64) {
	t.read = now
	kept, dropped := t.progs.Counts()
	t.src.Stats.Packets.Add(kept + dropped - t.counted[0] - t.counted[1])
	t.src.Stats.Dropped.Add(dropped - t.counted[1])
	t.counted = [2]uint64{kept, dropped}
}

func (t *traffic) close() { _ = t.progs.Close() }
