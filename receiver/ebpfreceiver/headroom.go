package ebpfreceiver

import (
	"runtime/debug"
	"time"
)

// headroom is memory that is never touched, and so is none of the machine's, but
// counts for the garbage collector: spans are short-lived, and beside the few
// megabytes of a collector's heap it would run every few thousand of them, mark
// the same memory again, and slow down every write meanwhile. With it the heap may
// grow by as much more before that happens: by little where there is little to
// do, so that the collector is small, by more while there is much.
type headroom struct {
	base, more []byte
	began      time.Time
	last       time.Time
	spans      uint64
	calm       int // seconds in a row with few spans
	settled    bool
}

const (
	baseHeadroom = 16 << 20
	moreHeadroom = 64 << 20
	busySpans    = 20_000 // a second
	calmSpans    = 10_000
	calmSeconds  = 10
	// settling is how long after the start the memory is given back that loading
	// has used: it reads all types of the kernel, and who every process is.
	settling = 2 * time.Second
)

// newHeadroom comes before anything else has used memory: what was used once
// would have to be cleared, and so touched.
func newHeadroom() *headroom { return &headroom{base: make([]byte, baseHeadroom)} }

// tick looks at how many spans there were so far.
func (h *headroom) tick(now time.Time, spans uint64) {
	if h.began.IsZero() {
		h.began, h.last, h.spans = now, now, spans
		return
	}
	if !h.settled && now.Sub(h.began) >= settling {
		h.settled = true
		debug.FreeOSMemory()
	}
	d := now.Sub(h.last)
	if d < time.Second {
		return
	}
	rate := float64(spans-h.spans) / d.Seconds()
	h.last, h.spans = now, spans
	switch {
	case rate >= busySpans:
		h.calm = 0
		if h.more == nil {
			h.more = make([]byte, moreHeadroom)
		}
	case rate < calmSpans && h.more != nil:
		if h.calm++; h.calm >= calmSeconds {
			h.more, h.calm = nil, 0
			debug.FreeOSMemory()
		}
	}
}
