//go:build linux

package kernel

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer where it lies. The reader of the ebpf library
// copies each record and asks the kernel for each batch; at a million records
// a second both show.
type ring struct {
	file     *os.File // the map, for Go's poller
	poll     syscall.RawConn
	consumer []byte
	producer []byte // one page, the data, and its beginning once more
	mask     uint64
	size     uint64
	wake     uint64 // bytes pending that the kernel wakes us for
}

const (
	ringHead    = 8
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	// ringStep is how much is read before the room is given back.
	ringStep = 256 << 10
	// ringWindow is how much of the data is mapped again behind it, so that a
	// record which goes on at the beginning lies in one piece: more than the
	// largest record. The kernel allows all of it, but what is mapped counts.
	ringWindow = 128 << 10
)

func newRing(m *ebpf.Map, wake int) (*ring, error) {
	size, page := int(m.MaxEntries()), os.Getpagesize()
	r := &ring{size: uint64(size), mask: uint64(size - 1), wake: uint64(wake)}
	var err error
	if r.consumer, err = unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the ring's consumer page: %w", err)
	}
	if r.producer, err = unix.Mmap(m.FD(), int64(page), page+size+min(size, ringWindow), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		_ = unix.Munmap(r.consumer)
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	if err := r.pollable(m.FD()); err != nil {
		r.close()
		return nil, fmt.Errorf("poll the ring: %w", err)
	}
	return r, nil
}

// pollable gives the ring to Go's own poller: a thread that blocked in a system
// call of its own would have the runtime look after it many times a
// millisecond, which is most of what a quiet ring costs.
func (r *ring) pollable(fd int) error {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(own, true); err != nil {
		_ = unix.Close(own)
		return err
	}
	r.file = os.NewFile(uintptr(own), "hs_events")
	if err := r.file.SetReadDeadline(time.Time{}); err != nil { // the poller refused it
		return err
	}
	r.poll, err = r.file.SyscallConn()
	return err
}

func (r *ring) close() {
	_ = unix.Munmap(r.consumer)
	_ = unix.Munmap(r.producer)
	if r.file != nil {
		_ = r.file.Close()
	}
}

func (r *ring) consumed() *uint64 { return (*uint64)(unsafe.Pointer(&r.consumer[0])) }
func (r *ring) produced() *uint64 { return (*uint64)(unsafe.Pointer(&r.producer[0])) }

func (r *ring) pending() uint64 {
	return atomic.LoadUint64(r.produced()) - atomic.LoadUint64(r.consumed())
}

// wait sleeps until d has passed or the kernel says that the ring fills up.
func (r *ring) wait(d time.Duration) {
	if r.file.SetReadDeadline(time.Now().Add(d)) != nil {
		return
	}
	again := false
	_ = r.poll.Read(func(uintptr) bool {
		woken := again || r.pending() >= r.wake
		again = true
		return woken
	})
}

// drain gives every record that is ready to f, which may not keep it, and
// returns how many bytes and records it read: no more than the ring holds, so
// that other work is done also where the ring never gets empty.
func (r *ring) drain(f func([]byte)) (bytes, records uint64) {
	data := r.producer[os.Getpagesize():]
	cons := atomic.LoadUint64(r.consumed())
	start, given := cons, cons
	prod := atomic.LoadUint64(r.produced())
	for cons < prod {
		at := cons & r.mask
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&data[at])))
		if head&ringBusy != 0 {
			break
		}
		n := uint64(head &^ (ringBusy | ringDiscard))
		if head&ringDiscard == 0 {
			f(data[at+ringHead : at+ringHead+n : at+ringHead+n])
			records++
		}
		cons += (ringHead + n + 7) &^ 7
		if cons-given >= ringStep {
			atomic.StoreUint64(r.consumed(), cons)
			given = cons
			if cons-start < r.size {
				prod = atomic.LoadUint64(r.produced())
			}
		}
	}
	atomic.StoreUint64(r.consumed(), cons)
	return cons - start, records
}
