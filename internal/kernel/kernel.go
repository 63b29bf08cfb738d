// Package kernel is the border to BPF: it loads and attaches the programs of
// bpf/, reads their ring, and tells what is attached, what is blind, and what
// was lost.
package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// ErrUnsupported: only Linux has BPF.
var ErrUnsupported = errors.New("kernel: socket capture needs Linux")

// ErrNoTracefs: tracepoints of system calls are found through it.
var ErrNoTracefs = errors.New("tracefs is not mounted")

// ErrNoBTF: the kernel does not say what its types are.
var ErrNoBTF = errors.New("kernel: no BTF of this kernel")

// Config is what capture may be told. The zero value is usable: everything of
// this host, but for this process.
type Config struct {
	// RingBytes is the size of the ring, rounded up to a power of two. Zero:
	// DefaultRing.
	RingBytes int
	// MaxCapture is how many bytes of a message are kept: of what one end sends
	// before the other one speaks. Zero: DefaultMaxCapture; at most MaxMaxCapture.
	MaxCapture int
	// MaxBurst is how many bytes are kept of one call on a socket that Burst named.
	// Zero: DefaultMaxBurst; at most MaxMaxBurst, of a call with several buffers
	// half of that.
	MaxBurst int
	// Further is how many bytes are kept of each further call of one end once
	// MaxCapture is used up. Zero: DefaultFurther.
	Further int
	// Flush is how long an event may lie in the ring before it is read. Zero:
	// DefaultFlush. Longer costs less.
	Flush time.Duration
	// Rows forces rows of the hook table by name ("btf", "fexit",
	// "syscall", "raw_syscall"); empty: the first that this kernel gives.
	Rows []string
	// UDP and Unix switch datagram and unix stream sockets off.
	NoUDP, NoUnix bool
	// Filter narrows what is captured.
	Filter Filter
	// GoUprobes hooks functions of Go's libraries in every executable that has
	// them: exact, but a hit costs microseconds.
	GoUprobes bool
	// Flows: what the kernel counts of connections is wanted, when they end and
	// when Count is called.
	Flows bool
	// Cgroup is told of paths in Filter that are not there, at Start, and when they
	// have come, in Run. May be nil.
	Cgroup func(path string, there bool)
	// ExcludePids are not captured, besides this process.
	ExcludePids []uint32

	self bool // capture this process too: for tests, which are both ends
}

// Filter narrows capture. Lists of one kind are alternatives; kinds are
// conditions that all have to hold. A socket is judged once, when first seen.
type Filter struct {
	Ports          []uint16       // either end
	ExcludePorts   []uint16       // either end
	CIDRs          []netip.Prefix // either end
	ExcludeCIDRs   []netip.Prefix
	Names          []string // process names as the kernel has them, at most 15 bytes
	ExcludeNames   []string
	Cgroups        []string // paths below the cgroup2 mount, with all below them; they may begin later
	ExcludeCgroups []string
	Containers     []string // ids, or their first characters (at least 8)
	NetNS          []uint32 // inodes
}

// Limits and defaults.
const (
	// DefaultRing holds 80 ms of the fastest two cores that we measured.
	DefaultRing = 16 << 20
	minRing     = 64 << 10
	// DefaultMaxCapture is a page: all of nearly every request head.
	DefaultMaxCapture = 4096
	// MaxMaxCapture bounds what one event holds of a message.
	MaxMaxCapture = 16384
	// DefaultMaxBurst is what clients and brokers of messages gather before they
	// send it. It is also the most that one event may hold.
	DefaultMaxBurst = 32768
	MaxMaxBurst     = 32768
	// DefaultFurther shows the head of a message that begins with the call.
	DefaultFurther = 256
	// DefaultFlush leaves most of the 100 ms that a span may be late to others.
	DefaultFlush = 10 * time.Millisecond
)

// Hook is one row of what Hooks tells.
type Hook struct {
	Prog     string // C name: hs_sock_send
	At       string // "tp_btf/sock_send_length"
	For      string // what is blind without it
	Attached bool
	Err      string // why not, if not attached
}

// Stats is what capture counted since Start.
type Stats struct {
	Events  uint64 // records read
	Bytes   uint64
	Wakes   uint64 // times that the reader found something
	Pending uint64 // bytes in the ring now
	Ring    uint64 // its size
	// LostCalls and LostTurns by direction (send, recv) and role (unknown,
	// client, server): see event.Loss.
	LostCalls, LostTurns [2][3]uint64
	LostOther            uint64
	LostByCPU            []uint64
	// Missed is how often a program did not run because it was running.
	Missed uint64
	// Errors by what went wrong in the kernel part.
	Errors map[string]uint64
	// GoHooked is how many executables of Go have hooks, GoFailed how often a
	// function that is there could not be hooked.
	GoHooked, GoFailed uint64
	Bad                uint64 // records that were too short
}

// Pair reports whether datagrams between two ends are wanted: what the kernel
// cannot judge of a UDP socket that is connected to nobody.
func (f *Filter) Pair(local, remote netip.AddrPort) bool {
	port := func(list []uint16) bool {
		return slices.Contains(list, local.Port()) || slices.Contains(list, remote.Port())
	}
	addr := func(list []netip.Prefix) bool {
		for _, p := range list {
			if p.Contains(local.Addr().Unmap()) || p.Contains(remote.Addr().Unmap()) {
				return true
			}
		}
		return false
	}
	return (len(f.Ports) == 0 || port(f.Ports)) && !port(f.ExcludePorts) &&
		(len(f.CIDRs) == 0 || addr(f.CIDRs)) && !addr(f.ExcludeCIDRs)
}
