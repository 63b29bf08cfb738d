//go:build linux

package kernel

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer where it lies. The reader of the ebpf library
// copies each record and asks the kernel for each batch; at a million records
// a second both show.
type ring struct {
	fd       int // epoll
	consumer []byte
	producer []byte // one page, then the data twice
	mask     uint64
	size     uint64
}

const (
	ringHead    = 8
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	// ringStep is how much is read before the room is given back.
	ringStep = 256 << 10
)

func newRing(m *ebpf.Map) (*ring, error) {
	size, page := int(m.MaxEntries()), os.Getpagesize()
	r := &ring{size: uint64(size), mask: uint64(size - 1)}
	var err error
	if r.consumer, err = unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the ring's consumer page: %w", err)
	}
	if r.producer, err = unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		_ = unix.Munmap(r.consumer)
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	if r.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		err = unix.EpollCtl(r.fd, unix.EPOLL_CTL_ADD, m.FD(), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET})
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("poll the ring: %w", err)
	}
	return r, nil
}

func (r *ring) close() {
	_ = unix.Munmap(r.consumer)
	_ = unix.Munmap(r.producer)
	if r.fd > 0 {
		_ = unix.Close(r.fd)
	}
}

func (r *ring) consumed() *uint64 { return (*uint64)(unsafe.Pointer(&r.consumer[0])) }
func (r *ring) produced() *uint64 { return (*uint64)(unsafe.Pointer(&r.producer[0])) }

func (r *ring) pending() uint64 {
	return atomic.LoadUint64(r.produced()) - atomic.LoadUint64(r.consumed())
}

// wait sleeps until d has passed or the kernel says that the ring fills up.
func (r *ring) wait(d time.Duration) {
	var ev [1]unix.EpollEvent
	_, _ = unix.EpollWait(r.fd, ev[:], max(1, int(d.Milliseconds())))
}

// drain gives every record that is ready to f, which may not keep it, and
// returns how many bytes and records it read.
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
			prod = atomic.LoadUint64(r.produced())
		}
	}
	atomic.StoreUint64(r.consumed(), cons)
	return cons - start, records
}
