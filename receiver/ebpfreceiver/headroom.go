package ebpfreceiver

import (
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// headroom is by how much the heap may grow between two collections. Go's own
// rule lets it double, and a collector's heap is a few megabytes: at a hundred
// thousand spans a second that would be marked anew dozens of times a second, and
// every pointer that is written meanwhile costs more. Spans are short-lived, so
// what has to be marked does not grow with the room: room follows how much is
// allocated, so that about one collection a second is left, within a bound. Where
// little is done the room, and so the process, is small.
type headroom struct {
	max     uint64
	runtime heapRuntime
	before  int // the percentage that was in force
	percent int
	room    uint64

	began, last time.Time
	allocated   uint64 // when it was last
	calm        int    // seconds in a row in which half of the room would do
	settled     bool
}

const (
	// minHeadroom is what there is always; what the collector's own work, its
	// metrics and few spans take in some seconds.
	minHeadroom = 24 << 20
	// defaultHeadroom is a compromise: with 24 MiB a request of the bench took a
	// fifth more, with 192 no less, and twice the memory.
	defaultHeadroom = 64 << 20
	// limitShare is the share of a memory limit that the room may take: there are
	// the rest of the heap, queues, the ring, and garbage of the moment besides.
	limitShare = 4
	// collectEvery is how often there is a collection if max allows.
	collectEvery = time.Second
	calmSeconds  = 10
	// settling is how long after the start the memory is given back that loading
	// has used: it reads all types of the kernel, and who every process is.
	settling = 2 * time.Second
	// leastLive is what live heaps are taken for that are smaller: a percentage of
	// next to nothing says nothing.
	leastLive = 4 << 20
)

// heapRuntime is what the Go runtime does for a headroom.
type heapRuntime struct {
	// heap is what was alive at the last collection, and all that was ever
	// allocated, in bytes.
	heap func() (live, allocated uint64)
	// percent sets GOGC and returns what it was.
	percent func(int) int
	// free gives back what is not used.
	free func()
}

// goRuntime is the real one.
func goRuntime() heapRuntime {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	return heapRuntime{
		heap: func() (uint64, uint64) {
			metrics.Read(samples)
			return samples[0].Value.Uint64(), samples[1].Value.Uint64()
		},
		percent: debug.SetGCPercent,
		free:    debug.FreeOSMemory,
	}
}

// newHeadroom makes one of at most most bytes; nil if that is 0, or if who started
// the collector has said what it wants (GOGC).
func newHeadroom(most int, rt heapRuntime) *headroom {
	if most == 0 || os.Getenv("GOGC") != "" {
		return nil
	}
	h := &headroom{max: uint64(most), runtime: rt, room: minHeadroom}
	if limit := memoryLimit("/"); limit/limitShare < h.max {
		h.max = limit / limitShare
	}
	h.room = min(h.room, h.max)
	h.before = rt.percent(100)
	h.percent = 100
	live, _ := rt.heap()
	h.apply(live)
	return h
}

// tick looks at what the heap does now, some times a second.
func (h *headroom) tick(now time.Time) {
	if h == nil {
		return
	}
	live, allocated := h.runtime.heap()
	if h.began.IsZero() {
		h.began, h.last, h.allocated = now, now, allocated
		return
	}
	if !h.settled && now.Sub(h.began) >= settling {
		h.settled = true
		h.runtime.free()
	}
	if d := now.Sub(h.last); d >= time.Second {
		h.follow(uint64(float64(allocated-h.allocated) * float64(collectEvery) / float64(d)))
		h.last, h.allocated = now, allocated
	}
	h.apply(live)
}

// follow makes room for want bytes: at once where it is too little, after some
// time where it is too much.
func (h *headroom) follow(want uint64) {
	want = min(max(want, minHeadroom), h.max)
	switch {
	case want > h.room:
		h.room, h.calm = want, 0
	case want > h.room/2 || h.room <= minHeadroom:
		h.calm = 0
	default:
		if h.calm++; h.calm >= calmSeconds {
			h.room, h.calm = want, 0
			h.runtime.free()
		}
	}
}

// apply tells the runtime: as a percentage of what is alive, which it knows.
func (h *headroom) apply(live uint64) {
	p := max(100, int(h.room*100/max(live, leastLive)))
	if d := p - h.percent; d > h.percent/8 || -d > h.percent/8 {
		h.percent = p
		h.runtime.percent(p)
	}
}

// stop puts back what was.
func (h *headroom) stop() {
	if h != nil {
		h.runtime.percent(h.before)
	}
}

// noLimit is no limit.
const noLimit = 1 << 62

// memoryLimit is how much memory this process may have, by GOMEMLIMIT or a control
// group of either version below root; noLimit if nobody says.
func memoryLimit(root string) uint64 {
	limit := min(uint64(debug.SetMemoryLimit(-1)), noLimit)
	groups, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return limit
	}
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max"
		switch {
		case f[1] == "memory":
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case f[1] != "":
			continue
		}
		// Those above limit too. In a container the path may be the host's, and only
		// the last of them is there.
		for dir := path.Join("/", f[2]); ; dir = path.Dir(dir) {
			b, err := os.ReadFile(path.Join(root, base, dir, file))
			if n, perr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil && perr == nil {
				limit = min(limit, n) // "max" is no number
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}
