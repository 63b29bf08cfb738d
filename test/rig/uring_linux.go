package rig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations of io_uring (uapi/linux/io_uring.h).
const (
	OpReadv      = 1
	OpWritev     = 2
	OpReadFixed  = 4
	OpWriteFixed = 5
	OpSendmsg    = 9
	OpRecvmsg    = 10
	OpRead       = 22
	OpWrite      = 23
	OpSend       = 26
	OpRecv       = 27
	OpSendZC     = 47
)

// Flags of SQE.Flags, SQE.Ioprio, CQE.Flags and of the setup.
const (
	SQEFixedFile    = 1 << 0
	SQELink         = 1 << 2
	SQEAsync        = 1 << 4
	SQEBufferSelect = 1 << 5

	RecvMultishot = 1 << 1 // Ioprio

	CQEBuffer = 1 << 0
	CQEMore   = 1 << 1
	CQENotify = 1 << 3

	SetupSQPoll      = 1 << 1
	setupSingle      = 1 << 12
	setupDeferTask   = 1 << 13
	SetupDeferred    = setupSingle | setupDeferTask // work runs in Wait only
	enterGetEvents   = 1
	enterSQWakeup    = 2
	sqNeedWakeup     = 1
	registerBuffers  = 0
	registerFiles    = 2
	registerPbufRing = 22
)

// SQE is a request. Twin of struct io_uring_sqe.
type SQE struct {
	Op, Flags   uint8
	Ioprio      uint16
	FD          int32
	Off         uint64
	Addr        uint64
	Len         uint32
	OpFlags     uint32
	UserData    uint64
	Buf         uint16 // index of a registered buffer, or a group of provided ones
	Personality uint16
	FileIndex   int32
	_           [2]uint64
}

// CQE is what became of one. Twin of struct io_uring_cqe.
type CQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// URing is an io_uring of raw system calls, for tests of programs that use one.
// One goroutine uses it. What it is given the addresses of has to come from Bytes.
type URing struct {
	fd       int
	flags    uint32
	sq, sqes []byte
	p        [120]byte // struct io_uring_params
	tail     uint32
}

// NewURing makes one. The error of a kernel that forbids it is a system call's.
func NewURing(entries, flags uint32) (*URing, error) {
	r := &URing{flags: flags}
	binary.LittleEndian.PutUint32(r.p[8:], flags)
	binary.LittleEndian.PutUint32(r.p[16:], 2000) // idle time of SQPOLL, ms
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&r.p)), 0)
	if e != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", e)
	}
	r.fd = int(fd)
	// One mapping holds both rings (IORING_FEAT_SINGLE_MMAP, 5.4).
	size := max(r.u32(64)+4*r.u32(0), r.u32(100)+16*r.u32(4))
	var err error
	if r.sq, err = unix.Mmap(r.fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return nil, errors.Join(fmt.Errorf("map the rings: %w", err), r.Close())
	}
	if r.sqes, err = unix.Mmap(r.fd, 0x10000000, int(64*r.u32(0)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return nil, errors.Join(fmt.Errorf("map the requests: %w", err), r.Close())
	}
	return r, nil
}

// u32 is a field of the parameters.
func (r *URing) u32(at int) uint32 { return binary.LittleEndian.Uint32(r.p[at:]) }

// ptr is a word of the rings; its offset is a field of the parameters: sq_off at
// 40 (head, tail, mask, entries, flags, dropped, array), cq_off at 80 (head, tail,
// mask, entries, overflow, cqes).
func (r *URing) ptr(field int) *uint32 { return (*uint32)(unsafe.Pointer(&r.sq[r.u32(field)])) }

// Close ends it.
func (r *URing) Close() error {
	var errs []error
	for _, m := range [][]byte{r.sq, r.sqes} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	return errors.Join(append(errs, unix.Close(r.fd))...)
}

// Bytes is memory that does not move.
func Bytes(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

// Addr is the address of what came from Bytes.
func Addr(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&b[0]))) }

// Submit hands requests to the kernel.
func (r *URing) Submit(list ...SQE) error {
	mask, array := *r.ptr(48), r.u32(64)
	for _, s := range list {
		i := r.tail & mask
		*(*SQE)(unsafe.Pointer(&r.sqes[64*i])) = s
		binary.LittleEndian.PutUint32(r.sq[array+4*i:], i)
		r.tail++
	}
	atomic.StoreUint32(r.ptr(44), r.tail)
	n, flags := len(list), 0
	if r.flags&SetupSQPoll != 0 {
		if atomic.LoadUint32(r.ptr(56))&sqNeedWakeup == 0 {
			return nil
		}
		flags = enterSQWakeup
	}
	if _, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), 0, uintptr(flags), 0, 0); e != 0 {
		return fmt.Errorf("io_uring_enter: %w", e)
	}
	return nil
}

// Wait gives the next that is over, or has done a part of its work.
func (r *URing) Wait() (CQE, error) {
	head := *r.ptr(80)
	for head == atomic.LoadUint32(r.ptr(84)) {
		if _, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, enterGetEvents, 0, 0); e != 0 && e != unix.EINTR {
			return CQE{}, fmt.Errorf("io_uring_enter: %w", e)
		}
	}
	c := *(*CQE)(unsafe.Pointer(&r.sq[r.u32(100)+16*(head&*r.ptr(88))]))
	atomic.StoreUint32(r.ptr(80), head+1)
	return c, nil
}

func (r *URing) register(what int, arg unsafe.Pointer, n int) error {
	if _, _, e := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), uintptr(what), uintptr(arg), uintptr(n), 0, 0); e != 0 {
		return fmt.Errorf("io_uring_register %d: %w", what, e)
	}
	return nil
}

// RegisterBuffer makes b the registered buffer 0.
func (r *URing) RegisterBuffer(b []byte) error {
	v := unix.Iovec{Base: &b[0], Len: uint64(len(b))}
	return r.register(registerBuffers, unsafe.Pointer(&v), 1)
}

// RegisterFiles makes fds the fixed files.
func (r *URing) RegisterFiles(fds ...int32) error {
	return r.register(registerFiles, unsafe.Pointer(&fds[0]), len(fds))
}

// Group is a ring of buffers that the kernel takes from.
type Group struct {
	ring, bufs []byte
	size, mask int
	tail       uint16
}

// NewGroup registers n buffers (a power of two) of size bytes each as group id.
func (r *URing) NewGroup(id uint16, n, size int) (*Group, error) {
	g := &Group{size: size, mask: n - 1}
	var err error
	if g.ring, err = Bytes(16 * n); err != nil {
		return nil, err
	}
	if g.bufs, err = Bytes(n * size); err != nil {
		return nil, err
	}
	reg := struct {
		addr    uint64
		entries uint32
		id      uint16
		flags   uint16
		_       [3]uint64
	}{addr: Addr(g.ring), entries: uint32(n), id: id}
	if err := r.register(registerPbufRing, unsafe.Pointer(&reg), 1); err != nil {
		return nil, err
	}
	for i := range n {
		g.Give(uint16(i))
	}
	return g, nil
}

// Give returns a buffer.
func (g *Group) Give(i uint16) {
	at := 16 * (int(g.tail) & g.mask)
	binary.LittleEndian.PutUint64(g.ring[at:], Addr(g.bufs)+uint64(int(i)*g.size))
	binary.LittleEndian.PutUint32(g.ring[at+8:], uint32(g.size))
	binary.LittleEndian.PutUint16(g.ring[at+12:], i)
	g.tail++
	// The tail lies in the first entry's last two bytes, which no entry uses.
	word := (*uint32)(unsafe.Pointer(&g.ring[12]))
	atomic.StoreUint32(word, atomic.LoadUint32(word)&0xffff|uint32(g.tail)<<16)
}

// Taken is the buffer that the kernel put c's bytes into, and its number.
func (g *Group) Taken(c CQE) ([]byte, uint16) {
	i := uint16(c.Flags >> 16)
	return g.bufs[int(i)*g.size:][:c.Res], i
}
