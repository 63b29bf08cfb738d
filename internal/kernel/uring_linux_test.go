package kernel

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// TestURing: what io_uring moves is counted, and taken for nobody's buffer: the
// call that entered the kernel names another one.
func TestURing(t *testing.T) {
	r := startRig(t, Config{Rows: []string{"btf"}})
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	send(t, a, "plain")
	recv(t, b, 5)
	uringSend(t, a, []byte("by the ring"))
	recv(t, b, 11)
	es := r.until("sent by io_uring", func(es []event.Event) bool { return len(moved(es, event.Recv, "by the ring")) == 1 })
	tx := moved(es, event.Send, "plain")[0].Sock
	var ring []event.Event
	for _, e := range es {
		if e.Kind == event.KindData && e.Sock == tx && e.Data.Pos == 5 {
			ring = append(ring, e)
		}
	}
	if len(ring) != 1 || ring[0].Data.Flags&event.URing == 0 || ring[0].Data.Wire != 11 || len(ring[0].Payload) != 0 {
		t.Errorf("%d records", len(ring))
		for i := range ring {
			t.Log(describe(&ring[i]))
		}
	}
}

// uringSend sends through an io_uring made for it.
func uringSend(t *testing.T, fd int, msg []byte) {
	t.Helper()
	const (
		params   = 120 // sizeof(struct io_uring_params)
		opSend   = 26
		sqesMap  = 0x10000000
		enterGet = 1
	)
	var p [params]byte
	ring, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 2, uintptr(unsafe.Pointer(&p[0])), 0)
	if e != 0 {
		t.Skipf("no io_uring here: %v", e)
	}
	defer unix.Close(int(ring))
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(p[at:]) }
	entries, tailOff, arrayOff := u32(0), u32(44), u32(64) // sq_off begins at 40
	sq, err := unix.Mmap(int(ring), 0, int(arrayOff+4*entries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(sq) }()
	sqes, err := unix.Mmap(int(ring), sqesMap, int(64*entries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(sqes) }()
	sqes[0] = opSend
	binary.LittleEndian.PutUint32(sqes[4:], uint32(fd))
	binary.LittleEndian.PutUint64(sqes[16:], uint64(uintptr(unsafe.Pointer(&msg[0]))))
	binary.LittleEndian.PutUint32(sqes[24:], uint32(len(msg)))
	binary.LittleEndian.PutUint32(sq[arrayOff:], 0)
	binary.LittleEndian.PutUint32(sq[tailOff:], 1)
	if n, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, 1, 1, enterGet, 0, 0); e != 0 || n != 1 {
		t.Fatalf("io_uring_enter: %d %v", n, e)
	}
}
