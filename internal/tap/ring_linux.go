package tap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/packet"
)

// ring is one packet socket with its memory.
type ring struct {
	src  *Source
	ns   uint32
	fd   int
	mem  []byte
	n    int
	next int
	read time.Time // when the kernel's counters were read
}

// openRing makes a socket in the network namespace that the calling thread is
// in. Until it is bound, nothing arrives; until the filter is set, nothing
// passes.
func openRing(s *Source, ns uint32, bytes int) (r *ring, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	r = &ring{src: s, ns: ns, fd: fd, n: max(2, bytes/ringBlock)}
	made := r // a failing return makes r nil
	defer func() {
		if err != nil {
			made.close()
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("choose TPACKET_V3: %w", err)
	}
	const frame = 2048 // unused by version 3, but checked
	req := unix.TpacketReq3{Block_size: ringBlock, Block_nr: uint32(r.n), Frame_size: frame,
		Frame_nr: uint32(r.n) * (ringBlock / frame), Retire_blk_tov: retire}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("allocate ring of %d bytes: %w", r.n*ringBlock, err)
	}
	if r.mem, err = unix.Mmap(fd, 0, r.n*ringBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map ring: %w", err)
	}
	return r, r.filter([]bpf.Instruction{bpf.RetConstant{}})
}

// retire is after how many milliseconds the kernel hands over a block that is
// not full.
const retire = 10

// filter replaces what the kernel lets through.
func (r *ring) filter(code []bpf.Instruction) error {
	raw, err := bpf.Assemble(code)
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	list := make([]unix.SockFilter, len(raw))
	for i, c := range raw {
		list[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	err = unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(list)), Filter: &list[0]})
	if err != nil {
		return fmt.Errorf("attach filter of %d instructions: %w", len(list), err)
	}
	return nil
}

// bind starts the flow of packets, of all interfaces; with others of the same
// group the connections are shared out.
func (r *ring) bind(group, members int) error {
	all := uint16(unix.ETH_P_ALL)
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8}); err != nil {
		return fmt.Errorf("bind packet socket: %w", err)
	}
	if members < 2 {
		return nil
	}
	v := group&0xffff | (unix.PACKET_FANOUT_HASH|unix.PACKET_FANOUT_FLAG_DEFRAG)<<16
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, v); err != nil {
		return fmt.Errorf("join fanout group: %w", err)
	}
	return nil
}

func (*ring) use(map[uint32]iface) error { return nil }

// promiscuous has an interface take frames for others.
func (r *ring) promiscuous(index uint32) error {
	return unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})
}

func (r *ring) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
		r.mem = nil
	}
	_ = unix.Close(r.fd)
}

// Offsets in a block: struct tpacket_block_desc.
const (
	blockStatus = 8
	blockCount  = 12
	blockFirst  = 16
)

// run hands over frames until ctx is over, then those that the ring has. idle is
// called after every block, and at least every pollTime.
func (r *ring) run(ctx context.Context, put func(*packet.Frame), idle func(now int64)) error {
	var fr packet.Frame
	fds := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR}}
	var end time.Time // until then, what the kernel still has is waited for
	for end.IsZero() || time.Since(end) < time.Second {
		if end.IsZero() && ctx.Err() != nil {
			if err := r.filter([]bpf.Instruction{bpf.RetConstant{}}); err != nil {
				return err
			}
			end = time.Now().Add(3 * retire * time.Millisecond)
		}
		block := r.mem[r.next*ringBlock : (r.next+1)*ringBlock]
		status := (*uint32)(unsafe.Pointer(&block[blockStatus]))
		if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
			idle(time.Now().UnixNano())
			r.counters(time.Now())
			wait := pollTime
			if !end.IsZero() {
				if wait = int(time.Until(end).Milliseconds()); wait <= 0 {
					break
				}
			}
			if _, err := unix.Poll(fds, wait); err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for packets: %w", err)
			}
			continue
		}
		off := int(binary.NativeEndian.Uint32(block[blockFirst:]))
		last := int64(0)
		for n := binary.NativeEndian.Uint32(block[blockCount:]); n > 0; n-- {
			if !r.frame(block, off, &fr) {
				break
			}
			last = fr.Time
			if r.src.wanted(&fr) {
				put(&fr)
			}
			next := int(binary.NativeEndian.Uint32(block[off:]))
			if next == 0 {
				break
			}
			off += next
		}
		atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
		r.next = (r.next + 1) % r.n
		if last != 0 {
			idle(last)
		}
	}
	r.counters(time.Time{})
	return nil
}

const pollTime = 100 // milliseconds

const (
	sllOffset  = 48 // struct tpacket3_hdr, aligned
	vlanValid  = unix.TP_STATUS_VLAN_VALID
	etherCook  = 2 // sockaddr_ll: protocol, in network order
	sllIndex   = 4
	sllPktType = 10
)

// frame reads the frame at off of a block that the kernel filled.
func (r *ring) frame(block []byte, off int, fr *packet.Frame) bool {
	if off < 0 || off+sllOffset+20 > len(block) {
		return false
	}
	h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[off]))
	sll := block[off+sllOffset:]
	from := off + int(h.Net)
	to := from + int(h.Snaplen)
	if from < off || to > len(block) {
		return false
	}
	*fr = packet.Frame{
		Time: int64(h.Sec)*1e9 + int64(h.Nsec), Link: packet.LinkCooked, Sub: r.ns,
		EtherType: binary.BigEndian.Uint16(sll[etherCook:]), Iface: binary.NativeEndian.Uint32(sll[sllIndex:]),
		Wire: h.Len, Way: packet.WayIn, Data: block[from:to:to],
	}
	if sll[sllPktType] == unix.PACKET_OUTGOING {
		fr.Way = packet.WayOut
	}
	if h.Status&vlanValid != 0 {
		fr.VLAN = uint16(h.Hv1.Vlan_tci) & 0xfff
	}
	r.src.Stats.Frames.Add(1)
	return true
}

// counters adds up the kernel's, which start again when they are read.
func (r *ring) counters(now time.Time) {
	if !now.IsZero() && now.Sub(r.read) < time.Second {
		return
	}
	r.read = now
	if st, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		r.src.Stats.Packets.Add(uint64(st.Packets))
		r.src.Stats.Dropped.Add(uint64(st.Drops))
	}
}
